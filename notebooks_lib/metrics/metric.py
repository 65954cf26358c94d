"""What a metric is: a score of answers against the truth, its direction and the losses of single rows.

A user's own function becomes a metric here as well.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.errors import UsageError, reason

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.statistics.leave_one_out import Leaver

    Array = np.ndarray[Any, Any]

Direction = Literal["min", "max"]
"""`"min"` if lower values of a metric are better, `"max"` if higher ones are."""
Task = Literal["regression", "classification"]
"""`"regression"` if a model predicts numbers, `"classification"` if it predicts classes."""


@dataclass(frozen=True)
class Answers:
    """The predictions of a model for some rows."""

    values: Array
    """One for each row: a number, or the name of a class."""
    probabilities: Array | None = None
    """rows x classes; None when the model gives none."""

    def at(self, places: Array) -> Answers:
        """Return the predictions for the rows at these indices."""
        return Answers(self.values[places], None if self.probabilities is None else self.probabilities[places])


@dataclass(frozen=True)
class Truth:
    """The true values of some rows."""

    values: Array
    classes: Array | None = None
    """All classes; None for numbers. The last of two is the positive one."""

    def at(self, places: Array) -> Truth:
        """Return the true values of the rows at these indices."""
        return Truth(self.values[places], self.classes)


Score = Callable[[Truth, Answers], float]
"""A function of the true values and a model's answers that returns the metric."""
Losses = Callable[[Truth, Answers], "Array"]
"""A function of the true values and a model's answers that returns one loss for each row."""
LeaveOutMethod = Callable[[Truth, Answers], "Leaver"]
"""A function of the true values and a model's answers that returns how the metric changes when rows are left out."""


@dataclass(frozen=True)
class Metric:
    """A score of a model on some rows."""

    name: str
    direction: Direction
    task: Task
    score: Score
    losses: Losses | None = None
    """One loss for each row, lower is better, where the metric has such."""
    leave_out: LeaveOutMethod | None = None
    """Closed-form leave-one-out; None uses the built-in one for this name, else recomputes the metric."""
    needs_probabilities: bool = False
    own: bool = False
    """True for a user's function, False for a built-in metric."""
    note: str = ""
    """What differs where it decides a promotion."""
    positive: str = ""
    """Of two classes the one for f1, precision, recall and auc; empty for the last by name."""
    code: str = ""
    """Digest of a user's function: with other code it is another metric."""
    fewest_rows: int = 0
    """With fewer holdout rows a promotion stays undecided, because the interval would be too narrow."""
    fewest_groups: float = 0.0
    """With fewer groups, counted as groups of equal size, it does so as well."""

    def gain(self, challenger: float, champion: float) -> float:
        """Return by how much the challenger is better; positive is better whatever the direction."""
        return gain(self.direction, challenger, champion)


def gain(direction: Direction, challenger: float, champion: float) -> float:
    """Return by how much the challenger's metric is better; positive is better whatever the direction."""
    return champion - challenger if direction == "min" else challenger - champion


def sort_key(direction: Direction, value: float) -> float:
    """Return a key that sorts the best first."""
    return value if direction == "min" else -value


def squared_errors(truth: Truth, answers: Answers) -> Array:
    """Return the squared error of each row."""
    loss: Array = (truth.values - answers.values) ** 2
    return loss


def absolute_errors(truth: Truth, answers: Answers) -> Array:
    """Return the absolute error of each row."""
    loss: Array = abs(truth.values - answers.values)
    return loss


def misclassified(truth: Truth, answers: Answers) -> Array:
    """Return 1 for each row whose class is wrong, else 0."""
    loss: Array = (truth.values != answers.values).astype(float)
    return loss


def log_losses(truth: Truth, answers: Answers, least: float = 2.0**-52) -> Array:
    """Return minus the logarithm of the probability of each row's true class.

    Probabilities below `least` count as `least`.
    """
    import numpy as np

    assert truth.classes is not None
    assert answers.probabilities is not None
    order = np.argsort(truth.classes)
    column = order[np.searchsorted(truth.classes, truth.values, sorter=order)]
    shares = answers.probabilities / answers.probabilities.sum(axis=1, keepdims=True)
    loss: Array = -np.log(np.clip(shares[np.arange(len(column)), column], least, 1.0))
    return loss


def brier_losses(truth: Truth, answers: Answers) -> Array:
    """Return the squared distance of each row's probabilities from the truth."""
    assert truth.classes is not None
    assert answers.probabilities is not None
    error = (answers.probabilities - (truth.values[:, None] == truth.classes[None, :])) ** 2
    loss: Array = error.sum(axis=1) / (2 if len(truth.classes) == 2 else 1)  # the usual form for two classes
    return loss


def own_metric(
    function: Callable[..., float], direction: Direction, *, task: Task = "regression", name: str | None = None
) -> Metric:
    """Make a metric for `task` of a user's function of true values and predictions.

    If the function has a parameter `probabilities`, it gets those as well. The metric is named `name`, by default as
    the function.
    """
    chances = "probabilities" in inspect.signature(function).parameters

    def score(truth: Truth, answers: Answers) -> float:
        more = {"probabilities": answers.probabilities} if chances else {}
        return float(function(truth.values, answers.values, **more))

    named = name or function.__name__
    return Metric(named, direction, task, score, needs_probabilities=chances, own=True, code=_code_digest(function))


def _code_digest(function: Callable[..., float]) -> str:
    """Return the digest of the whole module: a function uses others, and constants."""
    for source in (inspect.getmodule(function), function):
        try:
            return hashlib.sha256(inspect.getsource(source).encode()).hexdigest()  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue  # defined without a file, as in a notebook's cell; without any source its name must do
    return ""


def import_metric(text: str) -> Metric:
    """Import the metric that "module:function:min" names. Raise UsageError when there is no such function."""
    module, function, direction, *rest = text.split(":")
    try:
        imported = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module can run any code
        raise UsageError(f"metric {text!r}: it cannot be imported: {reason(error)}") from error
    if not callable(imported):
        raise UsageError(f"metric {text!r}: {function} is no function")
    task: Task = "classification" if rest else "regression"
    return own_metric(imported, "min" if direction == "min" else "max", task=task, name=function)
