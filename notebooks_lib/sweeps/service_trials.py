"""The trials of Azure ML's sweep job, read from their runs. What the service alone knows of one is added to its run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from notebooks_lib import errors
from notebooks_lib.azure.run_history import RunHistory
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
_STATES: Mapping[str, TrialState] = {"FINISHED": "failed", "FAILED": "failed"}
"""State of a trial that did not record its end, by its run's status: what is not recorded is not finished."""


class ServiceTrials:
    """The trials of one sweep."""

    def __init__(self, store: Store, sweep: str, goal: Goal) -> None:
        self._store = store
        self._sweep = sweep
        self._goal = goal
        self._reasons: dict[str, str] = {}

    def refresh(self, *, pruning: bool) -> dict[int, Trial]:
        """Return all trials by number as they are now.

        With `pruning`, the service ends hopeless trials, and the sweep is not being stopped: a trial that was ended has
        been pruned. It is marked as such, because later nobody could tell. Raises TrackingError if the workspace does
        not answer.
        """
        runs = query.children(self._store, self._sweep)
        for run in runs:
            if run.holds_trials:  # the service has copied the tags of the sweep, and the trial did not begin
                with translate_store_errors(self._store):
                    self._store.client.set_tag(run.run_id, Tag.SWEEP, "trial")
        trials = [self._trial(run, pruning=pruning) for run in runs]
        return {trial.number: trial for trial in sorted(trials, key=lambda trial: trial.number)}

    def end_open(self) -> None:
        """End the runs that have not recorded their end although the sweep is over."""
        with translate_store_errors(self._store):
            for run in query.children(self._store, self._sweep):
                if Tag.END not in run.tags and run.status in ("RUNNING", "SCHEDULED", "KILLED"):
                    reason = run.tags.get(Tag.FAILURE) or open_trials.OVER
                    state = run.tags.get(Tag.TRIAL_STATE)
                    orphan_runs.end_as_killed(self._store, run.run_id, run.tags, reason)
                    if state:
                        self._store.client.set_tag(run.run_id, Tag.TRIAL_STATE, state)

    def _trial(self, run: RunInfo, *, pruning: bool) -> Trial:
        number = run.tags.get(Tag.TRIAL, "")
        trial = earlier_trials.trial_of_run(
            int(number) if number.isdecimal() else trial_number(run.run_id), run, self._goal
        )
        if Tag.END not in run.tags and run.status not in ("FAILED", "KILLED"):
            return dataclasses.replace(trial, state="running", seconds=None, reason="")
        state = trial.state if Tag.TRIAL_STATE in run.tags else _STATES.get(run.status, "killed")
        if state == "killed" and pruning and run.tags.get(Tag.FAILURE, "") in ("", "Interrupted"):
            state = "pruned"
            with translate_store_errors(self._store):
                self._store.client.set_tag(run.run_id, Tag.TRIAL_STATE, state)
        reason = PRUNED if state == "pruned" else trial.reason
        if not reason and state == "failed":
            if run.run_id not in self._reasons:
                self._reasons[run.run_id] = self._of_service(run.run_id)
            reason = self._reasons[run.run_id]
        elif state == "finished" and not finite(trial.value):
            reason = missing_goal(self._goal.metric, trial.metrics)
        return dataclasses.replace(trial, state=state, reason=reason)

    def _of_service(self, run_id: str) -> str:
        """Return why a job failed that never began its notebook, in Azure's words."""
        try:
            details = RunHistory(self._store.uri).details(run_id)
        except errors.AzureError:
            return "it did not record its end"
        error = ": ".join(part for part in (details.code, details.error) if part)
        return formatting.format_error(error or "it did not record its end")
