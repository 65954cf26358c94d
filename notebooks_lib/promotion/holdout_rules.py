"""The rules on the holdout: is it unspent, and large enough. Pure."""

from __future__ import annotations

import math

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.promotion.evidence import Evidence
from notebooks_lib.promotion.gain_rules import units_of
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import RuleResult, early_for_all, rule


@early_for_all
def holdout_uses(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that this use of the holdout is within its budget."""
    uses = evidence.uses
    if uses is None:
        return RuleResult(
            "holdout_uses", False, None, policy.uses, "the uses of this holdout were not counted", "undecided"
        )
    fresh = f"the holdout of {evidence.ref} is used up ({uses.budget} of {uses.budget} uses); "
    fresh += f"make a new one: nbops data holdout {evidence.ref} --fresh"
    which = "would be use" if evidence.unread and not uses.asked else "use"
    reason = fresh if uses.exhausted else f"{which} {uses.number} of {uses.budget} of these holdout rows"
    if uses.asked:
        reason += f", the answer of {uses.asked} to the same question"
    return RuleResult("holdout_uses", not uses.exhausted, uses.number, uses.budget, reason, "undecided", fault=False)


@rule
def holdout_rows(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require a minimum number of holdout rows; some metrics need more than others."""
    metric = METRICS.get(evidence.metric)
    rows, own = evidence.challenger.rows, metric.fewest_rows if metric else 0
    least = max(policy.min_rows, own)
    wanted = f"at least {least} wanted{f' for {evidence.metric}' if own > policy.min_rows else ''}"
    return _floor("holdout_rows", rows, least, f"{rows} holdout rows, {wanted}")


@rule
def class_rows(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require a minimum number of rows of the rarest class; with groups, of groups that have such a row."""
    if evidence.paired is None or evidence.paired.rarer is None:
        return None
    units, least = evidence.paired.rarer, policy.min_class_rows
    reason = f"{units} holdout {units_of(evidence.paired)} of the rarest class, at least {least} wanted"
    return _floor("class_rows", units, least, reason)


@rule
def rows_differ(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that two classifiers differ on enough rows or groups, because only these show which one is better."""
    if evidence.paired is None or evidence.paired.differing is None:
        return None
    units, least = evidence.paired.differing, policy.min_differing
    reason = f"the two differ on {units} holdout {units_of(evidence.paired)}, at least {least} wanted"
    if units == 0:
        reason = f"both models give the same answers on all {evidence.paired.rows} holdout rows"
    return _floor("rows_differ", units, least, reason)


@rule
def groups_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require enough groups, because rows of one group are not independent. Groups of unequal size count as fewer."""
    if evidence.paired is None or evidence.paired.by != "groups":
        return None
    metric = METRICS.get(evidence.metric)
    groups, own = round(evidence.paired.effective, 1), metric.fewest_groups if metric else 0.0
    least = max(policy.min_groups, own)
    reason = (
        f"{evidence.paired.blocks} groups in the holdout that say as much as {groups:g} equal ones, {least:g} wanted"
        f"{f' for {evidence.metric}' if own > policy.min_groups else ''}"
    )
    return _floor("groups", groups, least, reason)


@rule
def time_enough(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require more rows when consecutive rows in time are alike (autocorrelated)."""
    if evidence.paired is None or evidence.paired.by != "time":
        return None
    again = evidence.paired.autocorrelation
    again = math.nan if again is None else max(again, 0.0)
    least = math.ceil(policy.min_rows * (1 + again) / (1 - again)) if again < 1 else math.inf
    rows = evidence.paired.rows
    reason = f"{rows} rows in the order of time with autocorrelation {again:.2f}, at least {least} wanted"
    return RuleResult("time_rows", rows >= least, rows, least, reason, "undecided", fault=False)


def _floor(name: str, value: float, least: float, reason: str) -> RuleResult:
    return RuleResult(name, value >= least, value, least, reason, "undecided", fault=False)
