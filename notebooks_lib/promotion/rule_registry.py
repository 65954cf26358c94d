"""What a rule is: it reads the evidence, requires what the policy says, and gives a result. Pure.

To add a rule, write a function under `@rule`, or `@early` if it needs no holdout row. It states what it found and what
it requires. An unknown figure fails. A rule that does not apply returns None. See the map in CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from notebooks_lib.promotion.evidence import Evidence, json_value
from notebooks_lib.promotion.policy import Policy

RuleFigure = float | int | str | bool | None


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule."""

    id: str
    ok: bool
    figure: RuleFigure
    limit: RuleFigure
    reason: str
    otherwise: Literal["keep", "undecided"] = "keep"
    """The answer when the rule fails."""
    fault: bool = True
    """True if failing means a fault of the challenger or the comparison; otherwise it is simply the answer."""

    @property
    def mark(self) -> str:
        """Return "pass" or "FAIL" for tables. If failing is not a fault, return the answer instead of "FAIL"."""
        return "pass" if self.ok else "FAIL" if self.fault else self.otherwise

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values; null for numbers that are not finite."""
        return {**{key: json_value(value) for key, value in vars(self).items()}, "mark": self.mark}


RuleFunction = Callable[[Evidence, Policy], RuleResult | None]
RULES: list[RuleFunction] = []
"""All rules, in the order in which they are shown."""
EARLY: list[RuleFunction] = []
"""The rules that need no holdout row. When one fails, the holdout is not read and no use is spent."""
EARLY_FOR_ALL: list[RuleFunction] = []
"""Those of them that do not depend on the challenger."""


def rule(check: RuleFunction) -> RuleFunction:
    """Register a rule of the decision; a decorator."""
    RULES.append(check)
    return check


def early(check: RuleFunction) -> RuleFunction:
    """Register a rule that is also checked before the holdout is read; a decorator."""
    EARLY.append(check)
    return rule(check)


def early_for_all(check: RuleFunction) -> RuleFunction:
    """Register an early rule whose result is the same for all challengers; a decorator.

    When it fails, no other candidate is tried.
    """
    EARLY_FOR_ALL.append(check)
    return early(check)
