"""Bootstrap a holdout: draw its blocks with replacement, and compute the figures of each sample. Pure.

The samples show what a holdout of the same size from the same population would say if the true gain were another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from notebooks_lib.statistics.blocks import Array, Blocks
from notebooks_lib.statistics.skewness_corrected_t import critical_value

DRAWS = 200
"""Samples that are drawn: enough to know a share of 80 % to three points."""
CELLS = 4_000_000
"""Draws times blocks at most; beyond that, samples are so large that they are all alike."""
RAREST = 10
"""Classes whose units are counted."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The contribution of each block to a comparison of two models."""

    influence: Array
    """By how much the gain is larger with the block than without it, minus the mean."""
    unseen: float
    """Variance of outcomes that may be missing by chance."""
    heaviest: Array | None
    """For each block, the largest squared influence of a single row; None where that is unknown."""
    total: Array | None
    """For each block, the sum of the squared influences of its rows."""
    classes: Array | None
    """blocks x classes, the rarest first: units of each class. A unit is a row, or a group with such a row."""
    differing: Array | None
    """For each block, the units on which two classifiers differ."""

    @property
    def rarer(self) -> int | None:
        """Return the number of units of the rarest class; None for numbers. A unit is a row or a group."""
        return None if self.classes is None else int(self.classes.sum(axis=0).min())

    @property
    def differences(self) -> int | None:
        """Return the number of units on which the two models differ; None for numbers. A unit is a row or a group."""
        return None if self.differing is None else int(self.differing.sum())


@dataclass(frozen=True, eq=False)
class Draws:
    """Figures of random holdouts, drawn with replacement from the blocks of one holdout."""

    moved: Array
    """By how much the gain differs from the true one."""
    error: Array
    """The standard error."""
    df: Array
    skewness: Array
    blocks: int
    share: Array | None = None
    """Share of the most influential row in the squared influence; None where that is unknown."""
    rarer: Array | None = None
    """Units of the rarest class; None for numbers."""
    differing: Array | None = None
    """Units on which two classifiers differ; None for numbers."""

    def needed(self, alpha: float) -> Array:
        """Return the true gain above which the lower bound at `alpha` exceeds zero; infinite if there is no bound."""
        with np.errstate(all="ignore"):
            gains = critical_value(alpha, self.df, -self.skewness, self.blocks) * self.error - self.moved
        return np.where(np.isfinite(gains) & (self.error > 0), gains, math.inf)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as lists and numbers; NaN stays NaN."""
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Draws:
        """Restore the object from what `as_json` returned."""
        values: dict[str, Any] = {
            key: np.array(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**values)


def sample_of(
    replicates: Array,
    single: Array | None,
    blocks: Blocks,
    *,
    unseen: float,
    classes: Array | None,
    differing: Array | None,
) -> Sample:
    """Make the sample from the gain without each block (`replicates`) and without each row (`single`).

    `single` is None if that is not known. `unseen` is the variance of outcomes that may be missing by chance. For
    classifiers, `classes` (rows x classes) is True where a row is of that class, and `differing` is True for rows on
    which the two models differ.
    """
    squares = None if single is None else (single - single.mean()) ** 2
    units = None
    if classes is not None:
        units = _units(classes, blocks)
        units = units[:, np.argsort(units.sum(axis=0), kind="stable")[:RAREST]]
    return Sample(
        influence=replicates.mean() - replicates,
        unseen=unseen,
        heaviest=None if squares is None else _by_block(np.maximum, squares, blocks),
        total=None if squares is None else _by_block(np.add, squares, blocks),
        classes=units,
        differing=None if differing is None else _units(differing[:, None], blocks)[:, 0],
    )


def draw_samples(sample: Sample, blocks: Blocks) -> Draws | None:
    """Draw holdouts from the blocks with replacement, each of as many blocks as this one. The random seed is fixed.

    Returns None for stretches of time, which are too few and too long, and for very many blocks, with which all samples
    would be alike.
    """
    count = blocks.count
    draws = min(DRAWS, CELLS // max(count, 1))
    if draws < DRAWS // 8 or blocks.kind == "time":
        return None
    times = _times(count, draws)
    powers = sample.influence[:, None] ** np.arange(1, 5)
    mean, second, third, fourth = (times @ powers / count).T
    square = second - mean**2
    with np.errstate(all="ignore"):
        skew = (third - 3 * mean * second + 2 * mean**3) / square**1.5
        kurtosis = (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / square**2
        share = None
        if sample.heaviest is not None and sample.total is not None:
            share = np.where(times > 0, sample.heaviest, 0).max(axis=1) / (times @ sample.total)
        return Draws(
            moved=(count - 1) * mean,
            error=np.sqrt(np.maximum((count - 1) * square + sample.unseen, 0)),
            df=np.fmin(max(blocks.effective - 1.0, 0.0), 2 * count / np.maximum(kurtosis - 1, 1e-9)),
            skewness=skew,
            blocks=count,
            share=share,
            rarer=None if sample.classes is None else (times @ sample.classes).min(axis=1),
            differing=None if sample.differing is None else times @ sample.differing,
        )


@lru_cache(maxsize=4)
def _times(blocks: int, draws: int) -> Array:
    """Return how often each block is drawn into each sample: draws x blocks."""
    places = np.random.RandomState(0).randint(blocks, size=(draws, blocks))
    places += blocks * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * blocks).reshape(draws, blocks).astype(float)


def _units(flags: Array, blocks: Blocks) -> Array:
    """Return blocks x flags: rows with the flag, or 1 for a group that has one."""
    if blocks.kind == "rows":
        return flags.astype(int)
    counts = np.column_stack([np.bincount(blocks.of_row, column, blocks.count) for column in flags.T])
    return (counts > 0).astype(int) if blocks.kind == "groups" else counts.astype(int)


def _by_block(reduction: np.ufunc, values: Array, blocks: Blocks) -> Array:
    if blocks.kind == "rows":
        return values
    order = np.argsort(blocks.of_row, kind="stable")
    return np.asarray(reduction.reduceat(values[order], np.cumsum(blocks.sizes) - blocks.sizes))
