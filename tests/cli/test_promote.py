"""`nbops promote`: a usage error starts nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.cli import promote
from notebooks_lib.release.journal import ChangeRecord
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from tests.promotion.conftest import Trials

ROOT = Path(__file__).parents[2]


@pytest.mark.tracking
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["metric=rmsee"], "did you mean 'rmse'?"),
        (["experiment=diabetez"], "unknown experiment 'diabetez', did you mean 'diabetes'?"),
        (["min_gain=-1"], "min_gain"),
        (["dry_run=false"], "--live"),
    ],
)
def test_a_usage_error_of_promote_starts_nothing(
    given: list[str], message: str, project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "production" / "promote.ipynb", project.root / "production")
    store.connect(project).experiment_id("diabetes")
    assert program.run(["promote", *(word for pair in given for word in ("-p", pair))]) == 2
    assert message in capsys.readouterr().err
    assert not project.layout.executed.exists()


@pytest.mark.parametrize("approved", ["", "@", "@5"])
def test_an_approval_without_a_model_names_what_is_missing(approved: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["promote", "--continue", approved, "--stage", "test"]) == 2
    assert "names no model: MODEL, or MODEL@VERSION (`make promote` takes it from APPROVED)" in capsys.readouterr().err


@pytest.mark.tracking
def test_a_metric_that_no_run_logged_is_named_before_the_notebook_starts(
    project: Settings,
) -> None:
    trials, used = Trials(project), {Tag.DATASET_PREFIX + "shop": "shop@1#" + "0" * 64}
    runs = [trials.run({"log_loss": 0.3}, experiment="shop", **used) for _ in range(6)]
    shop = {"experiment": "shop", "metric": "brier", "max_candidates": 5}
    note = promote._unlogged_note(shop, project)
    assert note.startswith("no run has logged brier: of 6 runs only the 5 newest are scored")
    assert "-p max_candidates=6" in note
    assert promote._unlogged_note({**shop, "dataset": "shop"}, project) == note
    assert promote._unlogged_note({**shop, "dataset": "shop@2"}, project) == ""
    trials.store.client.log_metric(runs[0], "brier", 0.2)
    assert promote._unlogged_note(shop, project) == ""


def test_a_change_that_was_cut_short_is_named_before_the_notebook_starts(tmp_path: Path) -> None:
    project = Settings(root=tmp_path)
    assert promote._unfinished_notes(project, "houses", live=True) == []
    change = LocalStageChanges(project, "houses", "prod")
    change.take()
    change.begin(ChangeRecord("promotion", "houses", "prod", "2", "ada@home"))
    change.release()
    (note,) = promote._unfinished_notes(project, "houses", live=True)
    assert note.startswith("the promotion of version 2 to prod")
    assert note.endswith("was cut short: it is finished or undone first")
    (note,) = promote._unfinished_notes(project, "houses", live=False)
    assert note.endswith(": --live finishes or undoes it first")
    assert promote._unfinished_notes(project, "flats", live=True) == []
