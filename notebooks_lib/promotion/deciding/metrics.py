"""The one table of metrics: which way is better, and how each is computed. How rows are left out: `left_out.py`."""

from __future__ import annotations

import math
import warnings
from typing import Any

from notebooks_lib.errors import UsageError, nearest
from notebooks_lib.promotion.deciding import own_metric
from notebooks_lib.promotion.deciding.metric import (
    Answers,
    Direction,
    Losses,
    Metric,
    Score,
    Task,
    Truth,
    absolute,
    brier_losses,
    log_losses,
    squared,
    wrong,
)


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


def _mean(losses: Losses) -> Score:
    return lambda truth, answers: float(losses(truth, answers).mean())


LAST = "of two classes it is that of the last by name, as 1 of 0 and 1"


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
        Metric("f1", "max", "classification", _by_class("f1_score"), note=LAST),
        Metric("f1_macro", "max", "classification", _by_class("f1_score", "macro")),
        Metric("precision", "max", "classification", _by_class("precision_score"), note=LAST),
        Metric("recall", "max", "classification", _by_class("recall_score"), note=LAST),
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
