"""The rules on the gain: is its error known, and what does its interval say. Pure."""

from __future__ import annotations

import math
from typing import Literal

from notebooks_lib.promotion.evidence import Evidence
from notebooks_lib.promotion.holdout_power import holdout_power
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import RuleResult, rule
from notebooks_lib.promotion.table_formatting import distinct_percents, percent, shown
from notebooks_lib.statistics.paired_jackknife import PairedGain

KEEP = 0.05
"""Level of the upper bound. Keeping the champion does no harm, so it needs no correction for many uses."""


@rule
def error_known(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that the gain has a standard error that can be computed."""
    paired = evidence.paired
    if paired is None:
        return RuleResult(
            "error", False, None, "> 0", evidence.unpaired or "the two were not paired row by row", "undecided"
        )
    error = paired.standard_error
    reason = f"the standard error of the gain is {shown(error) if paired.sound else 'zero or undefined'}"
    shape = {"rows": "rows", "blocks": "blocks of rows", "groups": "groups", "time": "stretches of time"}[paired.by]
    return RuleResult("error", paired.sound, error, "> 0", f"{reason}, from {paired.blocks} {shape}", "undecided")


@rule
def one_row(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that no single row dominates the gain: with one dominant row, an interval is not valid."""
    if evidence.paired is None or not evidence.paired.sound or evidence.paired.differing == 0:
        return None  # where no row differs, none dominates: the rule `rows_differ` reports it
    share, most = evidence.paired.largest_share, policy.max_share
    carried, allowed = distinct_percents(share, most)
    reason = f"one holdout row carries {carried} of what the gain rests on, at most {allowed} may"
    reason = reason if math.isfinite(share) else "how much of the gain rests on one holdout row cannot be computed"
    return RuleResult("one_row", share <= most, share, most, reason, "undecided", fault=False)


@rule
def gain_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that the lower bound of the gain is above `min_gain`.

    Otherwise the answer is keep when the upper bound is below `min_gain`, else undecided.
    """
    paired = evidence.paired
    if paired is None or not paired.sound:
        return None  # the rule `error` reports it
    level = policy.level(evidence.uses)
    side, bound, at = _verdict(paired, policy, level)
    ok, worse = side == "better", side == "worse"
    threshold = f"more than {shown(policy.min_gain)} wanted"
    if evidence.shows_estimates:
        new, old = evidence.challenger, evidence.champion
        note = f" ({evidence.note})" if evidence.note else ""
        reason = f"{evidence.metric}{note} {shown(new.score)} against {shown(old.score)} of "
        reason += f"{old.label}: a gain of {shown(paired.gain)}, with {percent(1 - at)} confidence "
        reason += f"{'below' if worse else 'above'} {shown(bound)}; {threshold}"
    else:
        says = "surely more than" if ok else "surely not more than" if worse else "not distinguishable from"
        reason = f"the gain in {evidence.metric} is {says} {shown(policy.min_gain)}"
    if not (ok or worse or paired.differing == 0):
        reason += f". {_reach_of_these_rows(paired, policy, level)}"
    figure = bound if evidence.shows_estimates else None
    return RuleResult("gain", ok, figure, policy.min_gain, reason, "keep" if worse else "undecided", fault=False)


def _verdict(
    paired: PairedGain, policy: Policy, level: float
) -> tuple[Literal["better", "worse", "open"], float, float]:
    """Return what the interval says, the bound that says it, and the level of that bound."""
    lower, upper = paired.lower(level), paired.upper(KEEP)
    if upper < policy.min_gain:
        return "worse", upper, KEEP
    return "better" if lower > policy.min_gain else "open", lower, level


def _reach_of_these_rows(paired: PairedGain, policy: Policy, level: float) -> str:
    """Describe the gain that these rows can find, and the rows needed for a worthwhile gain."""
    power = holdout_power(paired, policy, level)
    if power.obstacle:
        reach = f"holdouts of {paired.rows} rows promote no gain in {policy.power:.0%} of cases: "
        reach += f"{power.obstacle} fails in {power.fails:.0%}"
        return reach + (f"; about {power.rows_needed} rows mend that" if power.rows_needed else "")
    reach = f"{paired.rows} rows find a gain of {shown(power.detectable)} in {policy.power:.0%} of cases"
    if power.interval_only:
        reach += " by the interval alone, without the other rules"
    wish = policy.worthwhile_gain
    if wish is None:
        where = "[promotion] of production/settings.toml"
        return f"{reach}; set worthwhile_gain under {where} to see how many rows settle a gain that is worth it"
    rows = power.rows_for(wish)
    if rows is None:
        return f"{reach}; promotion.worthwhile_gain {shown(wish)} is not more than min_gain"
    return f"{reach}; to settle a gain of {shown(wish)} takes {rows} rows"


def units_of(paired: PairedGain) -> str:
    """Return "groups" or "rows": the units that the interval counts."""
    return "groups" if paired.by == "groups" else "rows"
