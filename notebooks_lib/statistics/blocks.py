"""Blocks of rows that are left out together: single rows, equal blocks, groups, or stretches of time. Deterministic.

A block must be independent of the rest; only then does the spread over the blocks tell how far the metric would move on
new rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Kind = Literal["rows", "blocks", "groups", "time"]

STRATIFIED = 40
"""Blocks for a metric that is recomputed for each: t with 39 degrees of freedom is nearly normal."""
CONTIGUOUS = 10
"""Blocks for rows in the order of time: long, so that only their ends depend on their neighbours."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """An assignment of rows to blocks; the rows of a block are left out together."""

    kind: Kind
    of_row: Array
    """The number of its block, from 0."""
    sizes: Array
    """Rows in each block."""

    @property
    def count(self) -> int:
        """Return the number of blocks."""
        return len(self.sizes)

    @property
    def effective(self) -> float:
        """Return the effective number of blocks: how many blocks of equal size would carry the same information."""
        return float(self.sizes.sum() ** 2 / (self.sizes.astype(float) ** 2).sum())


def single_rows(count: int) -> Blocks:
    """Return blocks of one row each."""
    return Blocks("rows", np.arange(count), np.ones(count, dtype=int))


def stratified_blocks(count: int, strata: Array | None = None, *, blocks: int = STRATIFIED) -> Blocks:
    """Return `blocks` blocks of nearly equal size, with nearly the same share of each stratum.

    `strata` has one value for each of the `count` rows. Rows are shuffled first, with a fixed seed, so that no pattern
    in the file coincides with the blocks.
    """
    blocks = min(blocks, count)
    order = np.random.RandomState(0).permutation(count)  # this generator's stream is frozen; newer ones may change
    if strata is not None:
        order = order[np.argsort(np.unique(strata, return_inverse=True)[1][order], kind="stable")]
    of_row = np.empty(count, dtype=int)
    of_row[order] = np.arange(count) % blocks
    return Blocks("blocks", of_row, np.bincount(of_row, minlength=blocks))


def group_blocks(values: Array) -> Blocks:
    """Return one block for each group: rows with equal `values`."""
    _, of_row, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return Blocks("groups", of_row.ravel(), sizes)


def time_stretches(count: int, *, blocks: int = CONTIGUOUS) -> Blocks:
    """Return blocks of consecutive rows, nearly equal in length, for `count` rows in time order."""
    blocks = min(blocks, count)
    of_row = np.arange(count) * blocks // max(count, 1)
    return Blocks("time", of_row, np.bincount(of_row, minlength=blocks))
