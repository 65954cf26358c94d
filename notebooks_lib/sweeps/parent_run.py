"""The parent run of a sweep: it starts with the search space, is found again to be resumed, is held by one process at
a time, and ends with the result."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from filelock import FileLock, Timeout

from notebooks_lib import errors
from notebooks_lib.run_result import Failure, RunStatus, TrialState
from notebooks_lib.running import notebook_page, stop_tag
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import report
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.parameter_grid import ParameterGrid
from notebooks_lib.sweeps.search_space import SearchSpace
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, translate_store_errors

NAMES_SHOWN = 6


@dataclass(frozen=True)
class SweepDescription:
    """The search space and goal of a sweep. A sweep with an equal description can be resumed."""

    kind: Literal["grid", "space"]
    swept: Mapping[str, str]
    """Each swept parameter with its values or its distribution, as a user could write them."""
    fixed: Mapping[str, str]
    """Each fixed parameter with the repr of its value."""
    goal: str | None
    """`NAME:DIRECTION` of the metric."""

    @classmethod
    def of(cls, domain: SearchSpace, goal: Goal | None) -> SweepDescription:
        """Describe a search space with its goal."""
        return cls(
            "grid" if isinstance(domain.swept, ParameterGrid) else "space",
            domain.swept.described,
            {name: repr(value) for name, value in domain.fixed.items()},
            f"{goal.metric}:{goal.direction}" if goal is not None else None,
        )

    @classmethod
    def from_tag(cls, text: str) -> SweepDescription | None:
        """Read the description from a tag's text; None if it cannot be read, because a store may cut off long tags."""
        try:
            content = json.loads(text)
            kind: Literal["grid", "space"] = "grid" if "grid" in content else "space"
            return cls(kind, dict(content[kind]), dict(content["fixed"]), content["goal"])
        except (ValueError, LookupError, TypeError):
            return None

    def to_tag(self) -> str:
        """Return the description as text for a tag."""
        return json.dumps(self._json(), ensure_ascii=False)

    def digest(self, notebook: str) -> str:
        """Return a digest of the description and the text `notebook`."""
        return hashlib.sha256(json.dumps([notebook, self._json()]).encode()).hexdigest()

    def _json(self) -> dict[str, object]:
        return {self.kind: dict(self.swept), "fixed": dict(self.fixed), "goal": self.goal}

    def __str__(self) -> str:
        settings = [f"{name} in {values}" for name, values in self.swept.items()]
        settings += [f"{name}={value}" for name, value in self.fixed.items()]
        return ", ".join([*settings, self.goal] if self.goal else settings)


def parent_start(
    source: NotebookPlanner, domain: SearchSpace, goal: Goal | None, name: str | None, *, service: str = ""
) -> RunStart:
    """Return the description with which a session opens the parent run, before its first trial.

    `service` is the service that proposes the trials. A sweep of a service is never resumed as one without.
    """
    description = SweepDescription.of(domain, goal)
    swept = list(description.swept)
    shown = ", ".join(swept[:NAMES_SHOWN]) + (", …" if len(swept) > NAMES_SHOWN else "")
    parameters = {**source.schema.defaults, **domain.fixed}
    run_start = source.common(parameters, name=name or f"{source.notebook.path.stem}: sweep of {shown}")
    tags = {
        Tag.SWEEP: "parent",
        Tag.SWEEP_DIGEST: description.digest(f"{run_start.notebook} {service}".strip()),
        Tag.SWEEP_SPACE: description.to_tag(),
        Tag.SWEEP_GOAL: description.goal or "",
        **({Tag.SWEEP_SERVICE: service} if service else {Tag.SWEEP_SESSION: uuid.uuid4().hex}),
    }
    fixed_parameters = {key: value for key, value in parameters.items() if key not in swept}
    return dataclasses.replace(run_start, parameters=fixed_parameters, tags=tags)


def session(start: RunStart) -> str:
    """Return the session of a sweep that opens, or reopens, a run of it; empty for a service's."""
    return (start.tags or {}).get(Tag.SWEEP_SESSION, "")


def is_taken_over(owned: OwnedRun) -> bool:
    """Return True if another session has resumed the sweep since this one opened its run, which is then the other's."""
    return stop_tag.is_taken_over(query.get_run(owned.store, owned.run_id).tags, session(owned.start))


def find_sweep(store: Store, start: RunStart, run_id: str) -> RunInfo:
    """Return the parent run to resume: that of `run_id`, else the newest with the same notebook and search space.

    Raise UsageError when there is none, or when the sweep of `run_id` has another search space.
    """
    digest = (start.tags or {})[Tag.SWEEP_DIGEST]
    if run_id:
        sweep = query.get_run(store, run_id)
        if not _is_sweep(sweep):
            raise errors.UsageError(f"run {run_id} is not a sweep; --resume alone takes the newest of this notebook")
        if (service := Tag.SWEEP_SERVICE in sweep.tags) != (Tag.SWEEP_SERVICE in (start.tags or {})):
            raise errors.OtherKindOfSweepError(run_id, service=service)
        if sweep.tags.get(Tag.SWEEP_DIGEST) != digest:
            raise errors.UsageError(
                f"sweep {run_id} has another search space: {_described(sweep)}; "
                "give the same notebook, values, metric and -p"
            )
        return sweep
    with translate_store_errors(store):
        experiment_id = start.experiment_id or store.experiment_id(start.experiment)
        parents = query.search(store, f"tags.`{Tag.SWEEP}` = 'parent'", [experiment_id])
    sweeps = [run for run in (query.run_info(run, start.experiment) for run in parents) if _is_sweep(run)]
    for sweep in sweeps:
        if sweep.tags.get(Tag.SWEEP_DIGEST) == digest:
            return sweep
    same = [sweep for sweep in sweeps if sweep.tags.get(Tag.NOTEBOOK) == start.notebook]
    newest = (
        f"; the newest of this notebook, {same[0].run_id}, has the search space {_described(same[0])}" if same else ""
    )
    raise errors.UsageError(
        f"experiment {start.experiment!r} has no sweep of {start.notebook} over these values{newest}; "
        "leave --resume out to start one"
    )


def _is_sweep(run: RunInfo) -> bool:
    """Return whether it is the run of a sweep: a trial of a service may have a copy of the sweep's tags."""
    return run.holds_trials and run.parent is None


def _described(run: RunInfo) -> str:
    return str(SweepDescription.from_tag(run.tags.get(Tag.SWEEP_SPACE, "")) or "an unreadable search space")


def seconds_before(run: RunInfo) -> float:
    """Return how many seconds earlier sessions of the sweep took, as its tags record."""
    try:
        return float(run.tags.get(Tag.SWEEP_SECONDS, "0"))
    except ValueError:
        return 0.0


@contextlib.contextmanager
def locked_sweep(settings: Settings, run_id: str) -> Iterator[None]:
    """Lock the sweep within the block. Raise UsageError when another process has locked it."""
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


def report_and_end_sweep(
    owned: OwnedRun, result: SweepResult, failure: Failure | None, tell: Callable[[str], None]
) -> None:
    """Write the report and end the run.

    After a failure of the sweep, an error of the store does not replace that failure.
    """
    try:
        if failure is None:
            _report(owned.store, result, tell)
        end_sweep(owned, result, failure)
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
            notebook_page.fetch_page(
                store, result.best.run_id
            )  # users open this page first; others are rendered on request
        except Exception as error:  # noqa: BLE001  # a page is a convenience
            tell(f"no page of the best trial: {errors.reason(error)}")


def end_sweep(owned: OwnedRun, result: SweepResult, failure: Failure | None = None) -> None:
    """End the run with its status, the number of trials in each state, the best trial, and the failure, if any."""
    tags = {Tag.SWEEP_TOTAL: str(result.total), Tag.SWEEP_SECONDS: f"{result.seconds:.3f}"}
    if result.trials or not owned.reopened:  # the numbers of the last session stay if this one has not begun
        counted = (state for state in get_args(TrialState) if state != "running")
        tags |= {Tag.SWEEP_COUNT + state: str(result.count(state)) for state in counted}
    best = result.best
    with translate_store_errors(owned.store):
        if best is not None and best.run_id is not None and result.goal is not None and best.value is not None:
            tags[Tag.SWEEP_BEST] = best.run_id
            owned.store.client.log_metric(owned.run_id, f"best_{result.goal.metric}", best.value)
        owned.end(result.status, failure=failure, tags=tags)


def sweep_status(trials: Mapping[int, Trial], *, stopped: RunStatus | None) -> RunStatus:
    """Return FINISHED, or FAILED if all trials failed, unless the sweep was stopped."""
    if stopped is not None:
        return stopped
    good = any(trial.state in ("finished", "skipped", "pruned") for trial in trials.values())
    return "FINISHED" if good or not trials else "FAILED"
