"""production/promote.ipynb and `nbops promote`, from the runs to the answer that a CI job reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.models import champions
from notebooks_lib.notebooks import document, notebook_rules, parameter_schema
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from tests.building import write
from tests.promotion.conftest import better, worse

NOTEBOOK = Path(__file__).parents[2] / "production" / "promote.ipynb"
ASKED = ["-p", "experiment=houses", "-p", "model_name=houses"]
TWO = ["-p", "challengers=2"]


def test_it_changes_nothing_by_default_and_keeps_the_rules_of_the_house():
    notebook = document.read(NOTEBOOK)
    assert parameter_schema.read_schema(notebook).defaults["dry_run"] is True
    assert notebook_rules.check(notebook) == []
    assert max(len(cell.source.splitlines()) for cell in notebook.code_cells if "parameters" not in cell.tags) <= 10


@pytest.fixture
def github(endpoints, monkeypatch, tmp_path):
    """What a CI job reads after `nbops promote` of the project's notebook."""
    shutil.copy(NOTEBOOK, endpoints.root / "production")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "github"))
    return tmp_path / "github"


def set_stage(endpoints, *lines):
    with endpoints.layout.settings_file.open("a") as file:
        file.write("\n".join(["", "[stages.prod]", "require_clean = false", "require_fingerprint = false", *lines, ""]))


@pytest.mark.proof  # release/test_canary_deployment.py has stages and approvals, test_notebooks.py runs the notebook
@pytest.mark.notebooks
@pytest.mark.tracking
def test_a_promotion_waits_for_an_approval_goes_on_and_is_read_from_mlflow(
    trials, houses, endpoints, github, capsys, tmp_path
):
    lesser = trials.fitted(worse(), houses)
    good = trials.fitted(better(), houses)
    set_stage(endpoints, "approval = true")
    assert nbops(["promote", "--live", "--stages", "dev,prod", *ASKED, *TWO]) == 0
    out = capsys.readouterr().out
    assert "other challengers" in out
    assert f"run {lesser[:8]}" in out
    assert "waiting: houses version 1 needs an approval to enter prod" in out
    assert "nbops promote --continue houses" in out
    assert champions.champion(trials.store, "houses") is None
    assert champions.champion(trials.store, "houses", "dev").run_id == good
    assert nbops(["promote", "--continue", "houses"]) == 0
    assert github.read_text() == (
        "promoted=false\nwaiting=prod\nmodel=houses\nversion=1\ndecision=promote\n"
        "promoted=true\nmodel=houses\nversion=1\n"
    )
    out += capsys.readouterr().out
    assert "houses version 1: promoted" in out
    assert "curl -sS" in out
    assert "nbops ui" in out
    champion = champions.champion(trials.store, "houses")
    assert champion is not None
    assert champion.run_id == good
    recorded = query.get_run(trials.store, champion.tags[Tag.DECISION_RUN])
    assert recorded.ended
    assert (recorded.experiment, recorded.tags[Tag.PROMOTED]) == ("promotion", "true")
    assert champion.tags[Tag.CARD] == f"runs:/{recorded.run_id}/promotion/card.html"
    card = trials.store.client.download_artifacts(recorded.run_id, "promotion/card.html", str(tmp_path))
    assert "<h1>Promote</h1>" in Path(card).read_text()
    assert "card.html" in out


@pytest.mark.proof  # release/test_gate.py has both answers; a notebook that fails is below
@pytest.mark.notebooks
@pytest.mark.tracking
def test_a_stage_refuses_then_the_champion_is_kept(trials, houses, endpoints, github, capsys, monkeypatch, tmp_path):
    trials.fitted(worse(), houses)
    trials.fitted(better(), houses)
    set_stage(endpoints)
    assert nbops(["promote", "--live", "--json", "--stages", "test,prod", *ASKED, *TWO]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "may not enter test: its run has no fingerprint" in str(told["failure"])
    assert (told["promoted"], told["decision"]["answer"], told["release"]["version"]) == (False, "promote", "1")
    assert (told["card"].rpartition("/")[2], told["waiting"], told["endpoint"]) == ("card.html", "", None)
    (failed,) = query.search(trials.store, "", [trials.store.experiment_id("promotion")])
    told = failed.info.status, failed.data.tags[Tag.DECISION], failed.data.tags[Tag.PROMOTED]
    assert told == ("FAILED", "promote", "false")
    assert github.read_text() == "promoted=false\ndecision=promote\n"
    assert nbops(["promote", "--live", "--stages", "dev,prod", *ASKED]) == 0
    github.unlink()
    capsys.readouterr()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    assert nbops(["promote", "--json", *ASKED]) == 0
    assert "kept: houses version 1 stays" in (tmp_path / "summary").read_text()
    told = json.loads(capsys.readouterr().out)
    assert told["promoted"] is False
    assert told["decision"]["answer"] == "keep"
    assert told["decision"]["summary"] == "version 1 stays: the best candidate is the champion itself"
    assert query.get_run(trials.store, told["run_id"]).tags[Tag.DECISION] == "keep"
    assert github.read_text() == "promoted=false\nmodel=houses\nversion=1\ndecision=keep\n"


@pytest.mark.notebooks
@pytest.mark.tracking
def test_a_notebook_that_fails_promotes_nothing(project, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "github"))
    write(project.root / "production" / "promote.ipynb", "raise ValueError(dry_run)", parameters="dry_run: bool = True")
    assert nbops(["promote", "--live"]) == 1
    assert "ValueError: False" in capsys.readouterr().out
    assert (tmp_path / "github").read_text() == "promoted=false\n"


def test_live_is_said_once(empty_project, capsys):
    shutil.copy(NOTEBOOK, empty_project.root / "production")
    assert nbops(["promote", "-p", "dry_run=false"]) == 2
    assert "--live" in capsys.readouterr().err
    assert nbops(["promote", "--live", "-p", "model_name=../x"]) == 2
    assert "model" in capsys.readouterr().err
    assert nbops(["promote", "--live", "-p", "metrik=mae"]) == 2
    assert "did you mean 'metric'" in capsys.readouterr().err
    assert nbops(["promote", "--live", "-p", "challengers=6"]) == 2
    assert "challengers is 6 and max_candidates 5" in capsys.readouterr().err
