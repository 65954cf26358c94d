"""What `--on` may name, and the contract that the executor of every place keeps."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import compute_targets, executors, parent_run, search_space, trial_runner
from notebooks_lib.sweeps.executors import Executor, Session
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trial_runner import TaskBuilder, TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import Proposal
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun
from tests import building

PATIENCE = 60


@pytest.mark.parametrize("on", ["laptop", "dask://host", "dask://host:0", "dask://host:65536", "local://", ""])
def test_an_unknown_place_is_rejected_with_the_known_ones(on: str) -> None:
    with pytest.raises(errors.UsageError, match="found no such executor, allowed local or dask://HOST:PORT"):
        compute_targets.find_compute_target(on)


def test_only_this_process_shares_its_cores_with_the_trials() -> None:
    here, cluster = (
        compute_targets.find_compute_target("local"),
        compute_targets.find_compute_target("dask://[::1]:8786"),
    )
    assert (here, cluster.on) == (executors.LOCAL, "dask://[::1]:8786")
    assert (here.is_local, cluster.is_local) == (True, False)
    assert here.thread_limits(1, {})
    assert (cluster.default_jobs(), cluster.thread_limits(1, {})) == (None, {})


def test_without_dask_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UsageError, match=r"Dask is not installed: pip install 'distributed==[\d.]+', here and"):
        compute_targets.find_compute_target("dask://host:8786")


@pytest.fixture(params=compute_targets.SCHEMES)
def on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the address of one place of each kind: for Dask a real scheduler, with one worker of one thread."""
    if request.param == "local":
        yield "local"
        return
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path / "worker"),
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


class Work:
    """Trials of one notebook, to be executed at a place."""

    def __init__(self, project: Settings, on: str) -> None:
        cells = ("import time\nif alpha == 2:\n    raise ValueError('two')", "time.sleep(seconds)")
        path = project.root / "work" / "n.ipynb"
        building.write(path, *cells, parameters="alpha: float = 1.0\nseconds: float = 0.0")
        schema = parameter_schema.read_schema(document.read(path))
        domain = search_space.read_search_space(schema, grid=["alpha=1,2"])
        self.store = store.connect(project)
        self.lines: list[str] = []
        request = SweepRequest(NotebookPlanner(path, project), domain, place=compute_targets.find_compute_target(on))
        started = parent_run.parent_start(request.source, domain, None, None)
        self.parent = OwnedRun.open(self.store, started)
        self.tasks = TaskBuilder(request, self.parent)
        session = Session(request.source, started, self.store, self.lines.append)
        self.executor: Executor[TrialTask, TrialOutcome] = request.place.connect(trial_runner.run_trial, session)

    def task(self, number: int, **values: object) -> TrialTask:
        """Return the task of a trial."""
        return self.tasks.make(Proposal(number, {"alpha": 1.0, "seconds": 0.0, **values}))


@pytest.fixture
def work(project: Settings, on: str) -> Iterator[Work]:
    work = Work(project, on)
    yield work
    work.executor.close()
    work.executor.close()  # closing again does nothing
    work.parent.end("FINISHED")


@pytest.mark.tracking
@pytest.mark.notebooks
def test_each_task_gets_one_outcome_also_if_its_notebook_fails(work: Work) -> None:
    assert work.executor.capacity() >= 1
    work.executor.poll()
    futures = [work.executor.submit(work.task(number, alpha=number + 1.0)) for number in range(2)]
    first, second = (future.result(PATIENCE).trial for future in futures)
    assert (first.number, first.state, first.values["alpha"]) == (0, "finished", 1.0)
    assert (second.number, second.state) == (1, "failed")
    assert "ValueError: two" in second.reason
    runs = {run.run_id: run.status for run in query.children(work.store, work.parent.run_id)}
    assert runs == {first.run_id: "FINISHED", second.run_id: "FAILED"}


@pytest.mark.tracking
@pytest.mark.notebooks
def test_cancelling_ends_what_waits_and_leaves_what_runs(work: Work) -> None:
    futures = [work.executor.submit(work.task(number, seconds=1.0)) for number in range(work.executor.capacity() + 1)]
    until = time.monotonic() + PATIENCE
    while not query.children(work.store, work.parent.run_id):
        assert time.monotonic() < until, "no trial has begun"
        time.sleep(0.05)
    work.executor.cancel()
    done, running = wait(futures, timeout=PATIENCE)
    assert not running
    for future in done:
        try:
            assert future.result().trial.state == "finished"
        except CancelledError:
            assert len(futures) > work.executor.capacity()
    assert any(not future.cancelled() for future in done)
