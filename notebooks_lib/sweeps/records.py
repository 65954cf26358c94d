"""The values that the parts of a sweep hand to each other. They do no work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from notebooks_lib.records import TrialState, finite

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Goal:
    """What a sweep looks for."""

    metric: str
    direction: Direction = "min"

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
