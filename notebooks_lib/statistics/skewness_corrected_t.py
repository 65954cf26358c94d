"""Critical values of Student's t, corrected for the skewness of the blocks. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import stdtrit

from notebooks_lib.statistics.blocks import Array, Blocks


def degrees_of_freedom(replicates: Array, blocks: Blocks) -> float:
    """Return the degrees of freedom for Student's t: effective blocks less one, fewer if few cause most variance.

    `replicates` has the gain without each block. The relative variance of an estimated variance is
    (kurtosis - 1) / blocks; the result is the number of degrees of freedom with the same. Stretches of time are too
    few to know their kurtosis, so it is effective blocks less one for them.
    """
    most = max(blocks.effective - 1.0, 0.0)
    if blocks.kind == "time":
        return most
    kurtosis = _moment(replicates, 4)
    return min(most, 2 * len(replicates) / max(kurtosis - 1, 1e-9)) if math.isfinite(kurtosis) else most


def skewness(replicates: Array) -> float:
    """Return the skewness of the blocks' influence on the gain; 0 when it is undefined.

    `replicates`: the gain without each block.
    """
    third = -_moment(replicates, 3)
    return third if math.isfinite(third) else 0.0


def t_quantile(share: float, df: Any) -> Any:
    """Return the `share` quantile of Student's t; NaN unless `df`, its degrees of freedom, is positive."""
    with np.errstate(all="ignore"):
        return np.where(np.asarray(df) > 0, stdtrit(df, share), math.nan)[()]


def critical_value(alpha: float, df: Any, skewness: Any, blocks: int) -> Any:
    """Return how many standard errors the bound at level `alpha` lies from the gain; NaN without degrees of freedom.

    Takes numbers or arrays. A positive `skewness` moves the bound farther away than Student's t alone would.
    """
    middle = t_quantile(1 - alpha, df)
    return middle + np.maximum(skewness, 0.0) * (2 * middle**2 + 1) / (6 * math.sqrt(blocks))


def _moment(values: Array, order: int) -> float:
    """Return the standardised central moment; NaN without spread."""
    with np.errstate(all="ignore"):
        apart = values - values.mean()
        return float((apart**order).mean() / (apart**2).mean() ** (order / 2))
