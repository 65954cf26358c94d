"""The gate: `decide` turns figures into promote, keep or undecided, rule by rule. Pure; it loads and writes nothing.

A new rule is one function under `@rule`. It says what it found and what it wants; what is unknown fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from notebooks_lib.promotion import signatures
from notebooks_lib.promotion.metrics import Direction, gain
from notebooks_lib.promotion.tables import Table, shown

Answer = Literal["promote", "keep", "undecided"]
Figure = float | int | str | bool | None


@dataclass(frozen=True)
class Side:
    """One of the two models that meet on the holdout."""

    label: str
    """For people: "run 1a2b3c4d (ridge)", "version 3", "the mean of the training rows"."""
    run_id: str = ""
    version: str = ""
    """Of the registered model; empty for a challenger that is not registered, and for a baseline."""
    score: float | None = None
    """By the metric that decides, on the holdout; None when the model could not be scored."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = field(default=(), repr=False)
    """For each holdout row, in the order of the rows; empty when the metric has none."""
    rows: int = 0
    rows_sha256: str = ""
    predictions_sha256: str = ""
    dataset: str = ""
    """What it was trained on, as "name@version#fingerprint"; empty when its run did not say."""
    signature: Mapping[str, Any] | None = None
    commit: str = ""
    dirty: bool | None = None
    fault: str = ""
    """Why it could not be scored."""


@dataclass(frozen=True)
class Evidence:
    """All that the rules may look at."""

    model: str
    metric: str
    direction: Direction
    dataset: str
    """Whose holdout was read, as "name@version#fingerprint"."""
    challenger: Side
    champion: Side
    """The version that serves; a trivial baseline when there is none yet."""
    first: bool = False
    """There is no champion yet."""

    @property
    def ref(self) -> str:
        """name@version of the dataset."""
        return self.dataset.partition("#")[0]

    @property
    def itself(self) -> bool:
        """The best candidate is the very run that serves; then no holdout was read."""
        return not self.first and bool(self.challenger.run_id) and self.challenger.run_id == self.champion.run_id

    @property
    def gain(self) -> float:
        """Paired difference of the two scores on the same rows, positive when the challenger is better; may be NaN."""
        one, other = self.challenger.score, self.champion.score
        return math.nan if one is None or other is None else gain(self.direction, one, other)


@dataclass(frozen=True)
class Policy:
    """What the rules want."""

    min_gain: float = 0.0
    """The challenger must be better by more than this, in units of the metric."""
    min_rows: int = 30
    require_clean: bool = False


@dataclass(frozen=True)
class Rule:
    """What one rule found."""

    id: str
    ok: bool
    figure: Figure
    limit: Figure
    reason: str
    otherwise: Literal["keep", "undecided"] = "keep"
    """The answer when it fails."""


@dataclass(frozen=True, repr=False)
class Decision:
    """The answer and everything it rests on."""

    answer: Answer
    rules: tuple[Rule, ...]
    evidence: Evidence
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

    def as_json(self) -> dict[str, Any]:
        """Plain values for a file: without the figures of single rows; null for what is not a finite number."""
        found = self.evidence
        return {
            "answer": self.answer,
            "summary": self.summary,
            "model": found.model,
            "metric": found.metric,
            "direction": found.direction,
            "gain": _plain(found.gain),
            "dataset": found.dataset,
            "first": found.first,
            "rules": [{key: _plain(value) for key, value in vars(each).items()} for each in self.rules],
            "challenger": _side_json(found.challenger),
            "champion": _side_json(found.champion),
        }

    @property
    def table(self) -> Table:
        """Every rule, with what it found and what it wants."""
        rows = [("pass" if each.ok else "FAIL", each.id, each.figure, each.limit, each.reason) for each in self.rules]
        return Table.of(("", "rule", "found", "wanted", "reason"), rows, f"{self.answer}: {self.summary}")

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


Check = Callable[[Evidence, Policy], Rule]
RULES: list[Check] = []
"""In the order in which they are shown."""


def rule(check: Check) -> Check:
    """Make a function one of the rules."""
    RULES.append(check)
    return check


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Promote when every rule passes; undecided when a figure that would decide is missing; else keep.

    In this first form the gain is the point estimate of the paired difference on the holdout. An interval takes its
    place later: `Side.losses` holds the figures of the rows, paired by their order, for that.
    """
    checks = [not_itself] if evidence.itself else RULES
    rules = tuple(check(evidence, policy) for check in checks)
    failed = [each for each in rules if not each.ok]
    answer: Answer = "promote"
    if failed:
        answer = "undecided" if any(each.otherwise == "undecided" for each in failed) else "keep"
    return Decision(answer, rules, evidence, _summary(answer, evidence, failed))


@rule
def not_itself(found: Evidence, policy: Policy) -> Rule:
    """The champion cannot replace itself, nor can its twin."""
    new, old = found.challenger, found.champion
    if found.first:
        return Rule("not_itself", True, new.label, None, "there is no champion yet")
    if found.itself:
        return Rule("not_itself", False, new.label, f"not {old.label}", "the best candidate is the champion itself")
    if new.predictions_sha256 and new.predictions_sha256 == old.predictions_sha256:
        reason = f"the best candidate predicts exactly what {old.label} does on all {new.rows} holdout rows"
        return Rule("not_itself", False, new.label, f"not {old.label}", reason)
    return Rule("not_itself", True, new.label, f"not {old.label}", f"another model than {old.label}")


@rule
def data_same(found: Evidence, policy: Policy) -> Rule:
    """The challenger comes from the data whose holdout judges it."""
    used, wanted = found.challenger.dataset, found.dataset
    ok = bool(wanted) and used.partition("#")[2] == wanted.partition("#")[2]
    reason = f"trained on {used.partition('#')[0] or 'data that its run did not record'}, judged on {found.ref}"
    return Rule("data_same", ok, _short(used), _short(wanted), reason)


@rule
def rows_same(found: Evidence, policy: Policy) -> Rule:
    """Both are scored on the same rows."""
    one, other = found.challenger, found.champion
    ok = bool(one.rows_sha256) and (one.rows, one.rows_sha256) == (other.rows, other.rows_sha256)
    reason = "both scored on the same holdout rows" if ok else "not scored on the same holdout rows"
    return Rule("rows_same", ok, one.rows_sha256[:12], other.rows_sha256[:12], reason, "undecided")


@rule
def holdout_rows(found: Evidence, policy: Policy) -> Rule:
    """Too few rows prove nothing."""
    rows = found.challenger.rows
    ok = rows >= policy.min_rows
    reason = f"{rows} holdout rows, at least {policy.min_rows} wanted"
    return Rule("holdout_rows", ok, rows, policy.min_rows, reason, "undecided")


@rule
def metric_finite(found: Evidence, policy: Policy) -> Rule:
    """Both scores are numbers."""
    bad = [side for side in (found.challenger, found.champion) if side.score is None or not math.isfinite(side.score)]
    if not bad:
        return Rule("metric_finite", True, True, True, f"{found.metric} is a number for both", "undecided")
    why = "; ".join(f"{side.label}: {side.fault or f'{found.metric} is undefined on these rows'}" for side in bad)
    return Rule("metric_finite", False, False, True, why, "undecided")


@rule
def gain_enough(found: Evidence, policy: Policy) -> Rule:
    """The challenger is better by more than `min_gain`."""
    better = found.gain
    ok = better > policy.min_gain  # false for NaN
    new, old = found.challenger, found.champion
    reason = (
        f"{found.metric} {shown(new.score)} against {shown(old.score)} of {old.label}: a gain of {shown(better)}, "
        f"more than {shown(policy.min_gain)} wanted"
    )
    return Rule("gain", ok, better, policy.min_gain, reason)


@rule
def signature_compatible(found: Evidence, policy: Policy) -> Rule:
    """Whoever calls the champion can call the challenger."""
    if found.first:
        problem = signatures.missing(found.challenger.signature)
        return Rule("signature", not problem, not problem, True, problem or "it says what it takes and gives")
    problem = signatures.conflict(found.champion.signature, found.challenger.signature)
    reason = f"{problem}; a model with another interface needs another model name" if problem else "as the champion's"
    return Rule("signature", not problem, not problem, True, reason)


@rule
def clean_commit(found: Evidence, policy: Policy) -> Rule:
    """The code that made it can be found again."""
    commit, dirty = found.challenger.commit, found.challenger.dirty
    limit = "clean" if policy.require_clean else None
    if commit and dirty is False:
        return Rule("clean_commit", True, commit[:8], limit, f"made from commit {commit[:8]}")
    why = f"made from commit {commit[:8]} with uncommitted changes" if commit and dirty else "its commit is not known"
    warning = "" if policy.require_clean else " (a warning; promotion.require_clean makes it a rule)"
    figure = f"{commit[:8]}*" if commit else None
    return Rule("clean_commit", not policy.require_clean, figure, limit, why + warning)


def _summary(answer: Answer, found: Evidence, failed: list[Rule]) -> str:
    if answer == "promote":
        new, old = found.challenger, found.champion
        return (
            f"{new.label} has {found.metric} {shown(new.score)} on the {new.rows} holdout rows of {found.ref}, "
            f"{old.label} has {shown(old.score)}: a gain of {shown(found.gain)}"
        )
    what = "no model is promoted" if found.first else f"{found.champion.label} stays"
    deciding = [each for each in failed if each.otherwise == answer] or failed
    return f"{what}: " + "; ".join(each.reason for each in deciding)


def _side_json(side: Side) -> dict[str, Any]:
    plain = {key: value for key, value in vars(side).items() if key not in ("losses", "signature")}
    plain["score"] = _plain(side.score)
    plain["metrics"] = {name: _plain(value) for name, value in side.metrics.items()}
    return plain


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(dataset: str) -> str:
    ref, _, fingerprint = dataset.partition("#")
    return f"{ref} {fingerprint[:12]}".strip()
