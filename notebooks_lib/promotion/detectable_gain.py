"""What a holdout like this one can find, by all rules together: the detectable gain, or the rule in its way. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.statistics import resampling
from notebooks_lib.statistics.paired import Paired

if TYPE_CHECKING:
    from notebooks_lib.promotion.policy import Policy

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outlook:
    """What other holdouts of the same size would answer."""

    rows: int
    min_gain: float
    detectable: float
    """The smallest true gain that is promoted in a share `power` of them; infinite when none is."""
    obstacle: str = ""
    """The rule that is in the way of every gain, however large; empty when none is."""
    fails: float = 0.0
    """How often that rule fails."""
    rows_needed: int | None = None
    """Rows with which that rule passes in a share `power` of holdouts; None when it is not known."""

    def rows_for(self, worthwhile: float) -> int | None:
        """Rows with which a true gain of `worthwhile` is promoted in a share `power` of holdouts.

        None when it is not more than `min_gain`, or nothing can be said. The observed gain plays no part.
        """
        room = worthwhile - self.min_gain
        if not room > 0:
            return None
        if self.obstacle:
            return self.rows_needed
        reach = self.detectable - self.min_gain
        return math.ceil(self.rows * (reach / room) ** 2) if math.isfinite(reach) else None


def outlook(paired: Paired, policy: Policy, level: float) -> Outlook:
    """For a use that is tested at `level`.

    Holdouts are drawn from the blocks of this one. Where that tells nothing (stretches of time, or so many blocks that
    all holdouts are alike) it is the interval's own reach.
    """
    drawn = paired.draws
    if drawn is None or not paired.sound:
        reach = resampling.critical(level, paired.df, -paired.skewness, paired.blocks)
        reach += resampling.quantile(policy.power, paired.df)
        return Outlook(paired.rows, policy.min_gain, float(policy.min_gain + reach * paired.standard_error))
    needed = drawn.needed(level)
    failed = dict(_failed(drawn, policy))
    for fails in failed.values():
        needed[fails] = math.inf
    detectable = float(np.sort(needed)[math.ceil(policy.power * len(needed)) - 1])
    name = max(failed, key=lambda rule: failed[rule].mean(), default="")
    if math.isfinite(detectable) or not name:
        return Outlook(paired.rows, policy.min_gain, policy.min_gain + detectable)
    rows = _rows(name, drawn, policy, paired.rows)
    return Outlook(paired.rows, policy.min_gain, math.inf, name, float(failed[name].mean()), rows)


def _failed(drawn: resampling.Draws, policy: Policy) -> Iterator[tuple[str, Array]]:
    """In which of the holdouts each rule fails that is left to chance."""
    if drawn.share is not None:
        yield "one_row", ~(drawn.share <= policy.max_share)
    if drawn.rarer is not None:
        yield "class_rows", drawn.rarer < policy.min_class_rows
    if drawn.differing is not None:
        yield "rows_differ", drawn.differing < policy.min_differing


def _rows(name: str, drawn: resampling.Draws, policy: Policy, rows: int) -> int | None:
    """With which the rule passes: a row's share falls, and counts rise, as the number of rows does."""
    if name == "one_row":
        ratio = float(np.quantile(_known(drawn.share), policy.power)) / policy.max_share
        return math.ceil(rows * ratio) if math.isfinite(ratio) else None
    counts, least = drawn.rarer, policy.min_class_rows
    if name == "rows_differ":
        counts, least = drawn.differing, policy.min_differing
    few = float(np.quantile(_known(counts), 1 - policy.power))
    return math.ceil(rows * least / few) if few > 0 else None


def _known(values: Array | None) -> Array:
    assert values is not None  # a rule that fails has looked at them
    return values
