"""Counts what comes of the trials of a sweep while it runs, and how fast. It shows nothing."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping

from notebooks_lib.sweeps.records import Goal, Trial

WINDOW = 60.0
"""Seconds that the rate looks back, or further where fewer trials than a few rounds ended in them."""
ROUNDS = 4


class Tally:
    """What has come of the trials, brought up to date by what has changed since it last looked."""

    def __init__(
        self, total: int, goal: Goal | None, jobs: int, *, kept: int = 8, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.goal = goal
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.running: dict[int, tuple[Trial, float]] = {}
        """With the time at which each was first seen."""
        self.last: deque[Trial] = deque(maxlen=kept)
        """Those that ended last."""
        self.best: Trial | None = None
        self.earlier: Counter[str] = Counter()
        """Trials of the session that is resumed, by state; they are in `counts` too."""
        self._known: set[int] = set()
        self._jobs = jobs
        self._ends: deque[float] = deque()
        self._since: float | None = None

    @property
    def ended(self) -> int:
        """Trials that ended, however they did."""
        return sum(self.counts.values())

    def take(self, trials: Mapping[int, Trial], total: int) -> Iterator[Trial]:
        """Count what has changed; yields each trial that ended in this session, right after it was counted.

        What has ended is not looked at again: ten thousand trials are cheap.
        """
        now = self.clock()
        self.total = total
        fresh = [number for number in self.running if number in trials]
        if len(trials) != len(self._known):
            new = sorted(trials.keys() - self._known)
            # Nobody saw these run. One alone may have failed before it could; several at first were there before us.
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
                continue
            if self.running.pop(number, None) is not None:  # what was skipped says nothing of the pace
                self._ends.append(now)
            self.last.append(trial)
            self._count(trial)
            yield trial
        while len(self._ends) > ROUNDS * max(self._jobs, 5) and now - self._ends[0] > WINDOW:
            self._since = self._ends.popleft()

    def gap(self) -> float | None:
        """Seconds from one end of a trial to the next, of late; None before every job has ended one.

        Silence counts once it has lasted longer than the gap itself, so that slow trials do not make it swing.
        """
        if self._since is None or len(self._ends) < min(self._jobs, max(self.total, 1)):
            return None
        gap = (self._ends[-1] - self._since) / len(self._ends)
        return max(gap, (self.clock() - self._since - gap) / len(self._ends)) or None

    def left(self) -> float | None:
        """Seconds until all trials have ended, if they go on as of late."""
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
