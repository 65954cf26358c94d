"""The interval that the next values of a quantity fall into, judged by a few earlier ones. Pure.

Student's t, with the variance of the earlier mean added to that of the new one: Hahn and Meeker, Statistical Intervals
(1991), chapter 4. It is exact for normal values, however few there are.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit


def half_width(spread: float, number: int, level: float, *, more: int = 1) -> float:
    """Return half the width of the interval that the mean of `more` new values misses with probability `level`.

    `spread` is the standard deviation of `number` earlier values; the interval lies around their mean. Infinite where
    one value says nothing about the spread.
    """
    if number < 2:
        return math.inf
    quantile = -float(stdtrit(number - 1, level / 2))
    return quantile * spread * math.sqrt(1 / more + 1 / number)
