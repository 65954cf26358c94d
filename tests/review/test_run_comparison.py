"""Two real runs beside each other: everything that a run records and that can differ is in the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.__main__ import run
from notebooks_lib.datasets import Dataset
from notebooks_lib.review.run_comparison import compare_runs
from notebooks_lib.review.run_record import read_run
from notebooks_lib.running import plan
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect
from tests.git_commands import commit, make_repository
from tests.notebooks.building import code, md, write
from tests.promotion.conftest import Trials, better, worse

LOCK = 'alpha-package==1.0 \\\n    --hash=sha256:00\nbeta==2.0 ; python_version >= "3.9" \\\n    --hash=sha256:11\n'
PARAMETERS = code("strength: float = 1.0\nseed: int = 0", "parameters", id="parameters")
BEFORE = [md("# T", id="title"), PARAMETERS, code("import time\nx = 1", id="quick"), code("y = strength", id="record")]
AFTER = [BEFORE[0], PARAMETERS, BEFORE[3], code("import time\nx = time.sleep(0.7)", id="quick")]


def make_run(project: Settings, *cells: object, **values: float) -> str:
    path = write(project.root / "q.ipynb", *cells)  # type: ignore[arg-type]
    commit(project.root)
    result = run_notebook(plan.make_plan(path, project, values), html=False)
    assert result.run_id is not None
    for name, metric in (("rmse", 50 / values.get("strength", 1.0)), ("n", 3)):
        connect(project).client.log_metric(result.run_id, name, metric)
    return result.run_id


@pytest.mark.notebooks
def test_two_runs(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_repository(project.root)
    (root / ".gitignore").write_text(".nbops\n")
    project.layout.lock.write_text(LOCK)
    base = make_run(project, *BEFORE)
    project.layout.lock.write_text(LOCK.replace("2.0", "2.1"))
    head = make_run(project, *AFTER, strength=2.0)
    store = connect(project)
    runs = [read_run(store, base[:12]), read_run(store, head)]
    comparison = compare_runs(*runs)

    assert [tuple(vars(one).values()) for one in comparison.parameters] == [("strength", "1.0", "2.0")]
    assert [tuple(vars(one).values()) for one in comparison.packages] == [("beta", "2.0", "2.1")]
    assert [one.name for one in comparison.commit] == ["commit"]
    assert comparison.environment == ""
    slowest = comparison.costs[0]
    assert (slowest.name, slowest.base_cell, slowest.head_cell) == ("quick", 2, 3), "as the author counts cells"
    assert slowest.more_seconds > 0.2  # of 0.7; the import before it takes its time on a busy machine
    assert comparison.diff is not None
    assert len(comparison.diff.head.raw["cells"]) == len(comparison.diff.head.cells), "outputs stand at the same index"
    assert comparison.diff.summary == "1 cell edited, 1 moved", "the cell of given values is the runner's, not a change"

    assert run(["diff", base[:10], head[:10]]) == 0
    printed = capsys.readouterr().out
    for words in (
        "strength    1.0   2.0",
        "beta",
        "rmse     50.00  25.00",
        "the same on both sides, as logged: `n` 3",
        "cell 3 (quick) edited",
        "+x = time.sleep(0.7)",
    ):
        assert words in printed
    assert run(["diff", "--json", base, head]) == 0
    assert json.loads(capsys.readouterr().out)["cells"][0]["name"] == "quick"

    project.layout.lock.write_text("changed==1\n")
    (root / ".git").rename(root / "gone")
    unknown = compare_runs(read_run(store, base), read_run(store, head))
    assert unknown.packages == ()
    assert unknown.environment.startswith("another environment (locks ")


@pytest.mark.tracking
def test_runs_that_recorded_little(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store = connect(project)
    ids = [store.client.create_run(store.experiment_id("e")).info.run_id for _ in range(2)]
    store.client.log_metric(ids[0], "rmse", float("nan"))
    store.client.log_param(ids[1], "own", "value\x1b[31m")
    project.layout.lock.symlink_to("/dev/zero")  # which a branch may commit
    comparison = compare_runs(*(read_run(store, run_id) for run_id in ids))
    assert (comparison.costs, comparison.diff, comparison.packages) == ((), None, ())
    (store_file := Path("broken.ipynb")).write_text("{")
    store.client.log_artifact(ids[0], str(store_file), "notebook")
    assert read_run(store, ids[0]).notebook is None
    assert run(["diff", "--json", *ids]) == 0
    (rmse,) = json.loads(capsys.readouterr().out)["metrics"]
    assert (rmse["name"], rmse["base"], rmse["gain"]) == ("rmse", None, None)
    assert rmse["no_gain_because"] == "the head's run did not log it"
    assert run(["diff", *ids]) == 0
    printed = capsys.readouterr().out
    assert "did not end well" in printed
    assert "keeps no notebook" in printed
    assert "\x1b" not in printed
    with pytest.raises(errors.UsageError, match="unknown run 'ffffffff'"):
        read_run(store, "ffffffff")


@pytest.mark.tracking
def test_metrics_of_two_runs_have_the_verdict_of_a_review(
    trials: Trials, houses: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = trials.fitted(better(), houses, rmse=9.0), trials.fitted(worse(), houses, rmse=0.001)
    assert run(["diff", good, bad]) == 0
    printed = capsys.readouterr().out
    assert "gain on the same 67 validation rows, 95 %" in printed
    assert "  worse\n" in printed, "by what was logged the second is much better"
    assert "`rmse` was logged as 9." in printed
    unlike = trials.run({"rmse": 1.0}, dataset=houses)
    assert run(["diff", good, unlike]) == 0
    assert "no interval: " in capsys.readouterr().out
    assert run(["diff", "--json", good, bad]) == 0
    (rmse,) = json.loads(capsys.readouterr().out)["metrics"]
    assert rmse["gain"]["verdict"] == "worse"


@pytest.mark.parametrize("words", [("01234567", "89abcdef")])
def test_runs_need_a_project(tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
