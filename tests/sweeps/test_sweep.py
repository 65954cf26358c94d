"""A sweep leaves a parent run and a child run per trial; each run records its end, whatever ended the sweep."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import cpu_count, errors
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.promotion import run_ranking
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import executors, open_trials, parent_run, search_space, stop_requests, sweep, trial_runner
from notebooks_lib.sweeps.executors import TrialLimits
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trial_runner import TaskBuilder
from notebooks_lib.sweeps.trials import Proposal, SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

LOGS = "from notebooks_lib.tracking import run\nrun().log({'rmse': (alpha - 2.0) ** 2})"


def request(project: Settings, *cells: str, declared: str = "alpha: float = 1.0", **options: Any) -> SweepRequest:
    """Return a request for a notebook with these cells; `grid` and `space` as on the command line."""
    path = project.root / "work" / "n.ipynb"
    if cells:
        building.write(path, *cells, parameters=declared)
    schema = parameter_schema.read_schema(document.read(path))
    swept = {key: options.pop(key, ()) for key in ("grid", "space", "parameters")}
    return SweepRequest(NotebookPlanner(path, project), search_space.read_search_space(schema, **swept), **options)


def children(project: Settings, result: SweepResult) -> dict[int, query.RunInfo]:
    found = query.children(store.connect(project), result.run_id)
    return {int(run.tags[Tag.TRIAL]): run for run in found}


def test_a_grid_continues_after_a_failure_and_every_run_holds_its_trial(project: Settings) -> None:
    cells = (
        "import os\nprint(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])",
        "if alpha == 3:\n    raise ValueError('three')",
    )
    shown: list[dict[int, str]] = []

    def show(trials: Mapping[int, Trial], total: int) -> None:
        assert total == 4
        shown.append({number: trial.state for number, trial in trials.items()})

    sweep_request = request(
        project,
        *cells,
        grid=["alpha=1,2,3,4"],
        jobs=2,
        limits=TrialLimits(environment=executors.thread_limits(1, {"MKL_NUM_THREADS": "7"}) | {"MKL_NUM_THREADS": "7"}),
    )
    result = sweep.run_sweep(sweep_request, store.connect(project), on_change=show)

    assert [trial.state for trial in result.trials] == ["finished", "finished", "failed", "finished"]
    assert [trial.values for trial in result.trials] == [{"alpha": float(k)} for k in range(1, 5)]
    assert "ValueError: three, in cell 2 (if alpha == 3:)" in result.trials[2].reason
    assert result.status == "FINISHED"
    assert {0: "running", 1: "running"} in shown
    assert max(list(states.values()).count("running") for states in shown) == 2
    parent = query.get_run(store.connect(project), result.run_id)
    assert parent.status == parent.tags[Tag.END] == "FINISHED"
    assert parent.holds_trials
    assert parent.name == "n: sweep of alpha"
    assert (parent.tags[Tag.SWEEP_COUNT + "finished"], parent.tags[Tag.SWEEP_COUNT + "failed"]) == ("3", "1")
    assert json.loads(parent.tags[Tag.SWEEP_SPACE])["grid"].keys() == {"alpha"}
    runs = children(project, result)
    assert sorted(runs) == [0, 1, 2, 3]
    for number, run in runs.items():
        assert run.run_id == result.trials[number].run_id
        assert run.name == f"n alpha={number + 1}"
        assert run.parent == result.run_id
        assert run.tags[Tag.TRIAL_STATE] == result.trials[number].state
        assert run.status == run.tags[Tag.END] == ("FAILED" if number == 2 else "FINISHED")
        assert run.params == {"alpha": f"{number + 1}.0"}
    executed = next(project.layout.executed.glob(f"*{runs[0].run_id[:8]}*"))
    assert f"{cpu_count.max_workers()} 7" in executed.read_text()


def test_fail_fast_stops_at_the_first_failure(project: Settings) -> None:
    sweep_request = request(project, "1 / (alpha - 1)", grid=["alpha=1,2,3"], jobs=1, fail_fast=True)
    result = sweep.run_sweep(sweep_request, store.connect(project))
    assert [trial.state for trial in result.trials] == ["failed"]
    assert (result.status, result.total) == ("FAILED", 3)
    assert query.get_run(store.connect(project), result.run_id).status == "FAILED"


def test_trials_are_ordinary_runs_and_skip_seen_reuses_them(
    project: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = Goal("rmse")
    connected = store.connect(project)
    first = sweep.run_sweep(request(project, LOGS, grid=["alpha=1,2"], goal=goal, jobs=2), connected)
    assert first.best is not None
    assert (first.best.values, first.best.value) == ({"alpha": 2.0}, 0.0)
    parent = query.get_run(connected, first.run_id)
    assert parent.tags[Tag.SWEEP_BEST] == first.best.run_id
    assert parent.metrics == {"best_rmse": 0.0}
    files = [file.path for file in connected.client.list_artifacts(first.run_id, "sweep")]
    assert {"sweep/trials.csv", "sweep/summary.html"} <= set(files)

    runs = query.find_runs(connected, "sample")
    assert {run.run_id for run in runs} == {trial.run_id for trial in first.trials}, (
        "the sweep's own run is no candidate"
    )
    assert run_ranking.rank(runs, "rmse", "min").without == ()

    def start(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be started")

    monkeypatch.setattr(trial_runner, "run_notebook", start)
    monkeypatch.setattr("notebooks_lib.running.runner.execute", start)
    again = sweep.run_sweep(request(project, grid=["alpha=2,1"], goal=goal, jobs=2, skip_seen=True), connected)
    assert [(trial.state, trial.value) for trial in again.trials] == [("skipped", 0.0), ("skipped", 1.0)]
    assert [trial.run_id for trial in again.trials] == [trial.run_id for trial in reversed(first.trials)]
    assert children(project, again) == {}
    path = str(project.root / "work" / "n.ipynb")
    capsys.readouterr()
    assert program.run(["run", path, "-p", "alpha=2", "--skip-seen", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seen"], told["run_id"], told["metrics"]) == (True, first.best.run_id, {"rmse": 0.0})
    assert program.run(["run", path, "-p", "alpha=2", "--skip-seen"]) == 0
    assert "not run again" in capsys.readouterr().out


def test_a_pickled_trial_is_stopped_inside_its_cell_by_the_tag_on_its_run(project: Settings) -> None:
    """As on a worker of a cluster, only the store is shared."""
    flag = project.root / "flag"
    cell = f"open({str(flag)!r}, 'w').close()\nimport time\nfor _ in range(600):\n    time.sleep(0.1)"
    sweep_request = request(project, "x = 1", cell, grid=["alpha=1,2"])
    connected = store.connect(project)
    parent = OwnedRun.open(connected, RunStart("sample", "p", "n.ipynb", "", {}, "", "", None))
    task = TaskBuilder(
        SweepRequest(sweep_request.source, sweep_request.domain, Goal("rmse"), prune="median"), parent
    ).make(Proposal(7, {"alpha": 2.0}))
    _ = sweep_request.source.notebook.cells[0].code  # parsed, which must not be sent along
    sent = pickle.dumps(task)
    assert len(sent) < 10_000
    done: list[trial_runner.TrialOutcome] = []
    thread = threading.Thread(target=lambda: done.append(trial_runner.run_trial(pickle.loads(sent))))
    thread.start()
    wait_for(flag.exists)
    (run,) = open_trials.open_trials(connected, parent.run_id)
    stop_requests.request_stop(connected, run.run_id, "pruned", (3, 9.0))
    thread.join(60)
    (outcome,) = done
    assert (outcome.trial.state, outcome.trial.number) == ("pruned", 7)
    assert outcome.trial.reason.startswith("cell 2 (open(")
    info = query.get_run(connected, run.run_id)
    assert (info.status, info.tags[Tag.END], info.tags[Tag.TRIAL_STATE]) == ("KILLED", "KILLED", "pruned")
    assert info.tags[Tag.TRIAL] == "7"
    assert not [tag for tag in info.tags if tag.startswith("nbops.failure")]
    (executed,) = project.layout.executed.glob("*.ipynb")
    assert "not worth finishing" in executed.read_text()


def test_a_pruner_stops_a_bad_trial_inside_its_cell(project: Settings) -> None:
    """Optuna's median pruner looks at five trials before it stops one."""
    curve = (
        "import time\nfrom notebooks_lib.tracking import run\n"
        "for step in range(600 if alpha > 50 else 3):\n"
        "    run().log({'rmse': alpha + 1 / (step + 1)}, step=step)\n    time.sleep(0.1 if alpha > 50 else 0)"
    )
    sweep_request = request(
        project, "x = 1", curve, grid=["alpha=1,2,3,4,5,99"], goal=Goal("rmse"), prune="median", jobs=1
    )
    result = sweep.run_sweep(sweep_request, store.connect(project))
    assert [trial.state for trial in result.trials] == ["finished"] * 5 + ["pruned"]
    assert result.trials[5].reason == "at step 0, in cell 2 (import time)"
    assert result.trials[5].value == 100.0, "that of the step, not of what it logged until it stopped"
    assert result.status == "FINISHED"
    run = children(project, result)[5]
    assert (run.status, run.tags[Tag.TRIAL_STATE], run.tags[Tag.STOP_STEP]) == ("KILLED", "pruned", "0")
    assert query.get_run(store.connect(project), result.run_id).tags[Tag.SWEEP_COUNT + "pruned"] == "1"
    assert (project.layout.sweeps / f"{result.run_id}.journal").is_file()


def test_a_run_that_the_store_rejects_is_a_failed_trial_and_two_sweeps_do_not_mix(project: Settings) -> None:
    deletes = (
        "import os, sqlite3\nif alpha == 1:\n    with sqlite3.connect('../.nbops/mlflow.db') as database:\n"
        "        database.execute('update runs set lifecycle_stage = ? where run_uuid = ?', ('deleted', os.environ['MLFLOW_RUN_ID']))"
    )
    connected = store.connect(project)
    sweep_request = request(project, deletes, grid=["alpha=1,2"])
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: sweep.run_sweep(sweep_request, connected), range(2)))
    assert results[0].run_id != results[1].run_id
    for result in results:
        assert [trial.state for trial in result.trials] == ["failed", "finished"]
        assert "could not be written" in result.trials[0].reason
        assert result.status == "FINISHED"
        assert [run.run_id for run in children(project, result).values()] == [result.trials[1].run_id]


def test_open_trials_of_an_ended_sweep_are_closed(project: Settings) -> None:
    connected = store.connect(project)
    parent = OwnedRun.open(connected, RunStart("sample", "p", "n.ipynb", "", {}, "", "", None))
    tags = {"mlflow.parentRunId": parent.run_id, Tag.TRIAL: "3"}
    mine = OwnedRun.open(connected, RunStart("sample", "c", "n.ipynb", "", {}, "", "", None, tags))
    open_trials.close_open(connected, parent.run_id)
    info = query.get_run(connected, mine.run_id)
    assert (info.status, info.tags[Tag.TRIAL_STATE], info.tags[Tag.FAILURE]) == ("KILLED", "killed", open_trials.OVER)


def test_a_lost_store_ends_the_sweep_with_one_line(project: Settings) -> None:
    breaks = "import pathlib\nfor path in pathlib.Path('../.nbops').glob('mlflow.db*'):\n    path.write_bytes(b'broken' * 100_000)"
    lines: list[str] = []
    with pytest.raises(errors.TrackingError, match=r"the sweep stopped: sqlite:.* takes no more runs"):
        sweep.run_sweep(
            request(project, breaks, grid=["alpha=1..9"], jobs=1, parameters=[]),
            store.connect(project),
            tell=lines.append,
            store_patience=0.1,
        )
    assert len(list(project.layout.executed.glob("*.ipynb"))) == 1
    assert any("could not be ended" in line for line in lines)


def test_a_sweep_that_cannot_be_resumed_says_why(project: Settings) -> None:
    connected = store.connect(project)
    with pytest.raises(errors.UsageError, match="has no sweep of work/n.ipynb over these values; leave --resume out"):
        sweep.run_sweep(request(project, "1", grid=["alpha=1,2"], resume=""), connected)
    assert query.find_runs(connected, "sample", ended_only=False) == [], "nothing was started"
    plain = OwnedRun.open(connected, RunStart("sample", "p", "n.ipynb", "", {}, "", "", None))
    with pytest.raises(errors.UsageError, match="is not a sweep"):
        sweep.run_sweep(request(project, grid=["alpha=1,2"], resume=plain.run_id), connected)
    other = sweep.run_sweep(request(project, "1 /", grid=["alpha=1"]), connected)
    assert other.status == "FAILED"
    with pytest.raises(
        errors.UsageError, match=rf"the newest of this notebook, {other.run_id}, has the search space alpha in \[1.0\];"
    ):
        sweep.run_sweep(request(project, grid=["alpha=1,2"], resume=""), connected)
    with pytest.raises(errors.UsageError, match="has another search space"):
        sweep.run_sweep(request(project, grid=["alpha=1,2"], resume=other.run_id), connected)


def test_a_space_is_resumed_where_its_study_is_and_is_left_alone_elsewhere(project: Settings) -> None:
    connected, lines = store.connect(project), list[str]()
    options: dict[str, Any] = {"space": ["alpha=uniform(0, 1)"], "goal": Goal("rmse"), "jobs": 1}
    done = sweep.run_sweep(request(project, LOGS, trials=1, **options), connected)
    before = query.get_run(connected, done.run_id)
    journal = project.layout.sweeps / f"{done.run_id}.journal"
    journal.rename(journal.with_suffix(".elsewhere"))
    with pytest.raises(
        errors.UsageError, match=r"its study is not on this machine \(no .*\.journal\); resume it where"
    ):
        sweep.run_sweep(request(project, trials=2, resume=done.run_id, **options), connected, tell=lines.append)
    after = query.get_run(connected, done.run_id)
    assert (after.status, after.tags, lines) == (before.status, before.tags, [])


def test_a_search_without_its_metric_stops_early_and_an_unknown_kernel_starts_nothing(project: Settings) -> None:
    told: list[str] = []
    options: dict[str, Any] = {"space": ["alpha=uniform(0, 1)"], "trials": 50, "goal": Goal("rmsee"), "jobs": 1}
    connected = store.connect(project)
    with pytest.raises(errors.UsageError, match=r"unknown kernel 'python33', did you mean 'python3'"):
        sweep.run_sweep(request(project, LOGS, limits=TrialLimits(kernel="python33"), **options), connected)
    assert "sample" not in query.experiments(connected), "nothing was started"
    result = sweep.run_sweep(request(project, LOGS, **options), connected, tell=told.append)
    assert (result.status, len(result.trials)) == ("FAILED", sweep.MAX_WITHOUT_GOAL)
    assert "did you mean 'rmse'?" in told[0]
    run = query.get_run(connected, result.run_id)
    assert parent_run.seconds_before(run) == pytest.approx(result.seconds, abs=1)


def wait_for(found: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


def test_a_sweep_that_cannot_start_leaves_no_run_open(project: Settings) -> None:
    (project.layout.state / "sweeps").write_text("a file where a folder must be")
    with pytest.raises(errors.UsageError, match="sweeps cannot be written"):
        sweep.run_sweep(request(project, "print(alpha)", grid=["alpha=1,2"]), store.connect(project))
    assert [run.status for run in query.find_runs(store.connect(project), "sample", ended_only=False)] == ["FAILED"]
