"""What a metric is: a score of answers against the truth, its direction, and the figures of single rows behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.metrics.directions import Direction as Direction

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.statistics.leave_one_out import Leaver

    Array = np.ndarray[Any, Any]

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class Answers:
    """What a model said about some rows."""

    values: Array
    """One for each row: a number, or the name of a class."""
    probabilities: Array | None = None
    """rows x classes; None when the model gives none."""

    def at(self, places: Array) -> Answers:
        """About some of the rows."""
        return Answers(self.values[places], None if self.probabilities is None else self.probabilities[places])


@dataclass(frozen=True)
class Truth:
    """What the rows really are."""

    values: Array
    classes: Array | None = None
    """All that there are; None for numbers. The last of two is the positive one."""

    def at(self, places: Array) -> Truth:
        """Of some of the rows."""
        return Truth(self.values[places], self.classes)


Score = Callable[[Truth, Answers], float]
Losses = Callable[[Truth, Answers], "Array"]
Way = Callable[[Truth, Answers], "Leaver"]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is on some rows."""

    name: str
    direction: Direction
    task: Task
    score: Score
    losses: Losses | None = None
    """One figure for each row, lower is better, where the metric has such."""
    way: Way | None = None
    """How rows are left out of it in closed form; None: as `left_out.py` knows by its name, or it is computed anew."""
    needs_probabilities: bool = False
    own: bool = False
    """A function of the user's, not one of the table."""
    note: str = ""
    """What is different about it where it decides."""
    positive: str = ""
    """Of two classes the one that f1, precision, recall and auc are about; empty: the last by name."""
    code: str = ""
    """Digest of a user's function: with other code it is another metric."""

    def gain(self, challenger: float, champion: float) -> float:
        """How much better the challenger is; positive is better whatever the direction."""
        return gain(self.direction, challenger, champion)


def gain(direction: Direction, challenger: float, champion: float) -> float:
    """How much better the first figure is than the second; positive is better whatever the direction."""
    return champion - challenger if direction == "min" else challenger - champion


def sort_key(direction: Direction, value: float) -> float:
    """Sorts the best first."""
    return value if direction == "min" else -value


def squared(truth: Truth, answers: Answers) -> Array:
    """Of each row the squared error."""
    loss: Array = (truth.values - answers.values) ** 2
    return loss


def absolute(truth: Truth, answers: Answers) -> Array:
    """Of each row the absolute error."""
    loss: Array = abs(truth.values - answers.values)
    return loss


def wrong(truth: Truth, answers: Answers) -> Array:
    """Of each row 1 when its class is missed."""
    loss: Array = (truth.values != answers.values).astype(float)
    return loss


def log_losses(truth: Truth, answers: Answers, least: float = 2.0**-52) -> Array:
    """Of each row minus the logarithm of the chance that its class was given, which counts as `least` at least."""
    import numpy as np

    assert truth.classes is not None
    assert answers.probabilities is not None
    order = np.argsort(truth.classes)
    column = order[np.searchsorted(truth.classes, truth.values, sorter=order)]
    shares = answers.probabilities / answers.probabilities.sum(axis=1, keepdims=True)
    loss: Array = -np.log(np.clip(shares[np.arange(len(column)), column], least, 1.0))
    return loss


def brier_losses(truth: Truth, answers: Answers) -> Array:
    """Of each row the squared distance of its chances from the truth."""
    assert truth.classes is not None
    assert answers.probabilities is not None
    error = (answers.probabilities - (truth.values[:, None] == truth.classes[None, :])) ** 2
    loss: Array = error.sum(axis=1) / (2 if len(truth.classes) == 2 else 1)  # of two classes the usual form
    return loss
