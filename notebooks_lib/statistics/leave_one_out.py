"""A metric without one block, for every block at once: by sums, by placements, or by recomputing it.

The first two cost about as much as computing the metric once. `Leaver` is their common interface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from notebooks_lib.statistics.blocks import Array, Blocks


class Leaver(Protocol):
    """Computes the metric of one model without each block of rows."""

    @property
    def whole(self) -> float:
        """Return the metric on all rows."""

    @property
    def cheap(self) -> bool:
        """True if leaving out every single row is fast and statistically valid for this metric."""

    def without(self, blocks: Blocks) -> Array:
        """Return, for each block, the metric on all other rows."""

    def unseen_variance(self, rows: float) -> float:
        """Return the variance to add because an outcome may be missing from the data only by chance.

        For each outcome in turn, `rows` rows of it are added. The result is the sum of the squared changes of the
        metric, or zero for a metric that weighs all rows alike.

        Example: a precision of 0 from three predictions has no spread, but is still uncertain (Agresti and Caffo 2000
        add a success and a failure).
        """


@dataclass(frozen=True, eq=False)
class Sums:
    """A metric that is a function of sums over the rows; most metrics are."""

    figures: Array
    """rows x figures."""
    of: Callable[[Array], Array]
    """Function from sums (figures in the last axis) to the metric."""
    outcomes: Array | None = None
    """outcomes x figures: one row of each outcome, for `unseen_variance`; None if the metric weighs all rows alike."""
    cheap = True

    @cached_property
    def whole(self) -> float:
        """Return the metric on all rows."""
        with np.errstate(all="ignore"):
            return float(self.of(self.figures.sum(axis=0)))

    def without(self, blocks: Blocks) -> Array:
        """Return, for each block, the metric computed from the sums without that block."""
        if blocks.kind == "rows":
            figures = self.figures
        else:
            columns = [np.bincount(blocks.of_row, column, blocks.count) for column in self.figures.T]
            figures = np.column_stack(columns)
        with np.errstate(all="ignore"):
            return np.asarray(self.of(self.figures.sum(axis=0) - figures), dtype=float)

    def unseen_variance(self, rows: float) -> float:
        """Return the extra variance: the sum of squared changes of the metric when rows of each outcome are added."""
        if self.outcomes is None:
            return 0.0
        with np.errstate(all="ignore"):
            moved = self.of(self.figures.sum(axis=0) + rows * self.outcomes) - self.whole
        return float((moved**2).sum())


@dataclass(frozen=True, eq=False)
class Placements:
    """The area under the ROC curve: the share of (positive, negative) pairs in the right order; ties count half.

    A row's placement is the number of rows of the other class that it is in order with (DeLong, DeLong and
    Clarke-Pearson 1988). Leaving rows out subtracts their placements from the number of pairs in order; pairs within a
    block are subtracted twice and added back. O(n log n).
    """

    positive: Array
    """True for rows of the positive class."""
    chance: Array
    """The model's probability for each row."""
    cheap = True

    @cached_property
    def placements(self) -> Array:
        """Return the placement of each row among the rows of the other class."""
        return placements(self.positive, self.chance)

    @cached_property
    def whole(self) -> float:
        """Return the area under the curve on all rows; NaN when one class is missing."""
        wins = self.placements[self.positive].sum()
        pairs = int(self.positive.sum()) * int((~self.positive).sum())
        return float(wins / pairs) if pairs else float("nan")

    def without(self, blocks: Blocks) -> Array:
        """Return, for each block, the area under the curve without its rows."""
        positive = self.positive.astype(float)
        lost = np.bincount(blocks.of_row, self.placements, blocks.count)
        ones = np.bincount(blocks.of_row, positive, blocks.count)
        if blocks.kind != "rows":
            lost = lost - self._within(blocks)
        wins = self.placements[self.positive].sum() - lost
        pairs = (positive.sum() - ones) * ((1 - positive).sum() - (blocks.sizes - ones))
        with np.errstate(all="ignore"):
            return np.where(pairs > 0, wins / pairs, np.nan)

    def unseen_variance(self, rows: float) -> float:
        """Return zero: the number of pairs is the same for every model."""
        return 0.0

    def _within(self, blocks: Blocks) -> Array:
        """Return the number of ordered pairs within each block."""
        order = np.argsort(blocks.of_row, kind="stable")
        members = np.split(order, np.cumsum(blocks.sizes)[:-1])
        return np.array([placements(self.positive[m], self.chance[m])[self.positive[m]].sum() for m in members])


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of several metrics, such as the areas of each class against the others."""

    parts: tuple[Leaver, ...]
    cheap = True

    @cached_property
    def whole(self) -> float:
        """Return the mean of the metrics on all rows."""
        return float(np.mean([part.whole for part in self.parts]))

    def without(self, blocks: Blocks) -> Array:
        """Return, for each block, the mean of the metrics on all other rows."""
        return np.asarray(np.mean([part.without(blocks) for part in self.parts], axis=0))

    def unseen_variance(self, rows: float) -> float:
        """Return the extra variance of the mean: the sum of that of its n parts, divided by n squared."""
        return sum(part.unseen_variance(rows) for part in self.parts) / len(self.parts) ** 2


@dataclass(frozen=True, eq=False)
class Recomputed:
    """Any function of rows, recomputed for each block: for a user's own metric, and for medians.

    For a median, leaving out single rows is inconsistent, leaving out blocks is not (Efron and Tibshirani 1993, section
    11.6).
    """

    count: int
    score: Callable[[Array], float]
    """The metric on the rows of these places."""
    once_more: Callable[[], Array] | None = None
    """The metric with one more row, for each kind of row that `unseen_variance` adds."""
    cheap = False

    @cached_property
    def whole(self) -> float:
        """Return the metric on all rows."""
        return float(self.score(np.arange(self.count)))

    def without(self, blocks: Blocks) -> Array:
        """Return, for each block, the metric recomputed on all other rows."""
        places = range(blocks.count)
        return np.array([self.score(np.flatnonzero(blocks.of_row != block)) for block in places], dtype=float)

    def unseen_variance(self, rows: float) -> float:
        """Return the extra variance: the sum of the squared changes of the metric when one row of each kind is added.

        `rows` is not used: one row is added because a block, unlike a group, holds many units.
        """
        return 0.0 if self.once_more is None else float(((self.once_more() - self.whole) ** 2).sum())


def placements(positive: Array, chance: Array) -> Array:
    """Return for each row how many rows of the other class are ranked correctly against it; a tie counts half."""
    ones, zeros = np.sort(chance[positive]), np.sort(chance[~positive])
    below = (np.searchsorted(zeros, chance, "left") + np.searchsorted(zeros, chance, "right")) / 2
    above = len(ones) - (np.searchsorted(ones, chance, "left") + np.searchsorted(ones, chance, "right")) / 2
    return np.where(positive, below, above)
