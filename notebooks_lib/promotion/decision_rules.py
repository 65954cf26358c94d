"""What a rule is, and the basic rules: same data, same rows, same interface, known code. Pure.

To add a rule, write a function under `@rule`, or `@early` if it needs no holdout row, here or in a module that
`decision.py` imports. It states what it found and what it requires. An unknown figure fails. A rule that does not apply
returns None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import sort_key
from notebooks_lib.promotion.evidence import Evidence, plain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.report_table import shown

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
    """Whether failing means a fault of the challenger or the comparison; otherwise it is simply the answer."""

    @property
    def mark(self) -> str:
        """Return pass or FAIL for people; the answer where failing is no fault."""
        return "pass" if self.ok else "FAIL" if self.fault else self.otherwise

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null for numbers that are not finite."""
        return {**{key: plain(value) for key, value in vars(self).items()}, "mark": self.mark}


RuleFunction = Callable[[Evidence, Policy], RuleResult | None]
RULES: list[RuleFunction] = []
"""All rules, in the order in which they are shown."""


EARLY: list[RuleFunction] = []
"""The rules that need no holdout row. When one fails, the holdout is not read and no use is spent."""


def rule(check: RuleFunction) -> RuleFunction:
    """Register a rule."""
    RULES.append(check)
    return check


def early(check: RuleFunction) -> RuleFunction:
    """Register a rule that is checked before the holdout is read."""
    EARLY.append(check)
    return rule(check)


def challenger_known(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require a candidate; checked only where there is none."""
    return RuleResult("challenger", not evidence.no_candidate, None, "a candidate", evidence.no_candidate, fault=False)


@early
def not_itself(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require another model than the champion or one that predicts the same. Failing is no fault."""
    new, old = evidence.challenger, evidence.champion
    if evidence.first:
        return RuleResult("not_itself", True, new.label, None, "there is no champion yet")
    reason = f"another model than {old.label}"
    if evidence.is_champion_itself:
        reason = "the best candidate is the champion itself"
    elif evidence.twin:
        reason = f"the best candidate predicts exactly what {old.label} does on all {new.rows} holdout rows"
    ok = not (evidence.is_champion_itself or evidence.twin)
    return RuleResult("not_itself", ok, new.label, f"not {old.label}", reason, fault=False)


@early
def data_same(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that the challenger was trained on the data whose holdout judges it."""
    used, wanted = evidence.challenger.dataset, evidence.dataset
    ok = bool(wanted) and used.partition("#")[2] == wanted.partition("#")[2]
    reason = f"trained on {used.partition('#')[0] or 'data that its run did not record'}, judged on {evidence.ref}"
    return RuleResult("data_same", ok, _short(used), _short(wanted), reason)


@rule
def rows_same(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that both models were scored on the same rows."""
    one, other = evidence.challenger, evidence.champion
    ok = bool(one.rows_sha256) and (one.rows, one.rows_sha256) == (other.rows, other.rows_sha256)
    reason = "both scored on the same holdout rows" if ok else "not scored on the same holdout rows"
    return RuleResult("rows_same", ok, one.rows_sha256[:12], other.rows_sha256[:12], reason, "undecided")


@rule
def metric_finite(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that both scores are finite."""
    bad = [
        side for side in (evidence.challenger, evidence.champion) if side.score is None or not math.isfinite(side.score)
    ]
    if not bad:
        return RuleResult("metric_finite", True, True, True, f"{evidence.metric} is a number for both", "undecided")
    why = "; ".join(f"{side.label}: {side.fault or f'{evidence.metric} is undefined on these rows'}" for side in bad)
    return RuleResult("metric_finite", False, False, True, why, "undecided")


@early
def signature_compatible(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that callers of the champion can call the challenger."""
    if evidence.first:
        problem = missing_signature(evidence.challenger.signature)
        return RuleResult("signature", not problem, not problem, True, problem or "it has inputs and outputs")
    problem = signature_conflict(evidence.champion.signature, evidence.challenger.signature)
    reason = f"{problem}; a model with another interface needs another model name" if problem else "as the champion's"
    return RuleResult("signature", not problem, not problem, True, reason)


@early
def clean_commit(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that the code that made the model can be found again."""
    commit, dirty = evidence.challenger.commit, evidence.challenger.dirty
    limit = "clean" if policy.require_clean else None
    if commit and dirty is False:
        return RuleResult("clean_commit", True, commit[:8], limit, f"made from commit {commit[:8]}")
    why = f"made from commit {commit[:8]} with uncommitted changes" if commit and dirty else "its commit is not known"
    warning = "" if policy.require_clean else " (a warning; promotion.require_clean makes it a rule)"
    figure = f"{commit[:8]}*" if commit else None
    return RuleResult("clean_commit", not policy.require_clean, figure, limit, why + warning)


@rule
def metric_limits(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that no metric is beyond its absolute limit. For a first model only this and the baseline count."""
    if not policy.limits:
        return None
    beyond = []
    for name, limit in policy.limits.items():
        value = evidence.challenger.metrics.get(name)
        if value is None or not math.isfinite(value):
            beyond.append(f"{name} is unknown")
        elif name not in METRICS or sort_key(METRICS[name].direction, value) > sort_key(METRICS[name].direction, limit):
            beyond.append(f"{name} is {shown(value)}" if evidence.shows_estimates else name)
    wanted = ", ".join(f"{name} {shown(limit)}" for name, limit in policy.limits.items())
    reason = f"beyond promotion.limits: {', '.join(beyond)}" if beyond else "within promotion.limits"
    return RuleResult("limits", not beyond, ", ".join(beyond) or "within", wanted, reason)


def _short(dataset: str) -> str:
    ref, _, fingerprint = dataset.partition("#")
    return f"{ref} {fingerprint[:12]}".strip()


Signature = Mapping[str, Any]
"""As `logged_models.signature` returns it: "inputs", "outputs" and "params", lists of columns or None."""

_WIDENS = {
    "integer": {"long", "float", "double"},
    "long": {"double"},
    "float": {"double"},
}
"""Accepted types for a column of the key's type: MLflow converts these without loss."""


def missing_signature(signature: Signature | None) -> str:
    """Return what the signature lacks; empty when it is complete."""
    parts = [name for name in ("inputs", "outputs") if not (signature or {}).get(name)]
    return f"its signature has no {' and no '.join(parts)}" if parts else ""


def signature_conflict(old: Signature | None, new: Signature | None) -> str:
    """Return why callers of the model with signature `old` could not call the one with `new`; empty when they can."""
    if unknown := missing_signature(new):
        return unknown
    if unknown := missing_signature(old):
        return f"the champion's is unknown: {unknown}"
    assert old is not None
    assert new is not None
    return _inputs(old["inputs"], new["inputs"]) or _outputs(old["outputs"], new["outputs"])


def _inputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    if not all("name" in column for column in [*old, *new]):
        return "" if _types(old) == _types(new) else f"it takes {_types(new)}, the champion {_types(old)}"
    sent = {column["name"]: column for column in old}
    taken = {column["name"]: column for column in new}
    lacking = [name for name, column in taken.items() if column.get("required", True) and name not in sent]
    if lacking:
        return f"it needs {_names(lacking)}, which the champion's callers do not send"
    refused = [name for name in sent if name not in taken]
    if refused:
        return f"it does not take {_names(refused)}, which the champion's callers send"
    for name, column in taken.items():
        if name in sent and not _fits(sent[name], column):
            return f"its input {name!r} is {_type(column)}, the champion's is {_type(sent[name])}"
        if name in sent and column.get("required", True) and not sent[name].get("required", True):
            return f"its input {name!r} must not be missing, the champion's may be"
    return ""


def _outputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    if len(old) != len(new) or [column.get("name") for column in old] != [column.get("name") for column in new]:
        return f"it gives {_types(new)}, the champion {_types(old)}"
    differing = [(one, other) for one, other in zip(old, new, strict=True) if not _fits(one, other, outputs=True)]
    return f"it gives {_type(differing[0][1])}, the champion {_type(differing[0][0])}" if differing else ""


def _fits(old: Mapping[str, Any], new: Mapping[str, Any], *, outputs: bool = False) -> bool:
    one, other = _type(old), _type(new)
    # A reader of JSON does not tell an integer from a number; a name is something else.
    numbers = {"integer", "long", "float", "double"}
    return one == other or other in _WIDENS.get(one, ()) or (outputs and {one, other} <= numbers)


def _type(column: Mapping[str, Any]) -> str:
    spec = column.get("tensor-spec")
    if spec:
        return f"{spec.get('dtype')}{list(spec.get('shape', ()))}"
    return str(column.get("type"))


def _types(columns: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{column.get('name', '')} {_type(column)}".strip() for column in columns)


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
