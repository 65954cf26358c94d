"""The table of built-in metrics: how each is computed, and whether a lower or a higher value is better.

`leave_one_out_methods` leaves rows out of each.
"""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from notebooks_lib.errors import UsageError, nearest
from notebooks_lib.metrics.metric import (
    Answers,
    Direction,
    Losses,
    Metric,
    Score,
    Task,
    Truth,
    absolute_errors,
    brier_losses,
    import_metric,
    log_losses,
    misclassified,
    squared_errors,
)


def find(name: str, *, positive: str = "") -> Metric:
    """Return a metric that promotion can compute: a built-in one, or a user's function.

    `positive` names the class for f1, precision, recall and auc of two classes. A function is written as
    `module:function:min` (or `max`), and as `module:function:min:classes` when it scores class names. Its module is
    installed, or lies beside the notebook that promotes. Raises UsageError for any other name.
    """
    check(name)
    metric = METRICS[name] if name in METRICS else import_metric(name)
    if not positive:
        return metric
    if metric.task == "regression":
        raise UsageError(f"positive={positive}: {metric.name} is a metric of numbers, without classes; leave it out")
    return replace(metric, positive=positive, note=f"of class {positive}" if metric.note == LAST else metric.note)


def with_class_named(metric: Metric, classes: Sequence[object]) -> Metric:
    """Return the metric with a note that names the class it is about, unless a class was chosen."""
    if metric.note != LAST:
        return metric
    if len(classes) != 2:
        return replace(metric, note="the mean over the classes")
    other, positive = map(str, classes)
    return replace(metric, note=f"of class {positive}; for the other: -p {shlex.quote(f'positive={other}')}")


def check(name: str) -> None:
    """Raise UsageError if `find` knows no metric of this name. A user's function is not imported for the check."""
    if name in METRICS:
        return
    if name.count(":") >= 2:
        module, function, direction, *rest = name.split(":")
        if not (module and function) or direction not in ("min", "max") or rest not in ([], ["classes"]):
            raise UsageError(f"metric {name!r}: write module:function:min or :max, and :classes after it for classes")
        return
    match = nearest(name, METRICS)
    meant = f", did you mean {match!r}?" if match else ""
    raise UsageError(
        f"metric {name!r}: promotion decides only by metrics that it computes itself{meant} "
        f"(known: {', '.join(sorted(METRICS))}; or a function of yours, as module:function:min)"
    )


def score_all(task: Task, truth: Truth, answers: Answers) -> dict[str, float]:
    """Return all metrics of a task by name; NaN for a metric that is undefined for these rows.

    Metrics that need probabilities are left out when `answers` has none.
    """
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about undefined metrics; they become NaN
        for metric in METRICS.values():
            if metric.task == task and (answers.probabilities is not None or not metric.needs_probabilities):
                try:
                    scores[metric.name] = float(metric.score(truth, answers))
                except ValueError:
                    scores[metric.name] = math.nan
    return scores


def _of_sklearn(function: str, **options: Any) -> Score:
    def score(truth: Truth, answers: Answers) -> float:
        from sklearn import metrics

        return float(getattr(metrics, function)(truth.values, answers.values, **options))

    return score


def _by_class(function: str, average: str = "") -> Score:
    """Score the positive one of two classes; of more classes the mean over all."""

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


def _mean(losses: Losses) -> Score:
    return lambda truth, answers: float(losses(truth, answers).mean())


LAST = "of two classes it is that of the last by name, as 1 of 0 and 1"


def _table() -> dict[str, Metric]:
    regression = [
        Metric("rmse", "min", "regression", _of_sklearn("root_mean_squared_error"), squared_errors),
        Metric("mse", "min", "regression", _of_sklearn("mean_squared_error"), squared_errors),
        Metric("mae", "min", "regression", _of_sklearn("mean_absolute_error"), absolute_errors),
        Metric("median_ae", "min", "regression", _of_sklearn("median_absolute_error"), fewest_rows=100),
        Metric("mape", "min", "regression", _of_sklearn("mean_absolute_percentage_error")),
        Metric("r2", "max", "regression", _of_sklearn("r2_score")),
    ]
    classification = [
        Metric("accuracy", "max", "classification", _of_sklearn("accuracy_score"), misclassified),
        Metric("balanced_accuracy", "max", "classification", _of_sklearn("balanced_accuracy_score")),
        Metric("f1", "max", "classification", _by_class("f1_score"), note=LAST),
        Metric("f1_macro", "max", "classification", _by_class("f1_score", "macro")),
        Metric("precision", "max", "classification", _by_class("precision_score"), note=LAST),
        Metric("recall", "max", "classification", _by_class("recall_score"), note=LAST),
        Metric("mcc", "max", "classification", _of_sklearn("matthews_corrcoef")),
        Metric("auc", "max", "classification", _roc_auc, needs_probabilities=True, fewest_groups=60.0),
        Metric("roc_auc", "max", "classification", _roc_auc, needs_probabilities=True, fewest_groups=60.0),
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


METRICS = _table()
"""Every built-in metric by name."""

DIRECTIONS: Mapping[str, Direction] = {name: metric.direction for name, metric in METRICS.items()}
"""The better direction of each."""


_BETTER = {"min": "the smaller", "max": "the larger"}


def parse(text: str) -> tuple[str, Direction]:
    """Return the name and direction of a metric.

    A built-in metric is written as "rmse", any other with its direction, as "cost:min". Raises UsageError when there is
    no name, when the direction is not min or max, when it contradicts that of a built-in metric, or when a metric that
    is not built in has none.
    """
    name, colon, word = (part.strip() for part in text.rpartition(":"))
    if not colon:
        name, word = word, ""
    direction = word.lower()
    if not name:
        raise UsageError(f"metric {text!r}: it has no name; write NAME, NAME:min or NAME:max, as in auc:max")
    builtin = DIRECTIONS.get(name)
    if colon and direction not in ("min", "max"):
        raise UsageError(f"metric {text!r}: {word!r} is no direction; write {name}:min or {name}:max")
    if colon and builtin and direction != builtin:
        raise UsageError(f"metric {text!r}: of {name}, {_BETTER[builtin]} is better; write {name}")
    if builtin:
        return name, builtin
    if colon:
        return name, "min" if direction == "min" else "max"
    match = nearest(name, DIRECTIONS)
    meant = f"did you mean {match!r}? For" if match else "for"
    raise UsageError(
        f"metric {name!r}: its direction is unknown; {meant} a metric of your own write {name}:min or "
        f"{name}:max (known: {', '.join(sorted(DIRECTIONS))})"
    )
