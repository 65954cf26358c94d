"""Populations in which the true gain of one model over another is known exactly: real rows, reweighted.

What two models predicted for the rows of a table is tilted by weights until the gain, by the metric itself, is as
wished; holdouts are then drawn with these weights. Only the weights are made up: errors stay as skewed, tied and
correlated as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from notebooks_lib.statistics import blocks
from notebooks_lib.statistics.blocks import Array
from notebooks_lib.statistics.leave_one_out import Leaver, Mean, Placements, Sums

STEEPEST = 60.0
"""Largest tilt, in standard deviations of influence: beyond it, a population would be a handful of rows."""


@dataclass(frozen=True, eq=False)
class Population:
    """Rows with weights, from which holdouts are drawn, and the true gain in that population."""

    weights: Array
    gain: float
    """The true gain."""
    effective: float
    """How many rows of equal weight the population is like."""

    def draw(self, rows: int, random: np.random.Generator) -> Array:
        """Draw a holdout: return the indices of its rows."""
        return random.choice(len(self.weights), size=rows, p=self.weights)


def planted_population(
    challenger: Leaver, champion: Leaver, rows: int, *, sign: float, gain: float = 0.0
) -> Population:
    """Return a population whose rows are weighted so that the challenger's true gain is `gain`.

    `sign` is -1 where a lower metric is better. Raises ValueError when no weights give that gain.
    """
    single_rows = blocks.single_rows(rows)
    replicates = sign * (challenger.without(single_rows) - champion.without(single_rows))
    influence = replicates.mean() - replicates  # a row that helps the challenger lowers the gain when it is left out
    influence = influence / influence.std()

    def miss(tilt: float) -> float:
        weights = softmax(tilt * influence)
        return sign * (weighted_metric(challenger, weights) - weighted_metric(champion, weights)) - gain

    ends = next((end for end in (1.0, 4.0, STEEPEST) if miss(-end) < 0 < miss(end)), None)
    if ends is None:
        raise ValueError(f"no weights of these rows give a gain of {gain:g}")
    tilt = brentq(miss, -ends, ends, xtol=1e-14, rtol=1e-14)
    weights = softmax(tilt * influence)
    return Population(weights, gain, float(1 / (weights**2).sum()))


def weighted_metric(leaver: Leaver, weights: Array) -> float:
    """Return the metric on a population with these weights."""
    if isinstance(leaver, Sums):
        with np.errstate(all="ignore"):
            return float(leaver.of(weights @ leaver.figures))
    if isinstance(leaver, Mean):
        return float(np.mean([weighted_metric(part, weights) for part in leaver.parts]))
    if isinstance(leaver, Placements):
        return _weighted_area(leaver, weights)
    raise TypeError("only metrics in closed form can be weighted")


def _weighted_area(leaver: Placements, weights: Array) -> float:
    """Return the weighted chance that a one is ranked above a zero; a tie counts half."""
    values, place = np.unique(leaver.chance, return_inverse=True)
    ones = np.bincount(place, weights * leaver.positive, len(values))
    zeros = np.bincount(place, weights * ~leaver.positive, len(values))
    pairs = ones.sum() * zeros.sum()
    return float((ones * (np.cumsum(zeros) - zeros / 2)).sum() / pairs) if pairs > 0 else math.nan
