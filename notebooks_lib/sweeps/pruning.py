"""What running trials have logged of the goal with `step=`, read from the store and told to the pruner."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection

from notebooks_lib.records import measured
from notebooks_lib.sweeps import resume, stopping
from notebooks_lib.sweeps.records import Goal, Proposals, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store

LOOK_EVERY = 0.1
"""Seconds between two looks, at least: a trial that is given up must not run on for long."""
LOOK_AT_LEAST_EVERY = 1.0
"""Seconds, when a look takes long: with many trials at once, or a store far away."""
SHARE = 0.1
"""Of the time, that may go into looking."""


class Curves:
    """The curves of one sweep's trials; each point is told once, in the order of its steps."""

    def __init__(self, store: Store, sweep: str, goal: Goal) -> None:
        self._store = store
        self._sweep = sweep
        self._goal = goal
        self._told: dict[int, int] = {}
        self._given_up: dict[int, tuple[int, float]] = {}
        self._next = 0.0
        self._ended = 0

    @property
    def empty(self) -> bool:
        """Whether trials have ended in this session, and none had a curve."""
        return self._ended > 0 and not self._told

    def look(self, proposals: Proposals, running: Collection[int]) -> None:
        """Tell what is new, if the last look is long enough ago; who is given up is asked to stop."""
        began = time.monotonic()
        if began < self._next:
            return
        for run in resume.open_trials(self._store, self._sweep):
            number = int(run.tags.get(Tag.TRIAL, -1))
            if number not in running or number in self._given_up or self._goal.metric not in run.metrics:
                continue
            point = self._tell(proposals, number, run.run_id)
            if point is not None:
                self._given_up[number] = point
                stopping.ask(self._store, run.run_id, "pruned", point)
        took = time.monotonic() - began
        self._next = began + took + min(max(LOOK_EVERY, took / SHARE), LOOK_AT_LEAST_EVERY)

    def finished(self, proposals: Proposals, trial: Trial) -> Trial:
        """Tell what a trial that has ended logged since the last look: others are measured by its whole curve.

        Returns the trial; of one that was pruned, the value and the reason are those of the step that it was pruned
        for: it may have logged a few more until it stopped.
        """
        self._ended += trial.state == "finished"
        point = self._given_up.get(trial.number)
        if trial.run_id is not None and point is None and self._goal.metric in trial.metrics:
            self._tell(proposals, trial.number, trial.run_id)
        if trial.state != "pruned" or point is None:
            return trial
        step, value = point
        reason = f"at step {step}" + (f", in {trial.reason}" if trial.reason else "")
        return dataclasses.replace(trial, value=value, reason=reason)

    def _tell(self, proposals: Proposals, number: int, run_id: str) -> tuple[int, float] | None:
        """The step and the value for which the trial is given up, if it is. One point is a result, not a curve."""
        points: dict[int, float] = {}
        for point in self._store.client.get_metric_history(run_id, self._goal.metric):
            points.setdefault(point.step, measured(point.value))
        if len(points) < 2:
            return None
        for step in sorted(points):
            if step <= self._told.get(number, -1):
                continue
            self._told[number] = step
            if proposals.report(number, step, points[step]):
                return step, points[step]
        return None
