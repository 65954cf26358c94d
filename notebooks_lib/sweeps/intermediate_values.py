"""Pass the values that running trials log to the pruner, and ask pruned trials to stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection

from notebooks_lib.run_result import restore_infinity
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.open_trials import open_trials
from notebooks_lib.sweeps.stop_requests import request_stop
from notebooks_lib.sweeps.trials import Proposals, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

READ_EVERY = 0.1
"""Least seconds between two reads: a pruned trial must not run on for long."""


READ_AT_LEAST_EVERY = 1.0
"""Most seconds between two reads, when they are slow: many trials at once, or a distant store."""


READ_SHARE = 0.1
"""Share of the time that reads may take."""


class IntermediateValues:
    """Passes intermediate values of running trials to the pruner, each once; asks pruned trials to stop."""

    def __init__(
        self,
        store: Store,
        sweep: str,
        goal: Goal,
        *,
        least_pause: float = READ_EVERY,
        most_pause: float = READ_AT_LEAST_EVERY,
    ) -> None:
        self._store = store
        self._pauses = least_pause, most_pause
        self._sweep = sweep
        self._goal = goal
        self._last_step: dict[int, int] = {}
        self._pruned: dict[int, tuple[int, float]] = {}
        self._next_read = 0.0
        self._ended = 0

    @property
    def empty(self) -> bool:
        """True if trials have ended in this session but none logged intermediate values."""
        return self._ended > 0 and not self._last_step

    def read(self, proposals: Proposals, running: Collection[int]) -> None:
        """Report new values to the pruner, and stop the trials that it prunes. Do nothing soon after the last read."""
        began = time.monotonic()
        if began < self._next_read:
            return
        for run in open_trials(self._store, self._sweep):
            number = int(run.tags.get(Tag.TRIAL, -1))
            if number not in running or number in self._pruned or self._goal.metric not in run.metrics:
                continue
            point = self._report(proposals, number, run.run_id)
            if point is not None:
                self._pruned[number] = point
                request_stop(self._store, run.run_id, "pruned", point)
        took = time.monotonic() - began
        least, most = self._pauses
        self._next_read = began + took + min(max(least, took / READ_SHARE), most)

    def finished(self, proposals: Proposals, trial: Trial) -> Trial:
        """Report the last values of an ended trial, because the pruner compares other trials with all of its values.

        Return the trial. A pruned trial gets the value and step at which it was pruned, because it may have logged more
        before it stopped.
        """
        self._ended += trial.state == "finished"
        point = self._pruned.get(trial.number)
        if trial.run_id is not None and point is None and self._goal.metric in trial.metrics:
            self._report(proposals, trial.number, trial.run_id)
        if trial.state != "pruned" or point is None:
            return trial
        step, value = point
        reason = f"at step {step}" + (f", in {trial.reason}" if trial.reason else "")
        return dataclasses.replace(trial, value=value, reason=reason)

    def _report(self, proposals: Proposals, number: int, run_id: str) -> tuple[int, float] | None:
        """Return the step and value that caused pruning, or None. A single value is a result, not a curve."""
        points: dict[int, float] = {}
        for point in self._store.client.get_metric_history(run_id, self._goal.metric):
            points.setdefault(point.step, restore_infinity(point.value))
        if len(points) < 2:
            return None
        for step in sorted(points):
            if step <= self._last_step.get(number, -1):
                continue
            self._last_step[number] = step
            if proposals.report(number, step, points[step]):
                return step, points[step]
        return None
