"""The interval that the next values of a quantity fall into, judged by a few earlier ones. Pure.

Student's t, with the variance of the earlier mean added to that of the new one: Hahn and Meeker, Statistical Intervals
(1991), chapter 4. It is exact for normal values, however few there are.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit


def half_width(spread: float, number: int, level: float, *, more: int = 1) -> float:
    """Return half the width of an interval around the mean of `number` earlier values.

    The mean of `more` new values falls outside of it with probability `level`. `spread` is the standard deviation of
    the earlier values. The result is infinite when there are too few of them to have a spread.
    """
    if number < 2:
        return math.inf
    quantile = -float(stdtrit(number - 1, level / 2))
    return quantile * spread * math.sqrt(1 / more + 1 / number)
