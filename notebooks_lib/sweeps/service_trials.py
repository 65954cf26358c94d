"""The trials of Azure ML's sweep job, read from their runs. What the service alone knows of one is added to its run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from notebooks_lib import errors
from notebooks_lib.azure.jobs import sweep_job
from notebooks_lib.azure.jobs.job_following import CLOCKS_DIFFER
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.notebooks.parameter_schema import Schema
from notebooks_lib.notebooks.parameter_types import Mismatch
from notebooks_lib.run_result import TrialState, finite
from notebooks_lib.sweeps import earlier_trials, formatting, open_trials
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.service_trial import trial_number
from notebooks_lib.sweeps.trial_runner import missing_goal
from notebooks_lib.sweeps.trials import Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs, query
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, translate_store_errors

PRUNED = "ended by the service's early termination"
NOT_RECORDED = "it did not record its end"
OPEN = ("RUNNING", "SCHEDULED")
"""The states of a run that has not ended, in MLflow's words."""
_STATES: Mapping[str, TrialState] = {"FINISHED": "failed", "FAILED": "failed"}
"""State of a trial that did not record its end, by its run's status: what is not recorded is not finished."""


class ServiceTrials:
    """The trials of one sweep. `schema` types the values of its `swept` parameters."""

    def __init__(self, store: Store, sweep: str, goal: Goal, schema: Schema, swept: Collection[str]) -> None:
        self._store = store
        self._sweep = sweep
        self._goal = goal
        self._schema = schema
        self._swept = swept
        self._reasons: dict[str, str] = {}
        self._waiting: list[RunInfo] = []

    @property
    def waiting(self) -> list[RunInfo]:
        """The trials whose notebook had not begun at the last look."""
        return self._waiting

    def refresh(self, *, pruning: bool, over: bool = False, trial_timeout: int | None = None) -> dict[int, Trial]:
        """Return all trials by number as they are now.

        With `pruning`, the service ends hopeless trials, and the sweep is not being stopped: a trial that was ended has
        been pruned, if it had logged enough to be compared and its `trial_timeout` in seconds was not over. It is
        marked as such, because later nobody could tell. Once the sweep is `over`, a trial that did not record its end
        has failed. Raises TrackingError if the workspace does not answer.
        """
        runs = query.children(self._store, self._sweep)
        self._waiting = [run for run in runs if run.status in OPEN and not run.tags.get(Tag.TRIAL, "").isdecimal()]
        for run in runs:
            if run.holds_trials:  # the service has copied the tags of the sweep, and the trial did not begin
                with translate_store_errors(self._store):
                    self._store.client.set_tag(run.run_id, Tag.SWEEP, "trial")
        trials = [self._trial(run, pruning=pruning, over=over, trial_timeout=trial_timeout) for run in runs]
        return {trial.number: trial for trial in sorted(trials, key=lambda trial: trial.number)}

    def end_open(self) -> None:
        """End the runs that have not recorded their end although the sweep is over."""
        with translate_store_errors(self._store):
            for run in query.children(self._store, self._sweep):
                if Tag.END in run.tags:
                    continue
                if run.status == "FINISHED":
                    for key, value in {
                        Tag.TRIAL_STATE: "failed",
                        Tag.FAILURE: "NotRecorded",
                        Tag.FAILURE_MESSAGE: NOT_RECORDED,
                        Tag.END: "FAILED",
                    }.items():
                        self._store.client.set_tag(run.run_id, key, value)
                elif run.status in (*OPEN, "KILLED"):
                    reason = self._reasons.get(run.run_id) or run.tags.get(Tag.FAILURE) or open_trials.OVER
                    state = run.tags.get(Tag.TRIAL_STATE)
                    orphan_runs.end_as_killed(self._store, run.run_id, run.tags, reason)
                    if state:
                        self._store.client.set_tag(run.run_id, Tag.TRIAL_STATE, state)

    def _trial(self, run: RunInfo, *, pruning: bool, over: bool, trial_timeout: int | None) -> Trial:
        number = run.tags.get(Tag.TRIAL, "")
        trial = earlier_trials.trial_of_run(
            int(number) if number.isdecimal() else trial_number(run.run_id), run, self._goal
        )
        if not trial.values:
            trial = dataclasses.replace(trial, values=self._values_of_params(run))
        if Tag.END not in run.tags and (run.status in OPEN or (run.status == "FINISHED" and not over)):
            return dataclasses.replace(trial, state="running", seconds=None, reason="")
        state = trial.state if Tag.TRIAL_STATE in run.tags else _STATES.get(run.status, "killed")
        interrupted = run.tags.get(Tag.FAILURE, "") in ("", "Interrupted")
        if state == "killed" and pruning and interrupted and run.run_id not in self._reasons:
            if reason := self._why_not_pruned(run, trial_timeout):
                self._reasons[run.run_id] = reason
            else:
                state = "pruned"
                with translate_store_errors(self._store):
                    self._store.client.set_tag(run.run_id, Tag.TRIAL_STATE, state)
        reason = PRUNED if state == "pruned" else trial.reason
        if state == "killed":
            reason = self._reasons.get(run.run_id, reason)
        elif not reason and state == "failed":
            if run.run_id not in self._reasons:
                self._reasons[run.run_id] = self._of_service(run.run_id)
            reason = self._reasons[run.run_id]
        elif state == "finished" and not finite(trial.value):
            reason = missing_goal(self._goal.metric, trial.metrics)
        return dataclasses.replace(trial, state=state, reason=reason)

    def _values_of_params(self, run: RunInfo) -> Mapping[str, object]:
        """Return the swept values from the params of a run: the tag that holds them all is cut off if it is long."""
        values: dict[str, object] = {}
        for name in self._swept:
            parameter = self._schema.find(name)
            if parameter is not None and name in run.params:
                try:
                    values[name] = parameter.kind.check(parameter.kind.read(run.params[name]))
                except Mismatch:  # a long param is cut off as well
                    values[name] = run.params[name]
        return values

    def _why_not_pruned(self, run: RunInfo, trial_timeout: int | None) -> str:
        """Return why a trial that was ended cannot have been pruned; empty if it can.

        A person, a lost machine and a limit of time end a job in the same way as early termination does.
        """
        with translate_store_errors(self._store):
            logged = len(self._store.client.get_metric_history(run.run_id, self._goal.metric))
        if logged < sweep_job.EVALUATE_FROM:
            return f"it was ended after {logged} values of {self._goal.metric}: early termination needs more"
        if trial_timeout is not None:
            try:
                seconds = RunHistory(self._store.uri).details(run.run_id).seconds
            except errors.AzureError as error:
                raise errors.TrackingError(f"{self._store.uri}: {error}") from error
            if seconds > trial_timeout - CLOCKS_DIFFER:
                return f"its job took longer than {trial_timeout} s"
        return ""

    def _of_service(self, run_id: str) -> str:
        """Return why a job failed that never began its notebook, in Azure's words."""
        try:
            details = RunHistory(self._store.uri).details(run_id)
        except errors.AzureError:
            return NOT_RECORDED
        error = ": ".join(part for part in (details.code, details.error) if part)
        return formatting.format_error(error or NOT_RECORDED)
