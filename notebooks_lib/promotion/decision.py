"""Decide: turn figures into promote, keep or undecided, rule by rule. Pure; it loads and writes nothing.

With several challengers in one use of the holdout, `decide_use` says which of them, if any, is promoted.

The rules stand in `guardrails.py`, `gain_rules.py` and `holdout_rules.py`; `rule_registry.py` says what a rule is.
Whatever applies the rules does it through this module, which imports all of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from notebooks_lib.old_names import forwarding

# To import these three modules registers their rules. The rules are shown in the order of the imports.
from notebooks_lib.promotion import gain_rules, guardrails, holdout_rules  # noqa: F401
from notebooks_lib.promotion.evidence import Evidence, Side, json_value
from notebooks_lib.promotion.holdout_power import HoldoutPower, holdout_power
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import EARLY, RULES, RuleFunction, RuleResult
from notebooks_lib.promotion.table_formatting import ReportTable, percent
from notebooks_lib.statistics.paired_jackknife import holm

Answer = Literal["promote", "keep", "undecided"]


@dataclass(frozen=True)
class OtherChallenger:
    """The result of one that was not the best of several challengers, all compared with the champion at once."""

    label: str
    run: str
    answer: Answer
    summary: str
    level: float | None
    """The level that it was tested at; None when it was not evaluated on the holdout."""


@dataclass(frozen=True, repr=False)
class Decision:
    """The answer (promote, keep or undecided) with the evidence, the policy and the results of the rules."""

    answer: Answer
    rules: tuple[RuleResult, ...]
    evidence: Evidence
    policy: Policy
    summary: str
    """One sentence for people, with the figures."""
    others: tuple[Decision, ...] = ()
    """The decisions on the other challengers of the same use, best validation score first."""

    @property
    def metric(self) -> str:
        """Return the name of the metric that decides."""
        return self.evidence.metric

    @property
    def challenger(self) -> Side:
        """Return the challenger that this decision is about."""
        return self.evidence.challenger

    @property
    def champion(self) -> Side:
        """Return the champion; if there is none yet, the trivial baseline."""
        return self.evidence.champion

    @property
    def level(self) -> float:
        """Return the significance level of this use of the holdout."""
        return self.policy.level(self.evidence.uses)

    @property
    def unread(self) -> bool:
        """True if no challenger was evaluated on the holdout, because early rules rejected all of them."""
        return all(decision.evidence.unread for decision in (self, *self.others))

    @property
    def rows_needed(self) -> int | None:
        """Return how many holdout rows would find a gain of `promotion.worthwhile_gain`; None if unset or unknown."""
        power, wish = self.holdout_power, self.policy.worthwhile_gain
        return None if power is None or wish is None else power.rows_for(wish)

    @cached_property
    def holdout_power(self) -> HoldoutPower | None:
        """Return which gains a holdout of this size can find; None when the two models were not both scored."""
        paired = self.evidence.paired
        return None if paired is None else holdout_power(paired, self.policy, self.level)

    def as_json(self) -> dict[str, Any]:
        """Return the decision as plain values, without figures of single rows; null for numbers that are not finite.

        Estimates are left out when the holdout has a large budget, because so many would give too much of it away.
        """
        evidence = self.evidence
        return {
            "answer": self.answer,
            "summary": self.summary,
            "model": evidence.model,
            "metric": evidence.metric,
            "direction": evidence.direction,
            "gain": json_value(evidence.gain) if evidence.shows_estimates else None,
            "min_gain": self.policy.min_gain,
            "interval": self._interval(),
            "uses": evidence.uses.as_json() if evidence.uses else None,
            "dataset": evidence.dataset,
            "first": evidence.first,
            "unread": self.unread,
            "slices": [part.as_json(shows=evidence.shows_estimates) for part in evidence.slices],
            "rules": [result.as_json() for result in self.rules],
            "challenger": evidence.challenger.as_json(shows=evidence.shows_estimates),
            "champion": evidence.champion.as_json(shows=evidence.shows_estimates),
            "others": [vars(other) for other in self.other_challengers],
        }

    @property
    def other_challengers(self) -> tuple[OtherChallenger, ...]:
        """Return the outcome of each other challenger in the same use of the holdout."""
        return tuple(
            OtherChallenger(
                label=other.challenger.label,
                run=other.challenger.run_id,
                answer=other.answer,
                summary=other.summary,
                level=None if other.evidence.unread else other.level,
            )
            for other in self.others
        )

    def _interval(self) -> dict[str, Any] | None:
        paired, power = self.evidence.paired, self.holdout_power
        if paired is None or power is None:
            return None
        figures = {
            **paired.as_json(),
            "level": self.level,
            "lower": json_value(paired.lower(self.level)),
            "upper": json_value(paired.upper(gain_rules.KEEP)),
            "detectable": json_value(power.detectable),
            "obstacle": power.obstacle or None,
            "rows_needed": self.rows_needed,
        }
        hidden = () if self.evidence.shows_estimates else ("gain", "lower", "upper")
        return {key: None if key in hidden else value for key, value in figures.items()}

    @property
    def table(self) -> ReportTable:
        """Return a table of all rules, each with what it found and what it requires."""
        rows = [(result.mark, result.id, result.figure, result.limit, result.reason) for result in self.rules]
        return ReportTable.of(("", "rule", "found", "wanted", "reason"), rows, f"{self.answer}: {self.summary}")

    @property
    def others_table(self) -> ReportTable:
        """Return a table of the other challengers, with the share of the level at which each was tested."""
        header = ("other challengers", "answer", "tested at", "reason")
        rows = [(other.label, other.answer, percent(other.level), other.summary) for other in self.other_challengers]
        return ReportTable.of(header, rows, f"They met the champion in the same use as {self.challenger.label}")

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self._tables()))

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self._tables())

    def _tables(self) -> list[ReportTable]:
        return [self.table, *([self.others_table] if self.others else [])]


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Decide by the rules: promote if all pass. If one fails, undecided where its result says so, else keep.

    Promote means that the lower bound of the gain, at the level of this use of the holdout, is above `min_gain`.
    """
    checks = RULES
    if evidence.no_candidate:
        checks = [guardrails.challenger_known]
    elif evidence.is_champion_itself or evidence.twin:
        checks = [guardrails.not_itself]
    elif evidence.unread:
        checks = EARLY
    results = tuple(result for result in (check(evidence, policy) for check in checks) if result is not None)
    failed = [result for result in results if not result.ok]
    answer: Answer = "promote"
    if failed:
        answer = "undecided" if any(result.otherwise == "undecided" for result in failed) else "keep"
    return Decision(answer, results, evidence, policy, _summary(answer, evidence, results))


def early_refusals(evidence: Evidence, policy: Policy, checks: Sequence[RuleFunction] = EARLY) -> list[RuleResult]:
    """Return the results of the rules `checks` that fail. If an early rule fails, the holdout is not read."""
    results = (check(evidence, policy) for check in checks)
    return [result for result in results if result is not None and not result.ok]


def decide_use(evidence: Evidence, policy: Policy) -> Decision:
    """Decide on all challengers in one use of the holdout; return the decision on one, with the outcomes of the others.

    That one is the challenger with the highest lower bound among those that may be promoted (on a tie, the better one
    by validation), or the best by validation when none may be promoted. All bounds are taken at the first level of
    Holm's procedure. With each at its own level, the later of two equal challengers would win.
    """
    if not evidence.rivals:
        return decide(evidence, policy)
    decisions = decide_each(evidence.by_challenger, policy)
    promoted = [decision for decision in decisions if decision.answer == "promote"]
    level = min((decision.level for decision in promoted), default=0.0)
    best = max(promoted, key=lambda decision: _lower(decision, level)) if promoted else decisions[0]
    return replace(best, others=tuple(_beside(decision, best) for decision in decisions if decision is not best))


def decide_each(evidences: Sequence[Evidence], policy: Policy) -> tuple[Decision, ...]:
    """Decide on each of several challengers in one use of the holdout, with the error rate of a single one.

    The challengers share the significance level by Holm's procedure: the smallest p-value is tested first, and only a
    promoted challenger passes its level on to the next. A challenger that fails a rule other than `gain` gets p = 1 and
    passes nothing on. This is necessary when the rule doubts the interval itself (too few rows, one dominant row),
    because its p-value then means nothing. After a rule that does not concern the interval (a limit, a slice), passing
    on would be valid. A little power is given up there, so that the guarantee does not depend on a list of such rules.
    Raising a p-value keeps it valid, and Holm requires no more, however the challengers depend on each other. A
    challenger that was not evaluated on the holdout takes no share.
    """
    share = min((policy.level(evidence.uses) for evidence in evidences), default=0.0)
    levels = iter(holm([_p_value(evidence, policy) for evidence in evidences if not evidence.unread], share))
    policies = [policy if evidence.unread else policy.model_copy(update={"at": next(levels)}) for evidence in evidences]
    return tuple(map(decide, evidences, policies))


def _p_value(evidence: Evidence, policy: Policy) -> float:
    """Return the p-value of a gain of at most `min_gain`; 1 when a rule other than `gain` refuses. Only `gain` uses the
    level.
    """
    refused = any(not result.ok and result.id != "gain" for result in decide(evidence, policy).rules)
    return 1.0 if refused or evidence.paired is None else evidence.paired.p_value(policy.min_gain)


def _beside(other: Decision, winner: Decision) -> Decision:
    """Return the decision on another challenger; when it could be promoted too, add why it is not."""
    if other.answer != "promote":
        return other
    why = f"not taken, for the lower bound of {winner.challenger.label} is no lower"
    return replace(other, summary=f"{other.summary}; {why}")


def _lower(decision: Decision, level: float) -> float:
    paired = decision.evidence.paired
    return -math.inf if paired is None else paired.lower(level)


def _summary(answer: Answer, evidence: Evidence, results: Sequence[RuleResult]) -> str:
    if answer == "promote":
        new = evidence.challenger
        gain = next((result.reason for result in results if result.id == "gain"), "")
        return f"{new.label} wins on the {new.rows} holdout rows of {evidence.ref}: {gain}"
    outcome = "no model is promoted" if evidence.first else f"{evidence.champion.label} stays"
    reasons = [result.reason for result in results if not result.ok]
    return f"{outcome}: " + "; ".join(filter(None, (*reasons, evidence.withdrawn)))


__getattr__ = forwarding(__name__)
