"""The parent run of a sweep: opened with the search space, ended with the result, held by one process at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from filelock import FileLock, Timeout

from notebooks_lib import errors
from notebooks_lib.records import Failure, RunStatus, TrialState
from notebooks_lib.running import executed_notebook
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import report
from notebooks_lib.sweeps.grid_values import ParameterGrid
from notebooks_lib.sweeps.search_space import SearchSpace
from notebooks_lib.sweeps.trials import Goal, SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.owner import OwnedRun, RunStart
from notebooks_lib.tracking.store import Store, answering

NAMES_SHOWN = 6


def describe(domain: SearchSpace, goal: Goal | None) -> dict[str, Any]:
    """Return the search space as JSON: fixed values, swept values, goal."""
    return {
        "grid" if isinstance(domain.swept, ParameterGrid) else "space": domain.swept.described,
        "fixed": {name: repr(value) for name, value in domain.fixed.items()},
        "goal": f"{goal.metric}:{goal.direction}" if goal is not None else None,
    }


def digest(notebook: str, what: Mapping[str, Any]) -> str:
    """Return a digest of notebook, search space and goal. A sweep with an equal digest can be resumed."""
    return hashlib.sha256(json.dumps([notebook, what]).encode()).hexdigest()


def start(source: NotebookPlanner, domain: SearchSpace, goal: Goal | None, name: str | None) -> RunStart:
    """Return the start of the parent run, before its first trial."""
    space_json = describe(domain, goal)
    swept = list(domain.swept.described)
    shown = ", ".join(swept[:NAMES_SHOWN]) + (", …" if len(swept) > NAMES_SHOWN else "")
    parameters = {**source.schema.defaults, **domain.fixed}
    run_start = source.common(parameters, name=name or f"{source.notebook.path.stem}: sweep of {shown}")
    tags = {
        Tag.SWEEP: "parent",
        Tag.SWEEP_DIGEST: digest(run_start.notebook, space_json),
        Tag.SWEEP_SPACE: json.dumps(space_json, ensure_ascii=False),
        Tag.SWEEP_GOAL: space_json["goal"] or "",
    }
    fixed_parameters = {key: value for key, value in parameters.items() if key not in swept}
    return dataclasses.replace(run_start, parameters=fixed_parameters, tags=tags)


@contextlib.contextmanager
def held(settings: Settings, run_id: str) -> Iterator[None]:
    """Lock the sweep within the block. Raise UsageError when another process holds it."""
    lock = FileLock(settings.layout.sweeps / f"{run_id}.lock")
    try:
        settings.layout.sweeps.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise errors.UsageError(f"sweep {run_id} is running in another process: wait for it, or stop it") from error
    except OSError as error:
        raise errors.UsageError(
            f"{settings.layout.sweeps} cannot be written: {error}; make it a writable folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def finish(owned: OwnedRun, result: SweepResult, failure: Failure | None, tell: Callable[[str], None]) -> None:
    """Write the report and end the run. If the sweep has failed already, an error of the store does not hide that."""
    try:
        if failure is None:
            _report(owned.store, result, tell)
        end(owned, result, failure)
    except Exception as error:
        if failure is None:
            raise
        tell(f"sweep {result.run_id} could not be ended: {errors.reason(error)}")


def _report(store: Store, result: SweepResult, tell: Callable[[str], None]) -> None:
    try:
        report.write(result, store)
    except errors.TrackingError as error:  # the trials' runs hold the same values
        tell(str(error))
    if result.best is not None and result.best.run_id is not None:
        try:
            executed_notebook.fetch_page(
                store, result.best.run_id
            )  # users open this page first; others are rendered on request
        except Exception as error:  # noqa: BLE001  # a page is a convenience
            tell(f"no page of the best trial: {errors.reason(error)}")


def end(owned: OwnedRun, result: SweepResult, failure: Failure | None = None) -> None:
    """End the run with its status, the number of trials in each state and the best trial."""
    tags = {Tag.SWEEP_COUNT + state: str(result.count(state)) for state in get_args(TrialState) if state != "running"}
    tags[Tag.SWEEP_TOTAL] = str(result.total)
    tags[Tag.SWEEP_SECONDS] = f"{result.seconds:.3f}"
    best = result.best
    with answering(owned.store):
        if best is not None and best.run_id is not None and result.goal is not None and best.value is not None:
            tags[Tag.SWEEP_BEST] = best.run_id
            owned.store.client.log_metric(owned.run_id, f"best_{result.goal.metric}", best.value)
        owned.end(result.status, failure=failure, tags=tags)


def status(trials: Mapping[int, Trial], *, stopped: RunStatus | None) -> RunStatus:
    """Return FINISHED, or FAILED if all trials failed, unless the sweep was stopped."""
    if stopped is not None:
        return stopped
    good = any(trial.state in ("finished", "skipped", "pruned") for trial in trials.values())
    return "FINISHED" if good or not trials else "FAILED"
