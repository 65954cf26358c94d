"""The values that the parts of a sweep share: goal, proposals, trials, progress, result. They do no work."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.metric import Direction
from notebooks_lib.records import TrialState, finite


@dataclass(frozen=True)
class Goal:
    """What a sweep looks for."""

    metric: str
    direction: Direction = "min"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal that `rmse` or `cost:min` names. Raise UsageError for a metric without a known direction."""
        return cls(*builtin.parse(text))

    def better(self, one: float, other: float) -> bool:
        """Whether `one` beats `other`."""
        return one < other if self.direction == "min" else one > other


@dataclass(frozen=True)
class Proposal:
    """The parameters of a trial that is to be run."""

    number: int
    """From 0, in the order in which trials were proposed; a resumed sweep goes on counting."""
    values: Mapping[str, object]
    """Only the swept ones, typed as the notebook's schema wants them."""


class Proposals(Protocol):
    """Where the trials of one sweep come from: a grid, or a study that learns from what it is told."""

    total: int
    """Trials of the whole sweep, those of an earlier session included."""

    def ask(self) -> Proposal | None:
        """The next trial; None when there are no more."""

    def report(self, number: int, step: int, value: float) -> bool:
        """Tell of a value that a running trial has logged; True when the trial is not worth finishing."""

    def tell(self, number: int, state: TrialState, value: float | None) -> None:
        """Tell how a trial ended; `value` is the goal's metric, None when it was not logged."""


@dataclass(frozen=True)
class Trial:
    """One trial, as far as it has come."""

    number: int
    values: Mapping[str, object]
    state: TrialState
    value: float | None = None
    """The goal's metric at the end; where it was pruned, at the step for which it was."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    run_id: str | None = None
    seconds: float | None = None
    reason: str = ""
    """Why it failed or was killed, in one line; where it was pruned."""

    @property
    def eligible(self) -> bool:
        """Whether it may be the best: it finished, now or before, and its value is a finite number."""
        return self.state in ("finished", "skipped") and finite(self.value)


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep."""

    run_id: str
    """The parent run."""
    url: str
    status: Literal["FINISHED", "FAILED", "KILLED"]
    goal: Goal | None
    trials: Sequence[Trial]
    """In the order of their numbers."""
    total: int
    """Trials that were asked for."""
    seconds: float
    """That all its sessions took, without the time between them."""

    def count(self, state: TrialState) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial with the best value of the goal among those that finished (now or before); nan is no value."""
        done = [(t.value, t) for t in self.trials if t.eligible and t.value is not None]
        if self.goal is None or not done:
            return None
        choose = min if self.goal.direction == "min" else max
        return choose(done, key=lambda pair: pair[0])[1]


WINDOW = 60.0
"""Seconds that the rate looks back, or further where fewer trials than a few rounds ended in them."""
ROUNDS = 4


class SweepProgress:
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
