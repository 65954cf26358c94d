"""The one table of metrics: which way is better, how each is computed, how rows are left out of it.

No other module compares two of them. What a metric is a sum of stands in `left_out.py`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.statistics.leaving import Leaver

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
    """All that there are, sorted; None for numbers. The last of two is the positive one."""

    def at(self, places: Array) -> Truth:
        """Of some of the rows."""
        return Truth(self.values[places], self.classes)


Score = Callable[[Truth, Answers], float]
Losses = Callable[[Truth, Answers], "Array"]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is on some rows."""

    name: str
    direction: Direction
    task: Task
    score: Score
    losses: Losses | None = None
    """One figure for each row, lower is better, where the metric has such."""
    needs_probabilities: bool = False
    own: bool = False
    """A function of the user's, not one of the table."""
    note: str = ""
    """What is different about it where it decides."""
    code: str = ""
    """Digest of a user's function: with other code it is another metric."""

    def leaver(self, truth: Truth, answers: Answers) -> Leaver:
        """The metric on these rows, ready for leaving some out: how, is the metric's own affair."""
        from notebooks_lib.promotion.deciding import left_out

        return left_out.leaver(self, truth, answers)

    def gain(self, challenger: float, champion: float) -> float:
        """How much better the challenger is; positive is better whatever the direction."""
        return gain(self.direction, challenger, champion)


def gain(direction: Direction, challenger: float, champion: float) -> float:
    """How much better the first figure is than the second; positive is better whatever the direction."""
    return champion - challenger if direction == "min" else challenger - champion


def sort_key(direction: Direction, value: float) -> float:
    """Sorts the best first."""
    return value if direction == "min" else -value


def parse(text: str) -> tuple[str, Direction]:
    """Name and direction from "rmse", or from "cost:min" for a metric of one's own.

    Raises UsageError when the direction is not known, or contradicts the table.
    """
    name, colon, said = text.partition(":")
    known = METRICS.get(name)
    if colon and said not in ("min", "max"):
        raise UsageError(f"metric {text!r}: {said!r} is no direction; write {name}:min or {name}:max")
    if colon and known and said != known.direction:
        raise UsageError(f"metric {text!r}: of {name}, {_BETTER[known.direction]} is better; write {name}")
    if known:
        return name, known.direction
    if colon:
        return name, "min" if said == "min" else "max"
    match = nearest(name, METRICS)
    meant = f"did you mean {match!r}? For" if match else "for"
    raise UsageError(
        f"metric {name!r}: nobody said which way is better; {meant} a metric of your own write {name}:min or "
        f"{name}:max (known: {', '.join(sorted(METRICS))})"
    )


def find(name: str) -> Metric:
    """A metric that promotion can compute by itself: one of the table, or a user's function.

    A function is named as `module:function:min` (or `max`), and as `module:function:min:classes` when it judges names
    of classes; its module is installed, or lies beside the notebook that promotes. Raises UsageError for any other.
    """
    check(name)
    if name in METRICS:
        return METRICS[name]
    from notebooks_lib.promotion.deciding import own_metric

    return own_metric.imported(name)


def check(name: str) -> None:
    """Raise UsageError unless `find` may find it; a user's function is not imported for that."""
    if name in METRICS:
        return
    if name.count(":") >= 2:
        module, function, said, *rest = name.split(":")
        if not (module and function) or said not in ("min", "max") or rest not in ([], ["classes"]):
            raise UsageError(f"metric {name!r}: write module:function:min or :max, and :classes after it for classes")
        return
    match = nearest(name, METRICS)
    meant = f", did you mean {match!r}?" if match else ""
    raise UsageError(
        f"metric {name!r}: promotion decides only by metrics that it computes itself{meant} "
        f"(known: {', '.join(sorted(METRICS))}; or a function of yours, as module:function:min)"
    )


def score_all(task: Task, truth: Truth, answers: Answers) -> dict[str, float]:
    """All metrics of a task that these answers allow; one that is undefined for these rows is NaN."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn on metrics that are undefined here: NaN says it
        for metric in METRICS.values():
            if metric.task == task and (answers.probabilities is not None or not metric.needs_probabilities):
                try:
                    found[metric.name] = float(metric.score(truth, answers))
                except ValueError:
                    found[metric.name] = math.nan
    return found


def _of_sklearn(function: str, **options: Any) -> Score:
    def score(truth: Truth, answers: Answers) -> float:
        from sklearn import metrics

        return float(getattr(metrics, function)(truth.values, answers.values, **options))

    return score


def _by_class(function: str, average: str = "") -> Score:
    """Of two classes for the positive one, of more the mean over classes."""

    def score(truth: Truth, answers: Answers) -> float:
        from sklearn import metrics

        assert truth.classes is not None
        how: dict[str, Any] = {"average": average or "macro"}
        if not average and len(truth.classes) == 2:
            how = {"average": "binary", "pos_label": truth.classes[1]}
        return float(getattr(metrics, function)(truth.values, answers.values, zero_division=0, **how))

    return score


def _roc_auc(truth: Truth, answers: Answers) -> float:
    from sklearn.metrics import roc_auc_score

    assert truth.classes is not None
    assert answers.probabilities is not None
    if len(truth.classes) == 2:
        return float(roc_auc_score(truth.values == truth.classes[1], answers.probabilities[:, 1]))
    shares = answers.probabilities / answers.probabilities.sum(axis=1, keepdims=True)
    return float(roc_auc_score(truth.values, shares, multi_class="ovr", average="macro", labels=truth.classes))


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
    column = np.searchsorted(truth.classes, truth.values)
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


def _mean(losses: Losses) -> Score:
    return lambda truth, answers: float(losses(truth, answers).mean())


def _table() -> dict[str, Metric]:
    regression = [
        Metric("rmse", "min", "regression", _of_sklearn("root_mean_squared_error"), squared),
        Metric("mse", "min", "regression", _of_sklearn("mean_squared_error"), squared),
        Metric("mae", "min", "regression", _of_sklearn("mean_absolute_error"), absolute),
        Metric("median_ae", "min", "regression", _of_sklearn("median_absolute_error")),
        Metric("mape", "min", "regression", _of_sklearn("mean_absolute_percentage_error")),
        Metric("r2", "max", "regression", _of_sklearn("r2_score")),
    ]
    classification = [
        Metric("accuracy", "max", "classification", _of_sklearn("accuracy_score"), wrong),
        Metric("balanced_accuracy", "max", "classification", _of_sklearn("balanced_accuracy_score")),
        Metric("f1", "max", "classification", _by_class("f1_score")),
        Metric("f1_macro", "max", "classification", _by_class("f1_score", "macro")),
        Metric("precision", "max", "classification", _by_class("precision_score")),
        Metric("recall", "max", "classification", _by_class("recall_score")),
        Metric("mcc", "max", "classification", _of_sklearn("matthews_corrcoef")),
        Metric("auc", "max", "classification", _roc_auc, needs_probabilities=True),
        Metric("roc_auc", "max", "classification", _roc_auc, needs_probabilities=True),
        Metric(
            "log_loss",
            "min",
            "classification",
            _mean(log_losses),
            log_losses,
            needs_probabilities=True,
            note="chances below 0.01 count as 0.01",
        ),
        Metric("brier", "min", "classification", _mean(brier_losses), brier_losses, needs_probabilities=True),
    ]
    return {metric.name: metric for metric in [*regression, *classification]}


_BETTER = {"min": "the smaller", "max": "the larger"}

METRICS = _table()
"""Every metric that nbops knows."""
