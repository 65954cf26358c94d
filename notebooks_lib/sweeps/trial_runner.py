"""Run one trial: build its task, which can be pickled, run the notebook, and return the outcome."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.run_result import RunResult, finite
from notebooks_lib.running.plan import Plan
from notebooks_lib.running.runner import run_notebook, trial_state
from notebooks_lib.running.stop_tag import StopTagWatcher
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import formatting, parent_run, stop_requests
from notebooks_lib.sweeps.executors import TrialLimits
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.sweep_request import SweepRequest
from notebooks_lib.sweeps.trials import Proposal, Trial, values_to_tag
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from notebooks_lib.tracking.store import Store

NAME_ROOM = 100


@dataclass(frozen=True)
class TrialTask:
    """Everything needed to run one trial."""

    number: int
    values: Mapping[str, object]
    plan: Plan
    sweep: str
    """The id of the parent run."""
    goal: Goal | None
    limits: TrialLimits
    by_tag: bool
    """True if the task must watch its run for a tag that asks it to stop."""

    @property
    def start(self) -> RunStart:
        """The description with which the trial's run is opened."""
        assert self.plan.start is not None  # trials are always tracked
        return self.plan.start

    @property
    def session(self) -> str:
        """The session of the sweep that runs the trial."""
        return parent_run.session(self.start)


class TaskBuilder:
    """Builds the tasks of one sweep. What all tasks share is looked up once."""

    def __init__(self, request: SweepRequest, parent: OwnedRun) -> None:
        self._request = request
        self._parent = parent
        self._experiments: dict[str, str] = {}

    def make(self, proposal: Proposal) -> TrialTask:
        """Return the task for a proposal. Raise UsageError when the notebook cannot run with its values."""
        request, session = self._request, parent_run.session(self._parent.start)
        plan = request.source.plan(
            {**request.domain.fixed, **proposal.values},
            name=trial_name(request.source.notebook.path.stem, proposal),
            tags={**trial_tags(self._parent.run_id, proposal), Tag.SWEEP_SESSION: session},
        )
        return TrialTask(
            number=proposal.number,
            values=proposal.values,
            plan=dataclasses.replace(plan, start=self._settled(plan)),
            sweep=self._parent.run_id,
            goal=request.goal,
            limits=request.limits,
            by_tag=request.prune is not None or not request.place.is_local,
        )

    def _settled(self, plan: Plan) -> RunStart:
        start = plan.start
        assert start is not None
        if start.experiment_id is None:
            name = start.experiment
            if name not in self._experiments:
                self._experiments[name] = self._parent.store.experiment_id(name)
            start = dataclasses.replace(start, experiment_id=self._experiments[name])
        # The parent run keeps the uncommitted changes once.
        git = None if start.git is None else dataclasses.replace(start.git, diff="")
        return dataclasses.replace(start, git=git)


def trial_name(stem: str, proposal: Proposal) -> str:
    """Return the name of a trial's run; `stem` is the notebook's file name without ending."""
    return f"{stem} {formatting.format_parameters(proposal.values)}"[:NAME_ROOM]


def trial_tags(sweep: str, proposal: Proposal) -> dict[str, str]:
    """Return the tags that make a run the trial of a sweep, which is named by the id of its parent run."""
    return {
        "mlflow.parentRunId": sweep,
        Tag.TRIAL: str(proposal.number),
        Tag.TRIAL_VALUES: values_to_tag(proposal.values),
    }


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of one trial, and what else the sweep must know of it."""

    trial: Trial
    unwritten: bool = False
    """The store accepted neither the run nor its end."""


def run_trial(task: TrialTask) -> TrialOutcome:
    """Run the trial as an MLflow run that this process owns. Raise no error."""
    try:
        return TrialOutcome(ended_trial(task, _run(task)))
    except errors.RunNotWrittenError as error:
        result = error.result
        seconds = result.seconds if isinstance(result, RunResult) else None
        run_id = result.run_id if isinstance(result, RunResult) else None
        return TrialOutcome(
            failed_trial(task.number, task.values, error, run_id=run_id, seconds=seconds), unwritten=True
        )
    except errors.TrackingError as error:
        return TrialOutcome(failed_trial(task.number, task.values, error), unwritten=True)
    except Exception as error:  # noqa: BLE001  # the sweep goes on, whatever it was
        return TrialOutcome(failed_trial(task.number, task.values, error))


def _run(task: TrialTask) -> RunResult:
    local_sweep = stop_requests.local_sweep(task.sweep)
    store = local_sweep.store if local_sweep is not None else connect_once(task.plan.settings)
    watcher = StopTagWatcher(store)
    mine = ""

    def begun(run_id: str, _: str) -> None:
        nonlocal mine
        mine = run_id
        if local_sweep is None and task.by_tag:
            watcher.begin(run_id, task.sweep, task.session)

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
            stop_reason=lambda: local_sweep.stop_reason(mine) if local_sweep is not None else watcher(),
            on_open=begun,
        )
    finally:
        watcher.end()


def ended_trial(task: TrialTask, result: RunResult) -> Trial:
    """Return the trial that describes an ended run."""
    state = trial_state(result.status, result.failure)
    value = result.metrics.get(task.goal.metric) if task.goal is not None else None
    reason = ""
    if result.failure is not None:
        failure = result.failure
        error = "" if state == "pruned" else ": ".join(part for part in (failure.error, failure.message) if part)
        reason = formatting.format_error(error, "" if failure.cell is None else str(failure.cell), failure.line)
    elif state == "finished" and task.goal is not None and not finite(value):
        reason = missing_goal(task.goal.metric, result.metrics)
    return Trial(task.number, task.values, state, value, result.metrics, result.run_id, result.seconds, reason)


def failed_trial(
    number: int,
    values: Mapping[str, object],
    error: BaseException,
    *,
    run_id: str | None = None,
    seconds: float | None = None,
) -> Trial:
    """Return the failed trial that describes an error before, during or after its run."""
    message = str(error) if isinstance(error, errors.NbopsError) else f"{type(error).__name__}: {error}"
    return Trial(number, values, "failed", run_id=run_id, seconds=seconds, reason=formatting.format_error(message))


def missing_goal(metric: str, logged: Mapping[str, float]) -> str:
    """Return why a trial that finished cannot be the best: its metric is missing, or no finite number."""
    if metric in logged:
        return f"{metric} is {logged[metric]:g}: not a number that can be the best"
    match = errors.nearest(metric, logged)
    meant = f", did you mean {match!r}?" if match else ""
    return f"it logged no {metric!r}{meant} (it logged: {', '.join(sorted(logged)) or 'nothing'})"


_stores: dict[tuple[str, Path], Store] = {}
_connecting = threading.Lock()


def connect_once(settings: Settings) -> Store:
    """Return the store. Connect only once per process, because that sets MLflow's default and contacts a server."""
    with _connecting:
        key = (stores.tracking_uri(settings), settings.root)
        if key not in _stores:
            _stores[key] = stores.connect(settings)
        return _stores[key]
