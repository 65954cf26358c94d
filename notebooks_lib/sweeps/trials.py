"""The values of a trial, from its proposal to its end, and the result of all trials of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from notebooks_lib.notebooks.parameter_types import short_repr
from notebooks_lib.run_result import TrialState, finite
from notebooks_lib.sweeps.goal import Goal


@dataclass(frozen=True)
class Proposal:
    """The parameters of a trial to run."""

    number: int
    """Counted from 0 in the order of proposal; a resumed sweep continues the count."""
    values: Mapping[str, object]
    """The swept parameters only, typed by the notebook's schema."""


class Proposals(Protocol):
    """The source of a sweep's trials: a grid, or a study that uses earlier results."""

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
    """Return the swept values from the text of their tag; empty if it is missing or cut off.

    Raise ValueError if it holds JSON that is not an object.
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
    timed_out: bool = False
    """True if its own limit of time ended it, and not a person."""

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
