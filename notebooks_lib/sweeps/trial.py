"""One trial, from the side of whoever runs it: here, in another process or on another machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.records import RunResult, finite
from notebooks_lib.running import outcome
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import formatting, stopping
from notebooks_lib.sweeps.records import Trial
from notebooks_lib.sweeps.tasks import Task
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class Outcome:
    """What came of a task."""

    trial: Trial
    unwritten: bool = False
    """The store did not take the run, or not its end."""


def run(task: Task) -> Outcome:
    """Run the trial as a run of its own, which this process owns. It never raises."""
    try:
        return Outcome(ended(task, _run(task)))
    except errors.RunNotWrittenError as error:
        result = error.result
        seconds = result.seconds if isinstance(result, RunResult) else None
        run_id = result.run_id if isinstance(result, RunResult) else None
        return Outcome(failed(task.number, task.values, error, run_id=run_id, seconds=seconds), unwritten=True)
    except errors.TrackingError as error:
        return Outcome(failed(task.number, task.values, error), unwritten=True)
    except Exception as error:  # noqa: BLE001  # the sweep goes on, whatever it was
        return Outcome(failed(task.number, task.values, error))


def _run(task: Task) -> RunResult:
    here = stopping.here(task.sweep)
    store = here.store if here is not None else connected(task.plan.settings)
    watch = stopping.Watch(store)
    mine = ""

    def begun(run_id: str, _: str) -> None:
        nonlocal mine
        mine = run_id
        if here is None and task.by_tag:
            watch.begin(run_id, task.sweep)

    try:
        return run_notebook(
            task.plan,
            store=store,
            timeout=task.limits.timeout,
            cell_timeout=task.limits.cell_timeout,
            kernel=task.limits.kernel,
            cold=task.limits.cold,
            environment=task.limits.environment,
            html=False,
            wanted=lambda: here.why(mine) if here is not None else watch(),
            on_open=begun,
        )
    finally:
        watch.end()


def ended(task: Task, result: RunResult) -> Trial:
    """The trial as its run ended."""
    state = outcome.trial_state(result.status, result.failure)
    value = result.metrics.get(task.goal.metric) if task.goal is not None else None
    reason = ""
    if result.failure is not None:
        told = result.failure
        what = "" if state == "pruned" else ": ".join(part for part in (told.error, told.message) if part)
        reason = formatting.reason(what, "" if told.cell is None else str(told.cell), told.line)
    elif state == "finished" and task.goal is not None and not finite(value):
        reason = _without(task.goal.metric, result.metrics)
    return Trial(task.number, task.values, state, value, result.metrics, result.run_id, result.seconds, reason)


def failed(
    number: int,
    values: Mapping[str, object],
    error: BaseException,
    *,
    run_id: str | None = None,
    seconds: float | None = None,
) -> Trial:
    """A trial that could not be run, or not be written."""
    said = str(error) if isinstance(error, errors.NbopsError) else f"{type(error).__name__}: {error}"
    return Trial(number, values, "failed", run_id=run_id, seconds=seconds, reason=formatting.reason(said))


def _without(metric: str, logged: Mapping[str, float]) -> str:
    if metric in logged:
        return f"{metric} is {logged[metric]:g}: not a number that can be the best"
    match = errors.nearest(metric, logged)
    meant = f", did you mean {match!r}?" if match else ""
    return f"it logged no {metric!r}{meant} (it logged: {', '.join(sorted(logged)) or 'nothing'})"


_stores: dict[tuple[str, Path], Store] = {}
_connecting = threading.Lock()


def connected(settings: Settings) -> Store:
    """The store, connected to once in this process: that sets MLflow's own default, and greets a server."""
    with _connecting:
        which = (stores.tracking_uri(settings), settings.root)
        if which not in _stores:
            _stores[which] = stores.connect(settings)
        return _stores[which]
