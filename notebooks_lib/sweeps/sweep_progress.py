"""Count the trials of a running sweep and tell its pace."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping

from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import Trial

WINDOW = 60.0
"""Seconds over which the rate is measured; longer when fewer than a few rounds ended in them."""
ROUNDS = 4
"""So many ends of trials for each parallel job are kept, to measure the rate by."""


class SweepProgress:
    """The counts of a running sweep's trials, and its pace. Updated with each change.

    `jobs` is the number of parallel trials; if it is None, the most that have run at once.
    """

    def __init__(
        self,
        total: int,
        goal: Goal | None,
        jobs: int | None,
        *,
        shown: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.goal = goal
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.running: dict[int, tuple[Trial, float]] = {}
        """Each running trial with the time when it was first seen."""
        self.last: deque[Trial] = deque(maxlen=shown)
        """The trials that ended last."""
        self.best: Trial | None = None
        self.earlier: Counter[str] = Counter()
        """Trials of earlier sessions by state; `counts` includes them."""
        self._known: set[int] = set()
        self._jobs = jobs or 1
        self._counts_jobs = jobs is None
        self._ends: deque[float] = deque()
        self._since: float | None = None

    @property
    def ended(self) -> int:
        """The number of trials that ended in any state."""
        return sum(self.counts.values())

    def take(self, trials: Mapping[int, Trial], total: int) -> Iterator[Trial]:
        """Count the trials that have changed, and yield those that have just ended in this session.

        Ended trials are not looked at again, so that ten thousand trials stay cheap.
        """
        now = self.clock()
        self.total = total
        fresh = [number for number in self.running if number in trials]
        if len(trials) != len(self._known):
            new = sorted(trials.keys() - self._known)
            # Never seen running: a single one may have failed at once, several at first are from earlier sessions.
            unseen = {number for number in new if trials[number].state != "running"}
            if self._known or len(unseen) == 1:
                unseen = {number for number in unseen if trials[number].state in ("finished", "pruned")}
            for number in sorted(unseen):
                self.earlier[trials[number].state] += 1
                self._count(trials[number])
            fresh += [number for number in new if number not in unseen]
            self._known.update(new)
        for number in fresh:
            trial = trials[number]
            if trial.state == "running":
                self.running[number] = (trial, self.running[number][1] if number in self.running else now)
                self._since = now if self._since is None else self._since
                if self._counts_jobs:
                    self._jobs = max(self._jobs, len(self.running))
                continue
            if self.running.pop(number, None) is not None:  # skipped trials say nothing about the pace
                self._ends.append(now)
            self.last.append(trial)
            self._count(trial)
            yield trial
        while len(self._ends) > ROUNDS * max(self._jobs, 5) and now - self._ends[0] > WINDOW:
            self._since = self._ends.popleft()

    def gap(self) -> float | None:
        """Return the recent mean time between the ends of two trials, in seconds; None before enough trials have ended.

        The time since the last end counts only once it is longer than this mean, so that slow trials do not make it
        jump.
        """
        if self._since is None or len(self._ends) < min(self._jobs, max(self.total, 1)):
            return None
        gap = (self._ends[-1] - self._since) / len(self._ends)
        return max(gap, (self.clock() - self._since - gap) / len(self._ends)) or None

    def left(self) -> float | None:
        """Return the seconds until all trials have ended at the recent pace; None when the pace is not known yet."""
        gap = self.gap()
        if gap is None:
            return None
        return max(self.total - self.ended, 0) * gap - min(self.clock() - self._ends[-1], gap)

    def _count(self, trial: Trial) -> None:
        self.counts[trial.state] += 1
        if self.goal is None or not trial.eligible or trial.value is None:
            return
        if self.best is None or self.best.value is None or self.goal.better(trial.value, self.best.value):
            self.best = trial
