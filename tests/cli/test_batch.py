"""`nbops batch`: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.serving.batch import azure_batch
from notebooks_lib.serving.batch.azure_batch import BatchDetached
from notebooks_lib.serving.batch.batch_deployments import BatchDeployments
from notebooks_lib.settings import Settings
from tests.serving.batch.conftest import ROWS, scoring  # noqa: F401 - a project with a champion
from tests.serving.conftest import models  # noqa: F401

pytestmark = pytest.mark.tracking

RUN = ["batch", "run", "table", "--data", "rows.csv", "-o", "out.csv"]


@pytest.fixture(autouse=True)
def rows(scoring: Settings) -> None:  # noqa: F811
    ROWS.assign(note="first").to_csv("rows.csv", index=False)


def test_it_says_what_was_scored_and_where_the_result_is(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert program.run(RUN) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("4 predictions of version 1, here (")
        assert "not used   note\n  result     out.csv" in shown.out
        assert not shown.err
    assert program.run([*RUN, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["unused"], answer["output"], answer["on"]) == (4, ["note"], "out.csv", "local")


def test_refused_rows_are_named_with_their_causes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("age,bmi,bp\n1,2,3\n\x1b[31m,2,3\n")
    assert program.run(RUN) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "row 1: column 'age': found '\\x1b[31m'; expected a number; nothing was written" in shown.err
    assert program.run([*RUN, "--error-threshold", "-1"]) == 0
    assert "refused    1 row, with the cause in the column error\n             row 1: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--params", "{"], "--params is not JSON"),
        (["--params", "[]"], "expected a JSON object"),
        (["--params", '{"depth": 1}'], "params: unknown 'depth'"),
        (["--data", "none.csv"], "none.csv: no such file"),
        (["--data", "nothing"], "unknown dataset 'nothing'"),
        (["--error-threshold", "-2"], "--error-threshold"),
        (["--mini-batch-size", "0"], "--mini-batch-size"),
        (["-o", "out.txt"], "expected a file .parquet or .csv"),
        (["--stage", "tset"], "--stage"),
        (
            ["--on", "azureml:cpu"],
            "write --on azureml, and in production/azure/batch/deployment.yml compute: azureml:cpu",
        ),
        (["--on", "gpu"], "found 'gpu', allowed local or azureml"),
        (["--on", "local", "--fresh"], "--fresh is about a job on Azure, and this machine scores: leave it out"),
        (["--wait-minutes", "3"], "--wait-minutes is about a job on Azure"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_before_anything_is_scored(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run([*RUN, *more]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out.csv").exists()


def test_who_leaves_a_batch_is_told_how_to_come_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def score(*given: Any, fresh: bool, **options: Any) -> None:
        raise BatchDetached("table-1", fresh=fresh)

    monkeypatch.setattr(azure_batch, "score_on_azure", score)
    for more, way in (([], "the same command again;"), (["--fresh"], "the same command again, without --fresh;")):
        assert program.run([*RUN, "--on", "azureml", *more]) == 130
        assert f"job table-1 goes on; to come back, give {way}" in capsys.readouterr().err


def test_an_endpoint_is_deleted_after_asking(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deleted: list[str] = []
    place = Workspace("s", "g", "w")
    monkeypatch.setattr(BatchDeployments, "workspace", place)
    monkeypatch.setattr(BatchDeployments, "find", lambda self: object())
    monkeypatch.setattr(BatchDeployments, "delete", lambda self: deleted.append(self.endpoint) or True)
    assert program.run(["batch", "delete", "table"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert not deleted
    assert program.run(["batch", "delete", "table", "--yes"]) == 0
    assert deleted == ["table-batch"]
