"""Pairs what two models said about the same rows into a gain with its error. It knows what is left out together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.metrics.jackknife import leaver
from notebooks_lib.statistics import blocks
from notebooks_lib.statistics.paired import Paired, compare

if TYPE_CHECKING:
    from notebooks_lib.metrics.metric import Answers, Metric, Truth

    Array = np.ndarray[Any, Any]


def pair(
    metric: Metric,
    truth: Truth,
    challenger: Answers,
    champion: Answers,
    *,
    groups: Array | None = None,
    times: Array | None = None,
) -> Paired:
    """The gain of the challenger on these rows.

    Rows that share a value of `groups` are left out together; with `times`, by which rows are put in order, stretches
    of them. Else single rows, or 40 blocks where the metric has to be computed anew for each. Raises ValueError when
    given both: a stretch would tear groups apart, and a group times.
    """
    if times is not None and groups is not None:
        raise ValueError("rows are left out by groups or by stretches of time, not by both")
    if times is not None:
        order = np.argsort(times, kind="stable")
        truth, challenger, champion = truth.at(order), challenger.at(order), champion.at(order)
    new, old = leaver(metric, truth, challenger), leaver(metric, truth, champion)
    count = len(truth.values)
    if times is not None:
        dealt = blocks.contiguous(count)
    elif groups is not None:
        dealt = blocks.groups(groups)
    elif new.cheap and old.cheap:
        dealt = blocks.rows(count)
    else:
        dealt = blocks.stratified(count, None if truth.classes is None else truth.values)
    return compare(
        new,
        old,
        sign=-1.0 if metric.direction == "min" else 1.0,
        blocks=dealt,
        classes=None if truth.classes is None else truth.values[:, None] == truth.classes,
        differing=None if truth.classes is None else _differ(metric, challenger, champion),
        drift=_drift(truth, challenger) - _drift(truth, champion) if times is not None else None,
    )


def _differ(metric: Metric, one: Answers, other: Answers) -> Array:
    if metric.needs_probabilities and one.probabilities is not None and other.probabilities is not None:
        return np.asarray((one.probabilities != other.probabilities).any(axis=1))
    return np.asarray(one.values != other.values)


def _drift(truth: Truth, answers: Answers) -> Array:
    """How wrong each answer is, whatever the metric."""
    if truth.classes is None:
        return np.asarray(np.abs(truth.values - answers.values))
    return np.asarray(truth.values != answers.values, dtype=float)
