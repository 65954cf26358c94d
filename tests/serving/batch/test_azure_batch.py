"""A batch on Azure gives what a batch on this machine gives, value by value and row by row, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from notebooks_lib.azure.jobs import jobs
from notebooks_lib.errors import BatchError, InputError, UsageError
from notebooks_lib.serving.batch.azure_batch import BatchDetached, score_on_azure
from notebooks_lib.serving.batch.batch_deployments import BatchDeployments
from notebooks_lib.serving.batch.batch_request import BatchRequest, BatchSummary
from notebooks_lib.serving.batch.local_batch import score_here
from notebooks_lib.settings import Settings
from tests.azure.emulator import Emulated
from tests.conftest import copy_store
from tests.serving.azure_project import azure_project
from tests.serving.batch.conftest import ROWS, register

pytestmark = [pytest.mark.proof, pytest.mark.tracking]
MANY = pd.concat([ROWS] * 6, ignore_index=True).assign(city=["Łódź", "Graz"] * 12)
JOBS = "/jobs"


class Lines:
    """What the job waits for."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def waiting(self, text: str) -> None:
        self.lines.append(text)

    def cell(self, index: int, total: int, line: str) -> None:
        raise AssertionError("a batch has no cells")


@pytest.fixture(scope="module")
def azure(
    azure_server: Emulated, migrated: Path, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A project whose model `table` has a batch endpoint in a workspace of its own, on a cluster `cpu`."""
    root = tmp_path_factory.mktemp("batch") / "project"
    (root / "production" / "azure" / "compute").mkdir(parents=True)
    (root / "production" / "azure" / "compute" / "cpu.yml").write_text("type: amlcompute\nsize: Standard_DS3_v2\n")
    (root / "production" / "azure" / "batch").mkdir()
    (root / "production" / "azure" / "batch" / "deployment.yml").write_text("settings:\n  mini_batch_size: 2\n")
    copy_store(migrated, root)
    with azure_project(azure_server, root) as settings:
        trusted = settings.promotion.model_copy(update={"trusted_flavors": ("sklearn",)})
        settings = settings.model_copy(update={"promotion": trusted})
        register(settings, "table", models["table"])
        first = BatchDeployments(settings, "table", "prod").deploy()
        assert (first.endpoint, first.deployment, first.changed) == ("table-batch", "version-1", True)
        assert not BatchDeployments(settings, "table", "prod").deploy().changed
        yield settings


def score(settings: Settings, output: str = "azure.parquet", **more: Any) -> BatchSummary:
    own = {key: more.pop(key) for key in ("fresh", "wait_minutes") if key in more}
    request = BatchRequest("table", more.pop("data", "rows.csv"), Path(output), **more)
    return score_on_azure(request, settings, Lines(), shortest=0.1, **own)


@pytest.fixture(autouse=True)
def reached(azure: Settings, azure_server: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reaches the workspace, whatever was taken out of its environment for the test."""
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in azure_server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Other rows in each test, so that no test finds the job of another."""
    rows = MANY.assign(age=MANY["age"] + np.random.default_rng().normal())
    rows.to_csv("rows.csv", index=False)
    return rows


@pytest.mark.parametrize(
    "more", [{}, {"keep": ["city"], "mini_batch_size": 5}, {"error_threshold": -1, "mini_batch_size": 1}]
)
def test_the_result_is_that_of_a_batch_on_this_machine(
    more: dict[str, Any], azure: Settings, rows: pd.DataFrame
) -> None:
    if "error_threshold" in more:
        text = Path("rows.csv").read_text().splitlines()
        text[3], text[5], text[20] = "x,1,2,Graz", "1,2", ",1,2,Graz"
        Path("rows.csv").write_text("\n".join(text) + "\n")
    here = score_here(BatchRequest("table", "rows.csv", Path("here.parquet"), **more), azure)
    there = score(azure, **more)
    assert pd.read_parquet("azure.parquet").equals(pd.read_parquet("here.parquet"))
    assert (there.rows, there.refused, there.first_refused) == (here.rows, here.refused, here.first_refused)
    assert (there.on, there.refused) == ("azureml", 3 if "error_threshold" in more else 0)


def test_the_same_command_again_finds_its_job_and_fresh_makes_another(
    azure: Settings, azure_server: Emulated, rows: pd.DataFrame
) -> None:
    began = azure_server.record.position()
    names = {score(azure, "one.csv").job, score(azure, "one.csv").job}
    assert len(names) == 1
    assert [seen.status for seen in azure_server.record.since(began) if seen.path == JOBS] == [201]
    assert score(azure, fresh=True).job == f"{names.pop()}-2"


def test_a_lost_answer_does_not_run_the_job_twice(azure: Settings, azure_server: Emulated, rows: pd.DataFrame) -> None:
    began = azure_server.record.position()
    with azure_server.fault("lost_answer", method="POST", path=f"^{JOBS}$"):
        assert score(azure).rows == len(rows)
    made = [
        job for job in (seen for seen in azure_server.record.since(began)) if job.path == JOBS and job.status == 201
    ]
    assert not made  # its answer was lost, and no other was asked for


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "mini_batch_fails"}, "failed for 2 files, more than the error threshold 0.*nbops azure jobs logs"),
        ({"kind": "image_build_fails", "message": "conda failed"}, "ended as FAILED: .*conda failed"),
        (
            {"kind": "output_is_lost"},
            r"is complete, but part-000000\.parquet of 1 is not in its output: score again: --fresh",
        ),
    ],
)
def test_a_job_that_fails_is_named_with_its_cause_and_the_next_command_runs_again(
    fault: dict[str, Any], message: str, azure: Settings, azure_server: Emulated, rows: pd.DataFrame
) -> None:
    size = {"mini_batch_size": 6} if fault["kind"] == "mini_batch_fails" else {}
    with azure_server.fault(path=f"^{JOBS}$", **fault), pytest.raises(BatchError, match=message):
        score(azure, **size)
    assert not Path("azure.parquet").exists()
    assert score(azure, fresh=fault["kind"] == "output_is_lost", **size).rows == len(rows)


def test_a_job_that_does_not_start_is_left_and_stopped_by_its_name(
    azure: Settings, azure_server: Emulated, rows: pd.DataFrame
) -> None:
    with (
        azure_server.fault("never_starts", path=f"^{JOBS}$"),
        pytest.raises(BatchDetached, match="same command again") as left,
    ):
        score(azure, wait_minutes=0.01)
    place = BatchDeployments(azure, "table", "prod")
    assert jobs.stop(place.client, place.workspace, left.value.job).status == "Canceled"
    assert score(azure).job == f"{left.value.job}-2"


def test_a_command_that_is_killed_while_it_waits_or_fetches_goes_on_at_the_next(
    azure: Settings, azure_server: Emulated, rows: pd.DataFrame
) -> None:
    with azure_server.fault("cut", times=0, method="GET", path=r"output/part-"), pytest.raises(BatchDetached) as left:
        score(azure, mini_batch_size=6)
    assert not Path("azure.parquet").exists()
    assert score(azure, mini_batch_size=6).job == left.value.job


def test_a_fresh_batch_that_was_left_is_fetched_without_fresh(
    azure: Settings, azure_server: Emulated, rows: pd.DataFrame
) -> None:
    first = score(azure).job
    with (
        azure_server.fault("cut", times=0, method="GET", path=r"output/part-"),
        pytest.raises(BatchDetached, match="without --fresh") as left,
    ):
        score(azure, fresh=True)
    assert score(azure).job == left.value.job == f"{first}-2"


def test_what_cannot_be_scored_is_refused_before_anything_is_sent(
    azure: Settings, azure_server: Emulated, rows: pd.DataFrame, models: dict[str, Path]
) -> None:
    register(azure, "table", models["other"], champion=False)
    began = azure_server.record.position()
    Path("bad.csv").write_text("age,bmi\n1,2\n")
    Path("none.csv").write_text("age,bmi,bp\n")
    Path("short.csv").write_text("age,bmi,bp\n1,2,3\n1,2\n")
    for data, error, message in (
        ("bad.csv", InputError, "missing column 'bp'"),
        ("none.csv", InputError, "there are no rows"),
        ("short.csv", BatchError, "row 1: has 2 values"),
    ):
        with pytest.raises(error, match=message):
            score(azure, data=data)
    with pytest.raises(
        UsageError,
        match="version 2 is not deployed to batch endpoint 'table-batch': nbops batch deploy table --version 2",
    ):
        score(azure, version="2")
    assert not [
        seen
        for seen in azure_server.record.since(began)
        if seen.method in ("PUT", "POST") and "oauth2" not in seen.path
    ]


def test_endpoint_and_deployments_can_be_deleted_twice(
    azure: Settings, models: dict[str, Path], rows: pd.DataFrame
) -> None:
    register(azure, "gone", models["other"])
    place = BatchDeployments(azure, "gone", "prod")
    place.deploy()
    assert (place.delete(), place.delete()) == (True, False)
    with pytest.raises(UsageError, match="has no batch endpoint in workspace .* nbops batch deploy gone --version 1"):
        score_on_azure(BatchRequest("gone", "rows.csv", Path("x.csv")), azure, Lines())
