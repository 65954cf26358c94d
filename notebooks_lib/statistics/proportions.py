"""Whether something happens more often here than there, or chance alone explains it. Exact, for any numbers."""

from __future__ import annotations


def chance(here: int, among: int, there: int, others: int) -> float:
    """How likely so many as `here` among `among` are, or more, when it happens as often as `there` among `others`.

    Fisher's exact test, one-sided.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(here - 1, among + others, here + there, among))
