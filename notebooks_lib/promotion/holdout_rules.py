"""The rules on the holdout: is it unspent and large enough, and what does the interval of the gain say. Pure."""

from __future__ import annotations

import math
from typing import Literal

from notebooks_lib.promotion.evidence import Evidence
from notebooks_lib.promotion.paired_gain import holdout_power
from notebooks_lib.promotion.report_tables import distinct_percents, percent, shown
from notebooks_lib.promotion.rule_registry import Policy, RuleResult, early_for_all, rule
from notebooks_lib.statistics.paired_jackknife import PairedGain

KEEP = 0.05
"""Level of the upper bound. Keeping the champion harms nobody, so it needs no correction for many uses."""


@early_for_all
def holdout_uses(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that the budget of holdout uses is not exhausted."""
    uses = evidence.uses
    if uses is None:
        return RuleResult(
            "holdout_uses", False, None, policy.uses, "the uses of this holdout were not counted", "undecided"
        )
    fresh = f"the holdout of {evidence.ref} is used up ({uses.budget} of {uses.budget} uses); "
    fresh += f"make a new one: nbops data holdout {evidence.ref} --fresh"
    reason = fresh if uses.exhausted else f"use {uses.number} of {uses.budget} of these holdout rows"
    if uses.asked:
        reason += f", the answer of {uses.asked} to the same question"
    return RuleResult("holdout_uses", not uses.exhausted, uses.number, uses.budget, reason, "undecided", fault=False)


@rule
def holdout_rows(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require a minimum of holdout rows."""
    rows = evidence.challenger.rows
    return _floor("holdout_rows", rows, policy.min_rows, f"{rows} holdout rows, at least {policy.min_rows} wanted")


@rule
def class_rows(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require a minimum of the rarest class: rows, or groups that hold it when rows are left out by group."""
    if evidence.paired is None or evidence.paired.rarer is None:
        return None
    units, least = evidence.paired.rarer, policy.min_class_rows
    reason = f"{units} holdout {_units(evidence.paired)} of the rarest class, at least {least} wanted"
    return _floor("class_rows", units, least, reason)


@rule
def rows_differ(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that two classifiers differ on enough rows or groups: only these tell them apart."""
    if evidence.paired is None or evidence.paired.differing is None:
        return None
    units, least = evidence.paired.differing, policy.min_differing
    reason = f"the two differ on {units} holdout {_units(evidence.paired)}, at least {least} wanted"
    return _floor("rows_differ", units, least, reason)


@rule
def groups_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require enough groups, because rows of one group are not independent. Unequal groups count as fewer."""
    if evidence.paired is None or evidence.paired.by != "groups":
        return None
    groups, least = round(evidence.paired.effective, 1), policy.min_groups
    reason = (
        f"{evidence.paired.blocks} groups in the holdout that say as much as {groups:g} equal ones, {least:g} wanted"
    )
    return _floor("groups", groups, least, reason)


@rule
def time_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require more rows when neighbouring rows in time are alike (autocorrelated)."""
    if evidence.paired is None or evidence.paired.by != "time":
        return None
    again = evidence.paired.autocorrelation
    again = math.nan if again is None else max(again, 0.0)
    least = math.ceil(policy.min_rows * (1 + again) / (1 - again)) if again < 1 else math.inf
    rows = evidence.paired.rows
    reason = f"{rows} rows in the order of time with autocorrelation {again:.2f}, at least {least} wanted"
    return RuleResult("time_rows", rows >= least, rows, least, reason, "undecided", fault=False)


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
    """Require that no single row carries the gain: an interval is not valid where one rare row decides."""
    if evidence.paired is None or not evidence.paired.sound:
        return None
    share, most = evidence.paired.largest_share, policy.max_share
    carried, allowed = distinct_percents(share, most)
    reason = f"one holdout row carries {carried} of what the gain rests on, at most {allowed} may"
    return RuleResult("one_row", share <= most, share, most, reason, "undecided", fault=False)


@rule
def gain_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require a gain that is surely above `min_gain`. Keep when it is surely below, else leave the question open."""
    paired = evidence.paired
    if paired is None or not paired.sound:
        return None  # the rule `error` reports it
    level = policy.level(evidence.uses)
    side, bound, at = _verdict(paired, policy, level)
    ok, worse = side == "better", side == "worse"
    wanted = f"more than {shown(policy.min_gain)} wanted"
    if evidence.shows_estimates:
        new, old = evidence.challenger, evidence.champion
        note = f" ({evidence.note})" if evidence.note else ""
        reason = f"{evidence.metric}{note} {shown(new.score)} against {shown(old.score)} of "
        reason += f"{old.label}: a gain of {shown(paired.gain)}, with {percent(1 - at)} confidence "
        reason += f"{'below' if worse else 'above'} {shown(bound)}; {wanted}"
    else:
        says = "surely more than" if ok else "surely not more than" if worse else "not told from"
        reason = f"the gain in {evidence.metric} is {says} {shown(policy.min_gain)}"
    if not (ok or worse):
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
        return f"{reach}; say what gain would be worth it in promotion.worthwhile_gain to see how many rows settle it"
    rows = power.rows_for(wish)
    if rows is None:
        return f"{reach}; promotion.worthwhile_gain {shown(wish)} is not more than min_gain"
    return f"{reach}; to settle a gain of {shown(wish)} takes {rows} rows"


def _units(paired: PairedGain) -> str:
    return "groups" if paired.by == "groups" else "rows"


def _floor(name: str, value: float, least: float, reason: str) -> RuleResult:
    return RuleResult(name, value >= least, value, least, reason, "undecided", fault=False)
