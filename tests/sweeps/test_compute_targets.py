"""What `--on` may name, and the contract that the executor of every place keeps."""

from __future__ import annotations

import importlib.util
import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import compute_targets, executors, parent_run, search_space, stop_requests, trial_runner
from notebooks_lib.sweeps.executors import Executor, Session
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trial_runner import TaskBuilder, TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import Proposal, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.query import RunInfo
from tests import building

PATIENCE = 60


ALLOWED = "found no such place, allowed local, dask://HOST:PORT, azureml:NAME or azureml:serverless"


@pytest.mark.parametrize(
    "on", ["laptop", "dask://host", "dask://host:0", "dask://host:65536", "local://", "", "azureml:", "azureml:a b"]
)
def test_an_unknown_place_is_rejected_with_the_known_ones(on: str) -> None:
    with pytest.raises(errors.UsageError, match=f"{ALLOWED}$"):
        compute_targets.find_compute_target(on)


def test_a_misspelt_place_of_a_workspace_is_put_right() -> None:
    with pytest.raises(errors.UsageError, match=f"{ALLOWED}, did you mean azureml:cpu\\?$"):
        compute_targets.find_compute_target("azure:cpu")


def test_a_job_file_goes_with_jobs_only() -> None:
    assert compute_targets.find_compute_target("azureml:cpu", Path("job.yml")).on == "azureml:cpu"
    for on in ("local", "dask://host:8786"):
        with pytest.raises(errors.UsageError, match=f"--job describes jobs, and trials on {on} are not jobs"):
            compute_targets.find_compute_target(on, Path("job.yml"))


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


PLACES = ["local", "dask", pytest.param("azureml", marks=pytest.mark.proof)]
"""One of each scheme; a job of a workspace takes as long as all others together."""


def test_every_scheme_is_held_to_the_contract() -> None:
    names = {place if isinstance(place, str) else place.values[0] for place in PLACES}
    assert names == set(compute_targets.SCHEMES)


@dataclass(frozen=True)
class Place:
    """An address for `--on`, and a project that can use it."""

    on: str
    project: Settings


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Yield one place of each kind.

    Dask is a real scheduler, with one worker of one thread; Azure ML is emulated, with a cluster of one machine.
    """
    if request.param == "azureml":
        ask, cluster = request.getfixturevalue("ask"), f"c{uuid.uuid4().hex[:8]}"
        own = {"vmSize": "Standard_DS3_v2", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 1}}
        ask(
            "PUT",
            f"computes/{cluster}",
            {"location": "w", "properties": {"computeType": "AmlCompute", "properties": own}},
        )
        yield Place(f"azureml:{cluster}", request.getfixturevalue("azure_workspace").settings)
        return
    project = request.getfixturevalue("project")
    if request.param == "local":
        yield Place("local", project)
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
        yield Place(cluster.scheduler_address.replace("tcp://", "dask://"), project)


class Work:
    """Trials of one notebook, to be executed at a place."""

    def __init__(self, place: Place) -> None:
        project = place.project
        cells = (
            "import os, signal, time\nif alpha == 2:\n    raise ValueError('two')",
            "if alpha == 3:\n    os.kill(os.getpid(), signal.SIGKILL)",
            "import mlflow\nmlflow.log_metric('rmse', alpha / 2)\ntime.sleep(seconds)",
        )
        path = project.root / "work" / "n.ipynb"
        building.write(path, *cells, parameters="alpha: float = 1.0\nseconds: float = 0.0")
        schema = parameter_schema.read_schema(document.read(path))
        domain = search_space.read_search_space(schema, grid=["alpha=1,2"])
        self.store = store.connect(project)
        self.lines: list[str] = []
        request = SweepRequest(
            NotebookPlanner(path, project),
            domain,
            Goal("rmse"),
            prune="median",
            place=compute_targets.find_compute_target(place.on),
        )
        started = parent_run.parent_start(request.source, domain, None, None)
        self.parent = OwnedRun.open(self.store, started)
        self.tasks = TaskBuilder(request, self.parent)
        session = Session(request.source, started, self.store, self.lines.append, request.limits)
        self.executor: Executor[TrialTask, TrialOutcome] = request.place.connect(trial_runner.run_trial, session)

    def task(self, number: int, **values: object) -> TrialTask:
        """Return the task of a trial."""
        return self.tasks.make(Proposal(number, {"alpha": 1.0, "seconds": 0.0, **values}))

    def run(self, number: int, **values: object) -> Trial:
        """Run one trial to its end."""
        return self.executor.submit(self.task(number, **values)).result(PATIENCE).trial

    def begun(self) -> RunInfo:
        """Wait until a trial's cells run; return its run."""
        until = time.monotonic() + PATIENCE
        while not (runs := [run for run in query.children(self.store, self.parent.run_id) if "rmse" in run.metrics]):
            assert time.monotonic() < until, "no trial has begun"
            time.sleep(0.05)
        return runs[0]


@pytest.fixture
def work(place: Place) -> Iterator[Work]:
    work = Work(place)
    yield work
    work.executor.close()
    work.executor.close()  # closing again does nothing
    work.parent.end("FINISHED")


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_each_task_gets_one_outcome_also_if_its_notebook_fails(work: Work) -> None:
    assert work.executor.capacity() >= 1
    work.executor.poll()
    futures = [work.executor.submit(work.task(number, alpha=number + 1.0)) for number in range(2)]
    first, second = (future.result(PATIENCE).trial for future in futures)
    assert (first.number, first.state, first.values["alpha"]) == (0, "finished", 1.0)
    assert (first.value, first.metrics, first.reason) == (0.5, {"rmse": 0.5}, "")
    assert (second.number, second.state, second.value) == (1, "failed", None)
    assert second.reason == "ValueError: two, in cell 1 (import os, signal, time)"
    for trial in (first, second):
        assert trial.seconds is not None
        assert 0 < trial.seconds < 15, "without its wait for a machine"
    runs = {run.run_id: (run.status, run.tags[Tag.END]) for run in query.children(work.store, work.parent.run_id)}
    assert runs == {first.run_id: ("FINISHED", "FINISHED"), second.run_id: ("FAILED", "FAILED")}


@pytest.mark.tracking
@pytest.mark.notebooks
def test_a_killed_kernel_is_a_killed_trial(work: Work) -> None:
    trial = work.run(4, alpha=3.0)
    assert trial.state == "killed"
    reason = (
        "SIGKILL: the kernel was killed by SIGKILL; often the machine ran out of memory, in cell 2 (if alpha == 3:)"
    )
    assert trial.reason == reason
    (run,) = query.children(work.store, work.parent.run_id)
    assert (run.run_id, run.tags[Tag.END], run.tags[Tag.TRIAL_STATE]) == (trial.run_id, "KILLED", "killed")


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
@pytest.mark.parametrize(("word", "state"), [("pruned", "pruned"), ("stopped", "killed")])
def test_a_tag_on_its_run_stops_a_trial(work: Work, word: Literal["pruned", "stopped"], state: str) -> None:
    future = work.executor.submit(work.task(5, seconds=600.0))
    stop_requests.request_stop(work.store, work.begun().run_id, word, (3, 0.5) if word == "pruned" else None)
    trial = future.result(PATIENCE).trial
    why = {
        "pruned": "cell 3 (import mlflow)",
        "stopped": "Interrupted: the runner was asked to stop, in cell 3 (import mlflow)",
    }
    assert (trial.state, trial.reason) == (state, why[word])
    (run,) = query.children(work.store, work.parent.run_id)
    assert (run.tags[Tag.END], run.tags[Tag.TRIAL_STATE]) == ("KILLED", state)


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_cancelling_ends_what_waits_and_leaves_or_asks_what_runs(work: Work) -> None:
    futures = [work.executor.submit(work.task(number, seconds=2.0)) for number in range(work.executor.capacity() + 1)]
    work.begun()
    work.executor.cancel()
    done, running = wait(futures, timeout=PATIENCE)
    assert not running
    for future in done:
        try:
            assert future.result().trial.state == "finished"
        except CancelledError:
            assert len(futures) > work.executor.capacity()
    assert any(not future.cancelled() for future in done)
    work.executor.stop_earlier(work.parent.run_id)  # nothing is left
    assert all(Tag.END in run.tags for run in query.children(work.store, work.parent.run_id))
