"""The gate: `decide` turns figures into promote, keep or undecided, rule by rule. Pure; it loads and writes nothing.

What the rules look at stands in `question.py`, what they want in `policy.py`, and they themselves in `rules.py` and
`interval_rules.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from notebooks_lib.promotion.deciding import guardrails, interval_rules, rules
from notebooks_lib.promotion.deciding.policy import Policy, Uses
from notebooks_lib.promotion.deciding.question import Evidence, Side, Slice
from notebooks_lib.promotion.deciding.rules import EARLY, RULES, Rule, plain, rule
from notebooks_lib.promotion.deciding.tables import Table
from notebooks_lib.statistics.paired import holm

__all__ = [
    "EARLY",
    "RULES",
    "Answer",
    "Decision",
    "Evidence",
    "Policy",
    "Rule",
    "Side",
    "Uses",
    "decide",
    "decide_each",
    "rule",
]

Answer = Literal["promote", "keep", "undecided"]
RULE_MODULES = (rules, interval_rules, guardrails)
"""To import one is to add its rules."""


@dataclass(frozen=True, repr=False)
class Decision:
    """The answer and everything it rests on."""

    answer: Answer
    rules: tuple[Rule, ...]
    evidence: Evidence
    policy: Policy
    summary: str
    """One sentence for people, with the figures."""

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self.evidence.metric

    @property
    def challenger(self) -> Side:
        """The best candidate."""
        return self.evidence.challenger

    @property
    def champion(self) -> Side:
        """What it had to beat."""
        return self.evidence.champion

    @property
    def level(self) -> float:
        """At which this use of the holdout was tested."""
        return self.policy.level(self.evidence.uses)

    @property
    def rows_needed(self) -> int | None:
        """Holdout rows that would settle `promotion.worthwhile_gain`; None when nobody said what that is."""
        paired, policy = self.evidence.paired, self.policy
        if paired is None or policy.worthwhile_gain is None:
            return None
        return paired.rows_for(policy.worthwhile_gain, self.level, min_gain=policy.min_gain, power=policy.power)

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file: without the figures of single rows; null for what is not a finite number.

        Estimates are left out, too, where the budget of the holdout is so large that they would give it away.
        """
        found = self.evidence
        return {
            "answer": self.answer,
            "summary": self.summary,
            "model": found.model,
            "metric": found.metric,
            "direction": found.direction,
            "gain": plain(found.gain) if found.shows else None,
            "min_gain": self.policy.min_gain,
            "interval": self._interval(),
            "uses": found.uses.as_json() if found.uses else None,
            "dataset": found.dataset,
            "first": found.first,
            "unread": found.unread,
            "slices": [_slice_json(each, shows=found.shows) for each in found.slices],
            "rules": [each.as_json() for each in self.rules],
            "challenger": _side_json(found.challenger, shows=found.shows),
            "champion": _side_json(found.champion, shows=found.shows),
        }

    def _interval(self) -> dict[str, Any] | None:
        paired = self.evidence.paired
        if paired is None:
            return None
        told = {
            **paired.as_json(),
            "level": self.level,
            "lower": plain(paired.lower(self.level)),
            "upper": plain(paired.upper(interval_rules.KEEP)),
            "detectable": plain(paired.detectable(self.level, min_gain=self.policy.min_gain, power=self.policy.power)),
            "rows_needed": self.rows_needed,
        }
        hidden = () if self.evidence.shows else ("gain", "lower", "upper")
        return {key: None if key in hidden else value for key, value in told.items()}

    @property
    def table(self) -> Table:
        """Every rule, with what it found and what it wants."""
        rows = [(each.mark, each.id, each.figure, each.limit, each.reason) for each in self.rules]
        return Table.of(("", "rule", "found", "wanted", "reason"), rows, f"{self.answer}: {self.summary}")

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Promote when every rule passes; undecided when one fails that leaves the question open; else keep.

    Promote means: the lower bound of the gain, at policy.level, is above `min_gain`.
    """
    checks = RULES
    if evidence.itself or evidence.twin:
        checks = [rules.not_itself]
    elif evidence.unread:
        checks = EARLY
    found = tuple(each for each in (check(evidence, policy) for check in checks) if each is not None)
    failed = [each for each in found if not each.ok]
    answer: Answer = "promote"
    if failed:
        answer = "undecided" if any(each.otherwise == "undecided" for each in failed) else "keep"
    return Decision(answer, found, evidence, policy, _summary(answer, evidence, found))


def decide_each(evidences: Sequence[Evidence], policy: Policy) -> tuple[Decision, ...]:
    """Of several challengers in one use of the holdout: the chance that any is promoted wrongly stays that of one."""
    p_values = [each.paired.p_value(policy.min_gain) if each.paired else 1.0 for each in evidences]
    levels = holm(p_values, min((policy.level(each.uses) for each in evidences), default=0.0))
    return tuple(decide(each, replace(policy, at=level)) for each, level in zip(evidences, levels, strict=True))


def _summary(answer: Answer, found: Evidence, checked: Sequence[Rule]) -> str:
    if answer == "promote":
        new = found.challenger
        gain = next((each.reason for each in checked if each.id == "gain"), "")
        return f"{new.label} wins on the {new.rows} holdout rows of {found.ref}: {gain}"
    what = "no model is promoted" if found.first else f"{found.champion.label} stays"
    deciding = [each for each in checked if not each.ok and each.otherwise == answer]
    return f"{what}: " + "; ".join(each.reason for each in deciding)


def _slice_json(found: Slice, *, shows: bool) -> dict[str, Any]:
    told = ("column", "value", "rows")
    return {key: plain(value) if shows or key in told else None for key, value in vars(found).items()}


def _side_json(side: Side, *, shows: bool) -> dict[str, Any]:
    content = {key: value for key, value in vars(side).items() if key not in ("losses", "signature")}
    content["score"] = plain(side.score) if shows else None
    content["metrics"] = {name: plain(value) for name, value in side.metrics.items()} if shows else {}
    return content
