"""The gain of one model over another with its error: the paired delete-one-block jackknife t.

Both models are scored on the same rows, one block of rows is left out at a time, and the spread of the gain over the
blocks gives its standard error; Student's t gives the bounds. It works on the metric itself, not on losses of rows, is
the paired t test where the metric is a mean with light tails, and takes about a millisecond. The alternatives and their
figures: docs/decisions/0022.

Far out in the tails, where one use of ten is tested, three things widen the bounds, and none narrows them. Degrees of
freedom fall where few blocks carry the spread (the variance of a variance). Skewness against the bound is corrected
(Cornish and Fisher; Hall, The Bootstrap and Edgeworth Expansion, 1992, section 2.6). Outcomes of a ratio that may be
missing by chance are added to its variance (Agresti and Caffo, The American Statistician 54, 2000).

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 11: the jackknife. MacKinnon, Nielsen and Webb,
Fast and reliable jackknife and bootstrap methods for cluster-robust inference, Journal of Applied Econometrics 38
(2023): one group at a time, of whatever size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtr

from notebooks_lib.statistics import blocks as dealing
from notebooks_lib.statistics.blocks import Array, Blocks, Kind
from notebooks_lib.statistics.holdout_resampling import Draws, draw_samples, sample_of
from notebooks_lib.statistics.leave_one_out import Leaver
from notebooks_lib.statistics.skewness_corrected_t import critical_value, degrees_of_freedom, skewness


@dataclass(frozen=True)
class PairedGain:
    """The gain of a challenger over a champion on the same rows, positive when the challenger is better."""

    gain: float
    standard_error: float
    """NaN when it cannot be computed; 0 when every block says the same."""
    df: float
    """Degrees of freedom of t: fewer where a few blocks carry the spread."""
    rows: int
    blocks: int
    by: Kind
    """What is left out at a time."""
    effective: float
    """How many blocks of equal size would tell as much."""
    largest_share: float
    """Share of a single row in the squared influence, at most; NaN when unknown."""
    skewness: float = 0.0
    """Skewness of the blocks' influence: negative where rare large losses oppose steady gains."""
    rarer: int | None = None
    """Rows of the rarest class, or groups that hold such a row; None for numbers."""
    differing: int | None = None
    """Rows, or groups with a row, on which two classifiers differ in what the metric reads; None for numbers."""
    autocorrelation: float | None = None
    """Correlation of a row's share of the gain with that of the row before; None unless rows are in time order."""
    draws: Draws | None = field(default=None, repr=False, compare=False)
    """Other holdouts like this one; None where they would tell nothing."""

    @property
    def sound(self) -> bool:
        """True if the bounds are finite and differ from the gain."""
        return all(map(math.isfinite, (self.gain, self.standard_error, self.df))) and self.standard_error > 0 < self.df

    def lower(self, alpha: float) -> float:
        """Return the lower confidence bound of the true gain, which exceeds the true gain with probability `alpha`."""
        return float(self.gain - critical_value(alpha, self.df, -self.skewness, self.blocks) * self.standard_error)

    def upper(self, alpha: float) -> float:
        """Return the upper confidence bound of the true gain, which falls short of it with probability `alpha`."""
        return float(self.gain + critical_value(alpha, self.df, self.skewness, self.blocks) * self.standard_error)

    def p_value(self, min_gain: float = 0.0) -> float:
        """Return the p-value of the hypothesis that the true gain is at most `min_gain`; 1 when it cannot be computed.

        It is the `alpha` at which `lower` returns `min_gain`.
        """
        if not self.sound:
            return 1.0
        distance = (self.gain - min_gain) / self.standard_error
        pull = max(-self.skewness, 0.0) / (6 * math.sqrt(self.blocks))
        if pull > 0 and distance > pull:  # solve critical() for the quantile of t
            distance = (math.sqrt(1 + 8 * pull * (distance - pull)) - 1) / (4 * pull)
        else:
            distance -= pull
        return float(stdtr(self.df, -distance))

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values; None for a number that is not finite."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in vars(self).items()
            if key != "draws"
        }


def compare_paired(
    challenger: Leaver,
    champion: Leaver,
    *,
    sign: float,
    blocks: Blocks,
    classes: Array | None = None,
    differing: Array | None = None,
    drift: Array | None = None,
) -> PairedGain:
    """Return the gain with its standard error, by leaving the same `blocks` out of both models' metric.

    `sign` is -1 where a lower metric is better. For classifiers, `classes` (rows x classes) is True where the row is of
    that class, and `differing` is True for rows on which the two models differ. `drift` is for rows in time order and a
    recomputed metric: it stands in for each row's share of the gain, from which the autocorrelation is computed. Other
    metrics give that share themselves.
    """

    def without(which: Blocks) -> Array:
        return np.asarray(sign * (challenger.without(which) - champion.without(which)))

    gain = sign * (challenger.whole - champion.whole)
    rows = len(blocks.of_row)
    replicates = without(blocks)
    unit = rows / max(blocks.effective, 1.0) if blocks.kind == "groups" else 1.0
    unseen = challenger.unseen_variance(unit) + champion.unseen_variance(unit)
    error = math.hypot(standard_error(replicates), math.sqrt(unseen))
    single = None
    if challenger.cheap and champion.cheap:
        single = replicates if blocks.kind == "rows" else without(dealing.single_rows(rows))
        share = _share(single)
    else:
        share = _search(gain, replicates, blocks, error, without)
    influence = drift if single is None else single
    sample = sample_of(replicates, single, blocks, unseen=unseen, classes=classes, differing=differing)
    return PairedGain(
        gain=gain,
        standard_error=error,
        df=degrees_of_freedom(replicates, blocks),
        rows=rows,
        blocks=blocks.count,
        by=blocks.kind,
        effective=blocks.effective,
        largest_share=share,
        skewness=0.0 if blocks.kind == "time" else skewness(replicates),
        rarer=sample.rarer,
        differing=sample.differences,
        autocorrelation=lag_one_correlation(influence) if blocks.kind == "time" else None,
        draws=draw_samples(sample, blocks),
    )


def standard_error(replicates: Array) -> float:
    """Return the jackknife standard error; NaN with fewer than two blocks. `replicates` has the figure without each.

    Blocks may differ in size: a large unusual group moves the figure more, and so increases the error.
    """
    count = len(replicates)
    if count < 2:
        return math.nan
    with np.errstate(all="ignore"):
        return float(np.sqrt((count - 1) / count * ((replicates - replicates.mean()) ** 2).sum()))


def holm(p_values: list[float], alpha: float) -> list[float]:
    """Return the level at which each question is tested, so that the probability of any error is at most `alpha`.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979): the
    smallest p-value is tested at alpha / m, the next at alpha / (m - 1), until one fails. Those after it fail too, and
    get the same level.
    """
    levels = [0.0] * len(p_values)
    level, failed = 0.0, False
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if not failed:
            level = alpha / (len(p_values) - step)
            failed = not p_values[place] < level
        levels[place] = level
    return levels


def lag_one_correlation(values: Array | None) -> float:
    """Return the correlation of each value with the one before it; NaN when it cannot be computed."""
    if values is None or len(values) < 3:
        return math.nan
    apart = values - values.mean()
    squares = float((apart**2).sum())
    return float((apart[1:] * apart[:-1]).sum() / squares) if squares > 0 else math.nan


def _share(single: Array) -> float:
    squares = (single - single.mean()) ** 2
    total = squares.sum()
    return float(squares.max() / total) if total > 0 else math.nan


def _search(gain: float, replicates: Array, blocks: Blocks, error: float, without: Callable[[Blocks], Array]) -> float:
    """Return the share of the most influential row, found by halving the most influential block, for costly metrics.

    A row with much influence carries most of its block, and of each half that it is in.
    """
    if not (math.isfinite(error) and error > 0):
        return math.nan
    far = replicates - gain
    members = np.flatnonzero(blocks.of_row == int(np.argmax(np.abs(far))))
    while len(members) > 1:
        halves = np.array_split(members, 2)
        of_row = np.full(len(blocks.of_row), -1)  # in neither half: never left out
        of_row[halves[0]], of_row[halves[1]] = 0, 1
        far = without(Blocks("blocks", of_row, np.array([len(half) for half in halves]))) - gain
        members = halves[int(np.argmax(np.abs(far)))]
    rows, moved = len(blocks.of_row), float(far[np.argmax(np.abs(far))])
    return min((rows - 1) / rows * moved**2 / error**2, 1.0)
