"""Trials of earlier sessions of a sweep, and trials whose runs have equal results: they need not run again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import get_args

from notebooks_lib import errors
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.run_result import TrialState
from notebooks_lib.running.run_cache import RunCache, has_same_data, version_mentions
from notebooks_lib.sweeps import formatting, open_trials
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import Proposal, Trial, values_from_tag
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs, query
from notebooks_lib.tracking.owned_run import RunStart
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class EarlierTrial:
    """A trial of an earlier session."""

    trial: Trial
    run: RunInfo


def take_over(store: Store, run_id: str, goal: Goal | None) -> dict[int, EarlierTrial]:
    """End the trials that the last session left open, and return the newest run of each trial by number.

    A run that was killed is returned only if the trial has no other: it may be of a session that had lost the sweep.
    `goal` is the metric whose value is read.
    """
    orphan_runs.close_left_behind(store, run_id)
    open_trials.close_open(store, run_id)
    if Tag.STOP in store.client.get_run(run_id).data.tags:
        store.client.delete_tag(run_id, Tag.STOP)  # it was meant for the trials of the last session
    trials: dict[int, EarlierTrial] = {}
    for run in query.children(store, run_id):
        number = run.tags.get(Tag.TRIAL, "")
        newer = trials.get(int(number)) if number.isdecimal() else None
        if number.isdecimal() and (newer is None or newer.trial.state == "killed"):
            earlier = EarlierTrial(trial_of_run(int(number), run, goal), run)
            if newer is None or earlier.trial.state != "killed":
                trials[int(number)] = earlier
    return dict(sorted(trials.items()))


def trial_of_run(number: int, run: RunInfo, goal: Goal | None) -> Trial:
    """Return the trial that a run that has ended describes. Raise TrackingError if the tag of its values is damaged."""
    stored = run.tags.get(Tag.TRIAL_STATE, "")
    state: TrialState = "killed"
    for candidate in get_args(TrialState):
        state = candidate if stored == candidate else state
    if state == "finished" and run.status == "FAILED":  # its job failed after its notebook's end
        state = "failed"
    try:
        values = values_from_tag(run.tags.get(Tag.TRIAL_VALUES, ""))
    except ValueError as error:
        raise errors.TrackingError(
            f"run {run.run_id}: found the tag {Tag.TRIAL_VALUES} {error}, allowed a JSON object of values; "
            "mend the tag, or start a new sweep"
        ) from error
    seconds = (run.ended_ms - run.started_ms) / 1000 if run.ended_ms else None
    with contextlib.suppress(ValueError):  # a job's run begins when the job is submitted
        seconds = float(run.tags.get(Tag.SECONDS, ""))
    value = run.metrics.get(goal.metric) if goal is not None else None
    if state == "pruned":  # it may have logged more values before it stopped
        with contextlib.suppress(ValueError):
            value = float(run.tags.get(Tag.STOP_VALUE, ""))
    return Trial(number, values, state, value, run.metrics, run.run_id, seconds, _reason(run))


def _reason(run: RunInfo) -> str:
    tags = run.tags
    cell, line = tags.get(Tag.FAILED_CELL, ""), tags.get(Tag.FAILED_LINE, "")
    error = ": ".join(part for part in (tags.get(Tag.FAILURE, ""), tags.get(Tag.FAILURE_MESSAGE, "")) if part)
    if error:
        return formatting.format_error(error, cell, line)
    step = f"at step {tags[Tag.STOP_STEP]}" if Tag.STOP_STEP in tags else ""
    return formatting.format_error(step, tags.get(Tag.STOP_CELL, ""), tags.get(Tag.STOP_LINE, ""))


class PreviousResults:
    """Finds earlier results with the same code, parameters, environment and data, so that a trial need not run."""

    def __init__(
        self,
        store: Store,
        notebook: Notebook,
        goal: Goal | None,
        *,
        earlier: Mapping[int, EarlierTrial],
        anywhere: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._settings = store.settings
        self._notebook = notebook
        self._goal = goal
        self._earlier = earlier
        self._run_cache = RunCache(store, notebook) if anywhere else None
        self._finished: dict[str, Trial] = {}
        self._tell = tell
        self._change_reported = False

    def find(self, proposal: Proposal, start: RunStart) -> Trial | None:
        """Return the earlier result of a trial; None if the trial must run."""
        earlier = self._earlier.get(proposal.number)
        if earlier is not None and earlier.trial.state in ("finished", "pruned"):
            if self._is_unchanged(earlier, start):
                return dataclasses.replace(earlier.trial, values=proposal.values)
            if not self._change_reported:
                self._tell("code, environment or data have changed since the last session: its trials run again")
            self._change_reported = True
        if self._run_cache is None:
            return None
        if start.source_fingerprint in self._finished:  # the same values again
            twin = self._finished[start.source_fingerprint]
            return dataclasses.replace(twin, number=proposal.number, state="skipped", reason=_equal_run(twin.run_id))
        folder = PurePosixPath(start.notebook).parent
        run = self._run_cache.find(start.source_fingerprint, start.parameters, folder)
        if run is None:
            return None
        value = run.metrics.get(self._goal.metric) if self._goal is not None else None
        reason = _equal_run(run.run_id)
        return Trial(proposal.number, proposal.values, "skipped", value, run.metrics, run.run_id, None, reason)

    def note(self, trial: Trial, start: RunStart) -> None:
        """Record a finished trial, so that an equal one is not run again."""
        if trial.state == "finished":
            self._finished[start.source_fingerprint] = trial

    def _is_unchanged(self, earlier: EarlierTrial, start: RunStart) -> bool:
        same = earlier.run.tags.get(Tag.SOURCE_FINGERPRINT) == start.source_fingerprint
        return same and has_same_data(earlier.run, version_mentions(self._notebook, start.parameters), self._settings)


def _equal_run(run_id: str | None) -> str:
    return f"run {run_id} has FINISHED with the same fingerprint"
