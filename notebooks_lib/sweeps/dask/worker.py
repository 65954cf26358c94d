"""Run trials on a worker of a Dask cluster, in the worker's own copy of the project."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pickle
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from notebooks_lib import cpu_count
from notebooks_lib.kernels import preferences
from notebooks_lib.running import stop_tag
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Tracking
from notebooks_lib.sweeps import executors, open_trials, stop_requests, trial_runner
from notebooks_lib.sweeps.dask import bundle, preflight
from notebooks_lib.sweeps.dask.bundle import ProjectBundle
from notebooks_lib.sweeps.trial_runner import TrialOutcome, TrialTask
from notebooks_lib.sweeps.trials import Trial
from notebooks_lib.tags import Env
from notebooks_lib.tracking import orphan_runs
from notebooks_lib.tracking.store import Store, translate_store_errors

WAIT = 60.0
"""Seconds that a trial waits for the project on a new worker before it is returned."""
PAUSE = 1.0
"""Seconds that an unfit worker holds a trial, so that others take the next one."""
BEGUN_ANEW = "its worker is gone, and the trial was begun anew"


@dataclass(frozen=True)
class _Ready:
    settings: Settings
    project: ProjectBundle


_ready: dict[str, _Ready] = {}
_unfit: set[str] = set()


async def prepare_worker(project: ProjectBundle, dask_worker: Any) -> list[str]:
    """Check this worker and unpack the project. Return the problems; none means that it is ready."""
    folder = Path(dask_worker.local_directory) / f"nbops-{project.session}"
    return await asyncio.to_thread(_prepare, project, folder)


def _prepare(project: ProjectBundle, folder: Path) -> list[str]:
    root = folder / project.settings.root.name
    tracking = Tracking(uri=project.requirements.uri, experiment=project.settings.tracking.experiment)
    settings = project.settings.model_copy(update={"root": root, "tracking": tracking})
    problems = list(preflight.worker_problems(project.requirements, settings))
    if problems:
        _unfit.add(project.session)
    elif project.session not in _ready:
        shutil.rmtree(folder, ignore_errors=True)
        bundle.unpack(project.archive, root)
        if project.import_history:
            history = _history_file(root, project)
            history.parent.mkdir(parents=True, exist_ok=True)
            history.write_bytes(project.import_history)
        _ready[project.session] = _Ready(settings, dataclasses.replace(project, archive=b"", import_history=b""))
    return problems


def delete_project(session: str) -> None:
    """Delete the session's copy of the project, unless it has executed notebooks that the store did not accept."""
    ready = _ready.pop(session, None)
    _unfit.discard(session)
    if ready is None:
        return
    executed = ready.settings.layout.executed
    if executed.is_dir() and any(executed.iterdir()):
        return
    _history_file(ready.settings.root, ready.project).unlink(missing_ok=True)
    shutil.rmtree(ready.settings.root.parent, ignore_errors=True)


def packed_call(
    session: str, threads: Mapping[str, int], work: Callable[[TrialTask], TrialOutcome], task: TrialTask
) -> bytes:
    """Return a call of `run_on_worker` as bytes: `pickle.loads` makes the call and returns its outcome.

    Dask may give a trial to a worker that was not checked yet. A message that such a worker cannot load ends the
    worker. Bytes that it cannot load only fail the trial there, and Dask sends it to another worker.
    """
    return pickle.dumps(_Call((session, threads, work, task)))


class _Call:
    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return run_on_worker, self._arguments


def run_on_worker(
    session: str, threads: Mapping[str, int], work: Callable[[TrialTask], TrialOutcome], task: TrialTask
) -> TrialOutcome | None:
    """Run the trial in this worker's copy of the project. Return None if there is no copy.

    If the copy is not there yet, wait some seconds for it: Dask counts how many workers died of one task, and would
    count a task that is sent again as a new one. `threads` is the number of parallel trials on each host, which share
    its cores.
    """
    until = time.monotonic() + WAIT
    while session not in _ready and session not in _unfit and time.monotonic() < until:
        time.sleep(0.1)
    ready = _ready.get(session)
    if ready is None:
        time.sleep(PAUSE)
        return None
    local_task = _relocated(task, ready, threads)
    try:
        store = trial_runner.connect_once(ready.settings)
        if stop_tag.is_over(store, task.sweep, task.session):
            return TrialOutcome(Trial(task.number, task.values, "killed", reason="stopped before it began"))
        close_earlier(store, task, BEGUN_ANEW)
    except Exception as error:  # noqa: BLE001  # a store that is away, as when the run itself cannot be opened
        return TrialOutcome(trial_runner.failed_trial(task.number, task.values, error), unwritten=True)
    outcome = work(local_task)
    if outcome.trial.run_id is not None and not outcome.unwritten:  # the run holds a copy, and workers have small disks
        for copy in ready.settings.layout.executed.glob(f"*-{outcome.trial.run_id[:8]}.ipynb"):
            copy.unlink(missing_ok=True)
    return outcome


def close_earlier(store: Store, task: TrialTask, reason: str) -> list[str]:
    """End the open runs of a trial that Dask restarts after a worker's death, and return their ids."""
    with translate_store_errors(store):
        runs = open_trials.open_trials(store, task.sweep, number=task.number, experiment_id=task.start.experiment_id)
        for run in runs:
            stop_requests.request_stop(store, run.run_id, "stopped")  # in case its worker is still alive
            orphan_runs.end_as_killed(store, run.run_id, run.tags, reason)
    return [run.run_id for run in runs]


def _relocated(task: TrialTask, ready: _Ready, threads: Mapping[str, int]) -> TrialTask:
    """Return the task with the paths and settings of this worker."""
    start = dataclasses.replace(task.start, tags={**(task.start.tags or {}), "mlflow.user": ready.project.user})
    notebook = dataclasses.replace(task.plan.notebook, path=ready.settings.root / task.start.notebook)
    plan = dataclasses.replace(task.plan, notebook=notebook, settings=ready.settings, start=start)
    environment = {**_limits(threads), **task.limits.environment, **ready.project.environment}
    return dataclasses.replace(task, plan=plan, limits=dataclasses.replace(task.limits, environment=environment))


def _limits(threads: Mapping[str, int]) -> dict[str, str]:
    """Return the threads for each kernel. A nanny's variables are ignored: they are for Dask's own arrays."""
    from distributed import get_worker

    at_once = threads.get(urlsplit(get_worker().address).hostname or "", 1)
    return dict.fromkeys(executors.THREAD_VARIABLES, str(max(1, cpu_count.max_workers() // at_once)))


def _history_file(root: Path, project: ProjectBundle) -> Path:
    return Path(
        preferences.read_preferences(str(root), {**os.environ, **project.environment, Env.ROOT: str(root)}).memory
    )
