"""How small a gain a holdout can find: its power, from samples drawn of its own rows. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.statistics import holdout_resampling, skewness_corrected_t
from notebooks_lib.statistics.paired_jackknife import PairedGain

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    from notebooks_lib.promotion.policy import Policy


@dataclass(frozen=True)
class HoldoutPower:
    """The power of holdouts of this size: the true gain that they would find, or the rule that prevents it."""

    rows: int
    min_gain: float
    detectable: float
    """The smallest true gain that is promoted in a share `power` of holdouts; infinite when none is."""
    obstacle: str = ""
    """The rule that prevents every gain, however large; empty when none does."""
    fails: float = 0.0
    """How often that rule fails."""
    rows_needed: int | None = None
    """Rows with which that rule passes in a share `power` of holdouts; None when unknown."""
    interval_only: bool = False
    """True if other rules are not counted, because stretches of time cannot be drawn anew."""

    def rows_for(self, worthwhile: float) -> int | None:
        """Return with how many rows a true gain of `worthwhile` would be promoted in a share `power` of holdouts.

        None when `worthwhile` is not above `min_gain`, or when the number cannot be computed. The observed gain does
        not matter.
        """
        room = worthwhile - self.min_gain
        if not room > 0:
            return None
        if self.obstacle:
            return self.rows_needed
        reach = self.detectable - self.min_gain
        return math.ceil(self.rows * (reach / room) ** 2) if math.isfinite(reach) else None


def holdout_power(paired: PairedGain, policy: Policy, level: float) -> HoldoutPower:
    """Return which true gains a holdout like this one can find, in a use tested at `level`.

    Holdouts are drawn from the blocks of this one, and every rule that depends on chance is counted in them. Stretches
    of time cannot be drawn: for them only the width of the interval counts. With very many blocks nothing is drawn,
    because the other rules would give the same results in each holdout.
    """
    drawn = paired.draws
    if drawn is None or not paired.sound:
        reach = skewness_corrected_t.critical_value(level, paired.df, -paired.skewness, paired.blocks)
        reach += skewness_corrected_t.t_quantile(policy.power, paired.df)
        detectable = float(policy.min_gain + reach * paired.standard_error)
        return HoldoutPower(paired.rows, policy.min_gain, detectable, interval_only=paired.by == "time")
    needed = drawn.needed(level)
    failed = dict(_failed_rules(drawn, policy))
    for fails in failed.values():
        needed[fails] = math.inf
    detectable = float(np.sort(needed)[math.ceil(policy.power * len(needed)) - 1])
    name = max(failed, key=lambda rule: failed[rule].mean(), default="")
    if math.isfinite(detectable) or not name:
        return HoldoutPower(paired.rows, policy.min_gain, policy.min_gain + detectable)
    rows = _rows_to_pass(name, drawn, policy, paired.rows)
    return HoldoutPower(paired.rows, policy.min_gain, math.inf, name, float(failed[name].mean()), rows)


def _failed_rules(drawn: holdout_resampling.Draws, policy: Policy) -> Iterator[tuple[str, Array]]:
    """Yield each rule that depends on chance, and in which of the holdouts it fails."""
    if drawn.share is not None:
        yield "one_row", ~(drawn.share <= policy.max_share)
    if drawn.rarer is not None:
        yield "class_rows", drawn.rarer < policy.min_class_rows
    if drawn.differing is not None:
        yield "rows_differ", drawn.differing < policy.min_differing


def _rows_to_pass(name: str, drawn: holdout_resampling.Draws, policy: Policy, rows: int) -> int | None:
    """Return the rows with which the rule passes: a row's share falls, and counts rise, with the number of rows."""
    if name == "one_row":
        ratio = float(np.quantile(_not_none(drawn.share), policy.power)) / policy.max_share
        return math.ceil(rows * ratio) if math.isfinite(ratio) else None
    counts, least = drawn.rarer, policy.min_class_rows
    if name == "rows_differ":
        counts, least = drawn.differing, policy.min_differing
    few = float(np.quantile(_not_none(counts), 1 - policy.power))
    return math.ceil(rows * least / few) if few > 0 else None


def _not_none(values: Array | None) -> Array:
    assert values is not None  # a rule that fails has looked at them
    return values
