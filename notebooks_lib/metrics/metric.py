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
LeaveOutMethod = Callable[[Truth, Answers], "Leaver"]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is on some rows."""

    name: str
    direction: Direction
    task: Task
    score: Score
    losses: Losses | None = None
    """One figure for each row, lower is better, where the metric has such."""
    way: LeaveOutMethod | None = None
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


def squared_errors(truth: Truth, answers: Answers) -> Array:
    """Of each row the squared error."""
    loss: Array = (truth.values - answers.values) ** 2
    return loss


def absolute_errors(truth: Truth, answers: Answers) -> Array:
    """Of each row the absolute error."""
    loss: Array = abs(truth.values - answers.values)
    return loss


def misclassified(truth: Truth, answers: Answers) -> Array:
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


def own_metric(
    function: Callable[..., float], direction: Direction, *, task: Task = "regression", name: str | None = None
) -> Metric:
    """A metric from a function of true values and answers; it is given `probabilities` when it has such a parameter.

    Runs log it under `name`, which is the function's unless another is given.
    """
    chances = "probabilities" in inspect.signature(function).parameters

    def score(truth: Truth, answers: Answers) -> float:
        given = {"probabilities": answers.probabilities} if chances else {}
        return float(function(truth.values, answers.values, **given))

    named = name or function.__name__
    return Metric(named, direction, task, score, needs_probabilities=chances, own=True, code=_code_digest(function))


def _code_digest(function: Callable[..., float]) -> str:
    """Digest of the whole module, for a function uses others, and constants."""
    for source in (inspect.getmodule(function), function):
        try:
            return hashlib.sha256(inspect.getsource(source).encode()).hexdigest()  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue  # made without a file, as in a notebook's cell; at last its name must do
    return ""


def import_metric(text: str) -> Metric:
    """The metric that "module:function:min" names. Raises UsageError when there is no such function."""
    module, function, said, *rest = text.split(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module is anybody's code
        raise UsageError(f"metric {text!r}: it cannot be imported: {reason(error)}") from error
    if not callable(found):
        raise UsageError(f"metric {text!r}: {function} is no function")
    task: Task = "classification" if rest else "regression"
    return own_metric(found, "min" if said == "min" else "max", task=task, name=function)
