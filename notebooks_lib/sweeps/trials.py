"""The values that the parts of a sweep share: goal, proposal, trial, progress and result."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.metric import Direction
from notebooks_lib.notebooks.parameter_types import short_repr
from notebooks_lib.run_result import TrialState, finite


@dataclass(frozen=True)
class Goal:
    """The metric that a sweep optimises, and its direction."""

    metric: str
    direction: Direction = "min"

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal for `rmse` or `cost:min`. Raise UsageError for a metric without a known direction."""
        return cls(*builtin.parse(text))

    def better(self, one: float, other: float) -> bool:
        """Return whether `one` is better than `other`."""
        return one < other if self.direction == "min" else one > other


@dataclass(frozen=True)
class Proposal:
    """The parameters of a trial to run."""

    number: int
    """Counted from 0 in the order of proposal; a resumed sweep continues the count."""
    values: Mapping[str, object]
    """The swept parameters only, typed by the notebook's schema."""


class Proposals(Protocol):
    """The source of a sweep's trials: a grid, or a study that learns from results."""

    total: int
    """The number of trials, including those of earlier sessions."""

    def ask(self) -> Proposal | None:
        """Return the next trial, or None after the last."""

    def report(self, number: int, step: int, value: float) -> bool:
        """Report a value that a running trial has logged. Return whether to prune the trial."""

    def tell(self, number: int, state: TrialState, value: float | None) -> None:
        """Report the end of a trial; `value` is the goal's metric, or None if it was not logged."""


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep: its parameters, state and results."""

    number: int
    values: Mapping[str, object]
    state: TrialState
    value: float | None = None
    """The goal's metric at the end, or for a pruned trial at the step of its pruning."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    run_id: str | None = None
    seconds: float | None = None
    reason: str = ""
    """One line: why it failed or was killed, or at which step it was pruned."""

    @property
    def eligible(self) -> bool:
        """True if the trial can be the best: it finished, in this or an earlier session, with a finite value."""
        return self.state in ("finished", "skipped") and finite(self.value)


def values_to_tag(values: Mapping[str, object]) -> str:
    """Return the text of the tag that keeps the swept values on the run of a trial."""
    return json.dumps(dict(values), default=str, ensure_ascii=False)


def values_from_tag(text: str) -> Mapping[str, object]:
    """Return the swept values from their tag; empty if it is missing or cut off.

    Raise ValueError if it holds JSON that is no object.
    """
    try:
        values = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    if not isinstance(values, dict):
        raise ValueError(short_repr(text))
    return values


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep."""

    run_id: str
    """The id of the parent run."""
    url: str
    status: Literal["FINISHED", "FAILED", "KILLED"]
    goal: Goal | None
    trials: Sequence[Trial]
    """In the order of their numbers."""
    total: int
    """The number of requested trials."""
    seconds: float
    """Duration of all sessions, without the time between them."""

    def count(self, state: TrialState) -> int:
        """Return the number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial (now or before) with the best finite value of the goal."""
        done = [(t.value, t) for t in self.trials if t.eligible and t.value is not None]
        if self.goal is None or not done:
            return None
        choose = min if self.goal.direction == "min" else max
        return choose(done, key=lambda pair: pair[0])[1]


WINDOW = 60.0
"""Seconds over which the rate is measured; longer when fewer than a few rounds ended in them."""
ROUNDS = 4


class SweepProgress:
    """Counts and pace of a running sweep, updated with each change."""

    def __init__(
        self, total: int, goal: Goal | None, jobs: int, *, kept: int = 8, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.goal = goal
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.running: dict[int, tuple[Trial, float]] = {}
        """Each running trial with the time when it was first seen."""
        self.last: deque[Trial] = deque(maxlen=kept)
        """The trials that ended last."""
        self.best: Trial | None = None
        self.earlier: Counter[str] = Counter()
        """Trials of earlier sessions by state; `counts` includes them."""
        self._known: set[int] = set()
        self._jobs = jobs
        self._ends: deque[float] = deque()
        self._since: float | None = None

    @property
    def ended(self) -> int:
        """The number of trials that ended in any state."""
        return sum(self.counts.values())

    def take(self, trials: Mapping[int, Trial], total: int) -> Iterator[Trial]:
        """Count what has changed, and yield each trial that ended in this session after it was counted.

        Ended trials are not read again, so that ten thousand trials stay cheap.
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
                continue
            if self.running.pop(number, None) is not None:  # skipped trials say nothing about the pace
                self._ends.append(now)
            self.last.append(trial)
            self._count(trial)
            yield trial
        while len(self._ends) > ROUNDS * max(self._jobs, 5) and now - self._ends[0] > WINDOW:
            self._since = self._ends.popleft()

    def gap(self) -> float | None:
        """Return the recent time between the ends of two trials, in seconds; None until every job has ended one.

        A pause counts only once it is longer than this gap, so that slow trials do not make the figure jump.
        """
        if self._since is None or len(self._ends) < min(self._jobs, max(self.total, 1)):
            return None
        gap = (self._ends[-1] - self._since) / len(self._ends)
        return max(gap, (self.clock() - self._since - gap) / len(self._ends)) or None

    def left(self) -> float | None:
        """Return the seconds until all trials have ended at the recent pace."""
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
