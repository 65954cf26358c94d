"""Compute each built-in metric without some of its rows, by a formula where it is a function of sums.

Log loss counts a probability below `CLIP` as `CLIP` here. Otherwise one row with a probability near zero would outweigh
all others, and intervals would miss the true gain more often than they may (docs/promotion-figures.md
shows the raw one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from notebooks_lib.metrics import metric as losses
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.statistics.blocks import Array
from notebooks_lib.statistics.leave_one_out import Leaver, Mean, Placements, Recomputed, Sums

if TYPE_CHECKING:
    from notebooks_lib.metrics.metric import LeaveOutMethod, Metric


CLIP = 0.01
MANY = 20
"""Number of classes from which a recomputed metric is not tested for rows that may be missing by chance."""
LARGEST_TABLE = 5_000_000
"""Rows times classes from which no table of them is kept in memory, and the metric is recomputed for blocks."""


def leaver_of(metric: Metric, truth: Truth, answers: Answers, *, largest_table: int = LARGEST_TABLE) -> Leaver:
    """Return a `Leaver`, which computes a model's metric on these rows without each block of them.

    A table of rows x classes with more than `largest_table` cells is not kept: the metric is recomputed for each block.
    """
    large = truth.classes is not None and len(truth.classes) * len(truth.values) > largest_table
    method = metric.leave_out or (None if metric.own else METHODS.get(metric.name))
    if method is not None and not large:
        return method(truth, answers)

    def score(places: Array) -> float:
        return metric.score(truth.at(places), answers.at(places))

    return Recomputed(len(truth.values), score, None if large else _once_more(metric, truth, answers))


def mean_method(
    figures: Callable[[Truth, Answers], Array], of: Callable[[Array], Array] = np.asarray
) -> LeaveOutMethod:
    """Return the leave-one-out method for a metric that is a function `of` a mean over the rows.

    `figures` returns the value of each row.
    """

    def method(truth: Truth, answers: Answers) -> Leaver:
        values = np.asarray(figures(truth, answers), dtype=float)
        return Sums(np.column_stack([np.ones(len(values)), values]), lambda sums: of(sums[..., 1] / sums[..., 0]))

    return method


def _root(mean: Array) -> Array:
    return np.sqrt(np.maximum(mean, 0.0))  # a difference of sums may fall short of zero by rounding


def _relative(truth: Truth, answers: Answers) -> Array:
    return np.asarray(losses.absolute_errors(truth, answers) / np.maximum(np.abs(truth.values), np.finfo(float).eps))


def _right(truth: Truth, answers: Answers) -> Array:
    return np.asarray(truth.values == answers.values)


def _log_losses(truth: Truth, answers: Answers) -> Array:
    return losses.log_losses(truth, answers, CLIP)


def _r2(truth: Truth, answers: Answers) -> Leaver:
    centred = truth.values - truth.values.mean()  # the same, with less rounding
    ones = np.ones(len(centred))
    return Sums(
        np.column_stack([ones, losses.squared_errors(truth, answers), centred, centred**2]),
        lambda sums: 1 - sums[..., 1] / (sums[..., 3] - sums[..., 2] ** 2 / sums[..., 0]),
    )


def _counts(of: Callable[[Array, Array, Array], Array], *, positive: bool) -> LeaveOutMethod:
    """Return the method for a metric that `of` computes from three counts by class: true positives, predicted, actual.

    With `positive` and two classes, only the positive class counts.
    """

    def method(truth: Truth, answers: Answers) -> Leaver:
        classes = truth.classes
        assert classes is not None
        names = classes[1:] if positive and len(classes) == 2 else classes
        called, true = answers.values[:, None] == names, truth.values[:, None] == names
        size = len(names)

        def metric(sums: Array) -> Array:
            return of(sums[..., :size], sums[..., size : 2 * size], sums[..., 2 * size :])

        return Sums(np.column_stack([called & true, called, true]).astype(float), metric, _outcomes(size))

    return method


def _outcomes(classes: int) -> Array:
    """Return, for each class, one row that is a true positive, one missed and one wrongly predicted."""
    if classes == 1:
        return np.array([[1.0, 1, 1], [0, 1, 0], [0, 0, 1]])
    identity, zeros = np.eye(classes), np.zeros((classes, classes))
    return np.vstack(
        [np.hstack([identity, identity, identity]), np.hstack([zeros, np.roll(identity, 1, axis=1), identity])]
    )


def _once_more(metric: Metric, truth: Truth, answers: Answers) -> Callable[[], Array] | None:
    """Return the metric with one more row of each kind; None for numbers, and for more classes than `MANY`."""
    classes = truth.classes
    if classes is None or len(classes) > MANY:
        return None

    def scores() -> Array:
        return np.array([_with_row(metric, truth, answers, *cell) for cell in _cells(len(classes))])

    return scores


def _cells(classes: int) -> list[tuple[int, int]]:
    return [(true, called % classes) for true in range(classes) for called in (true, true + 1)]


def _with_row(metric: Metric, truth: Truth, answers: Answers, true: int, called: int) -> float:
    classes, chances = truth.classes, answers.probabilities
    assert classes is not None
    values = np.concatenate([answers.values, classes[[called]]])
    if chances is not None:
        chances = np.vstack([chances, np.eye(len(classes))[called]])
    return metric.score(Truth(np.concatenate([truth.values, classes[[true]]]), classes), Answers(values, chances))


def _ratio(part: Array, total: Array) -> Array:
    """Return part / total, and zero where total is zero, as scikit-learn does with zero_division=0."""
    return np.divide(part, total, out=np.zeros_like(part), where=total > 0)


def _average(by_class: Array, called: Array, true: Array) -> Array:
    """Return the mean over the classes that occur among the rows or the predictions."""
    occurs = called + true > 0
    return np.asarray(_ratio((by_class * occurs).sum(axis=-1), occurs.sum(axis=-1).astype(float)))


def _f1(right: Array, called: Array, true: Array) -> Array:
    return _average(_ratio(2 * right, called + true), called, true)


def _precision(right: Array, called: Array, true: Array) -> Array:
    return _average(_ratio(right, called), called, true) if right.shape[-1] > 1 else _ratio(right, called)[..., 0]


def _recall(right: Array, called: Array, true: Array) -> Array:
    return _average(_ratio(right, true), called, true) if right.shape[-1] > 1 else _ratio(right, true)[..., 0]


def _balanced(right: Array, called: Array, true: Array) -> Array:
    return _average(_ratio(right, true), np.zeros_like(true), true)


def _mcc(right: Array, called: Array, true: Array) -> Array:
    rows, hits = true.sum(axis=-1), right.sum(axis=-1)
    covariance = hits * rows - (called * true).sum(axis=-1)
    spread = (rows**2 - (called**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1))
    return _ratio(np.asarray(covariance), np.sqrt(np.maximum(spread, 0.0)))


def _auc(truth: Truth, answers: Answers) -> Leaver:
    assert truth.classes is not None
    assert answers.probabilities is not None
    if len(truth.classes) == 2:
        return Placements(truth.values == truth.classes[1], answers.probabilities[:, 1])
    shares = answers.probabilities / answers.probabilities.sum(axis=1, keepdims=True)
    return Mean(tuple(Placements(truth.values == name, shares[:, i]) for i, name in enumerate(truth.classes)))


METHODS: dict[str, LeaveOutMethod] = {
    "rmse": mean_method(losses.squared_errors, _root),
    "mse": mean_method(losses.squared_errors),
    "mae": mean_method(losses.absolute_errors),
    "mape": mean_method(_relative),
    "r2": _r2,
    "accuracy": mean_method(_right),
    "balanced_accuracy": _counts(_balanced, positive=False),
    "f1": _counts(_f1, positive=True),
    "f1_macro": _counts(_f1, positive=False),
    "precision": _counts(_precision, positive=True),
    "recall": _counts(_recall, positive=True),
    "mcc": _counts(_mcc, positive=False),
    "auc": _auc,
    "roc_auc": _auc,
    "log_loss": mean_method(_log_losses),
    "brier": mean_method(losses.brier_losses),
}
"""Leave-out methods by metric. A metric without one is recomputed for each block."""
