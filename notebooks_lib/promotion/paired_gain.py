"""Compute the paired gain of a challenger over the champion, with its error. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.statistics import blocks
from notebooks_lib.statistics.paired_jackknife import PairedGain, compare_paired

if TYPE_CHECKING:
    from notebooks_lib.metrics.metric import Answers, Metric, Truth

    Array = np.ndarray[Any, Any]


def paired_gain(
    metric: Metric,
    truth: Truth,
    challenger: Answers,
    champion: Answers,
    *,
    groups: Array | None = None,
    times: Array | None = None,
) -> PairedGain:
    """Return the gain of the challenger over the champion on these rows.

    The error comes from leaving out blocks of rows. With `groups`, a block is the rows that share a value. With
    `times`, rows are put in that order, and a block is a stretch of time. Otherwise a block is a single row, or one of
    40 blocks where the metric must be recomputed for each. Raises ValueError when both are given: a stretch would tear
    groups apart, and a group would tear stretches apart.
    """
    if times is not None and groups is not None:
        raise ValueError("rows are left out by groups or by stretches of time, not by both")
    if times is not None:
        order = np.argsort(times, kind="stable")
        truth, challenger, champion = truth.at(order), challenger.at(order), champion.at(order)
    new, old = leaver_of(metric, truth, challenger), leaver_of(metric, truth, champion)
    count = len(truth.values)
    if times is not None:
        dealt = blocks.time_stretches(count)
    elif groups is not None:
        dealt = blocks.group_blocks(groups)
    elif new.cheap and old.cheap:
        dealt = blocks.single_rows(count)
    else:
        dealt = blocks.stratified_blocks(count, None if truth.classes is None else truth.values)
    return compare_paired(
        new,
        old,
        sign=-1.0 if metric.direction == "min" else 1.0,
        blocks=dealt,
        classes=None if truth.classes is None else truth.values[:, None] == truth.classes,
        differing=None if truth.classes is None else _answers_differ(metric, challenger, champion),
        drift=_drift(truth, challenger) - _drift(truth, champion) if times is not None else None,
    )


def _answers_differ(metric: Metric, challenger: Answers, champion: Answers) -> Array:
    if metric.needs_probabilities and challenger.probabilities is not None and champion.probabilities is not None:
        return np.asarray((challenger.probabilities != champion.probabilities).any(axis=1))
    return np.asarray(challenger.values != champion.values)


def _drift(truth: Truth, answers: Answers) -> Array:
    """Return how wrong each answer is, whatever the metric."""
    if truth.classes is None:
        return np.asarray(np.abs(truth.values - answers.values))
    return np.asarray(truth.values != answers.values, dtype=float)
