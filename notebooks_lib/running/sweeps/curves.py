"""What running trials have logged of the goal with `step=`, read from the store and told to the pruner."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection

from notebooks_lib.records import Tag, measured
from notebooks_lib.running.sweeps import resume, stopping
from notebooks_lib.running.sweeps.records import Goal, Proposals, Trial
from notebooks_lib.tracking.store import Store

LOOK_EVERY = 1.0
"""Seconds between two looks."""


class Curves:
    """The curves of one sweep's trials; each point is told once, in the order of its steps."""

    def __init__(self, store: Store, sweep: str, goal: Goal) -> None:
        self._store = store
        self._sweep = sweep
        self._goal = goal
        self._told: dict[int, int] = {}
        self._given_up: dict[int, int] = {}
        self._looked = 0.0

    def look(self, proposals: Proposals, running: Collection[int]) -> None:
        """Tell what is new, if the last look is long enough ago; who is given up is asked to stop."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        for run in resume.open_trials(self._store, self._sweep):
            number = int(run.tags.get(Tag.TRIAL, -1))
            if number not in running or number in self._given_up or self._goal.metric not in run.metrics:
                continue
            step = self._tell(proposals, number, run.run_id)
            if step is not None:
                self._given_up[number] = step
                stopping.ask(self._store, run.run_id, "pruned", step)
        self._looked = time.monotonic()

    def finished(self, proposals: Proposals, trial: Trial) -> Trial:
        """Tell what a trial that has ended logged since the last look: others are measured by its whole curve.

        Returns the trial; the reason of one that was pruned says at which step, too.
        """
        step = self._given_up.get(trial.number)
        if trial.run_id is not None and step is None and self._goal.metric in trial.metrics:
            self._tell(proposals, trial.number, trial.run_id)
        if trial.state != "pruned" or step is None:
            return trial
        return dataclasses.replace(trial, reason=f"at step {step}" + (f", in {trial.reason}" if trial.reason else ""))

    def _tell(self, proposals: Proposals, number: int, run_id: str) -> int | None:
        """The step at which the trial is given up, if it is. One point alone is a result, not a curve."""
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
                return step
        return None
