"""Guardrails: what must hold however large the gain is, such as equal data, the same interface, and all limits. Pure.

A guardrail reads figures of the evidence; an unknown figure fails. The map in CONTRIBUTING.md names all that one needs.
"""

from __future__ import annotations

import math

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import UnknownNameError, UsageError
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Metric, gain, sort_key
from notebooks_lib.promotion.evidence import Evidence
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import RuleResult, early, early_for_all, rule
from notebooks_lib.promotion.signature_compatibility import missing_signature, signature_conflict
from notebooks_lib.promotion.table_formatting import shown

MEGABYTE = 1_000_000


def check_metrics(policy: Policy, model: str, metric: Metric) -> None:
    """Raise UsageError for a metric in `limits` or `not_worse` that is unknown, or not for the task of `metric`.

    Without this check, its rule would fail only after a use of the holdout was spent, and again each time.
    """
    same = [name for name, other in METRICS.items() if other.task == metric.task]
    for key, names in (("limits", policy.limits), ("not_worse", policy.not_worse)):
        for name in names:
            if name not in METRICS:
                raise UnknownNameError(f"metric in promotion.{key} for {model}", name, same)
            if name not in same:
                raise UsageError(
                    f"promotion.{key} names {name} for {model}, a metric of {METRICS[name].task}, but {metric.name}, "
                    f"which decides, is one of {metric.task}; give {model} its own {key} under "
                    f"[promotion.models.{model}]"
                )


def challenger_known(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that there is a candidate. This rule is applied only when there is none, so it always fails."""
    return RuleResult("challenger", not evidence.no_candidate, None, "a candidate", evidence.no_candidate, fault=False)


@early
def not_itself(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that the challenger is not the champion itself, and predicts differently. Failing is not a fault."""
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
    """Require that the challenger was trained on the dataset of the holdout, with the same fingerprint."""
    trained_on, judged_on = map(DatasetTag.parse, (evidence.challenger.dataset, evidence.dataset))
    ok = bool(evidence.dataset) and trained_on.fingerprint == judged_on.fingerprint
    reason = f"trained on {trained_on.ref or 'data that its run did not record'}, judged on {judged_on.ref}"
    return RuleResult("data_same", ok, _short(trained_on), _short(judged_on), reason)


@rule
def rows_same(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that both models were scored on the same rows."""
    new, old = evidence.challenger, evidence.champion
    ok = bool(new.rows_sha256) and (new.rows, new.rows_sha256) == (old.rows, old.rows_sha256)
    reason = "both scored on the same holdout rows" if ok else "not scored on the same holdout rows"
    return RuleResult("rows_same", ok, new.rows_sha256[:12], old.rows_sha256[:12], reason, "undecided")


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
    """Require that callers of the champion can call the challenger without a change."""
    if evidence.first:
        problem = missing_signature(evidence.challenger.signature)
        return RuleResult("signature", not problem, not problem, True, problem or "it has inputs and outputs")
    problem = signature_conflict(evidence.champion.signature, evidence.challenger.signature)
    reason = f"{problem}; a model with another interface needs another model name" if problem else "as the champion's"
    return RuleResult("signature", not problem, not problem, True, reason)


@early
def clean_commit(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require, if `require_clean` is set, that the training code is a known commit without uncommitted changes."""
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
    """Require that no metric is beyond its absolute limit. A first model has no champion to be compared with."""
    if not policy.limits:
        return None
    beyond = []
    for name, limit in policy.limits.items():
        value = evidence.challenger.metrics.get(name)
        if value is None or not math.isfinite(value):
            beyond.append(f"{name} is unknown")
        elif name not in METRICS or sort_key(METRICS[name].direction, value) > sort_key(METRICS[name].direction, limit):
            beyond.append(f"{name} is {shown(value)}" if evidence.shows_estimates else name)
    limits = ", ".join(f"{name} {shown(limit)}" for name, limit in policy.limits.items())
    reason = f"beyond promotion.limits: {', '.join(beyond)}" if beyond else "within promotion.limits"
    return RuleResult("limits", not beyond, ", ".join(beyond) or "within", limits, reason)


@early
def holdout_unseen(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that neither model was trained on a holdout row."""
    sides = [evidence.challenger] if evidence.first else [evidence.challenger, evidence.champion]
    seen_rows = {side.label: side.seen_rows for side in sides}
    counts = [rows for rows in seen_rows.values() if rows is not None]
    if any(counts):
        who = " and ".join(f"{name} has seen {rows}" for name, rows in seen_rows.items() if rows)
        reason = f"{who} of the holdout rows of {evidence.ref} in training; refit on {evidence.ref}"
        return RuleResult("holdout_unseen", False, max(counts), 0, reason)
    if seen_rows[evidence.challenger.label] is None:
        reason = "the rows that the challenger was trained on are not known: its notebook loaded none by name that are "
        reason += "here, logged the model with others, or read a table by itself; load them by datasets.load, and log "
        reason += "the model with all of them: example=train.X"
        return RuleResult("holdout_unseen", False, None, 0, reason)
    if None in seen_rows.values() and not policy.trust_champion_data:
        reason = f"the rows that {evidence.champion.label} was trained on are not known; if it has seen none of these, "
        reason += "set promotion.trust_champion_data"
        return RuleResult("holdout_unseen", False, None, 0, reason, "undecided")
    return RuleResult(
        "holdout_unseen",
        True,
        0,
        0,
        "its notebook loaded no holdout row by name and logged none with the model",
    )


@early
def answers(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that both models can predict the validation rows."""
    faults = "; ".join(f"{side.label}: {side.fault}" for side in (evidence.challenger, evidence.champion) if side.fault)
    return RuleResult("answers", not faults, not faults, True, faults or "both answer the validation rows", "undecided")


@early
def requirements_known(evidence: Evidence, policy: Policy) -> RuleResult:
    """Require that all packages that the challenger needs are pinned to the versions of this environment."""
    loose = evidence.challenger.loose
    if loose is None:
        return RuleResult(
            "requirements", False, None, 0, "its requirements are not known; log it with run.log_model(...)"
        )
    reason = (
        f"not known: {'; '.join(loose[:3])}; refit it here" if loose else "every requirement is pinned and installed"
    )
    return RuleResult("requirements", not loose, len(loose), 0, reason)


@early
def size_within(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Limit the size of the model's files."""
    if policy.max_size_mb is None:
        return None
    size = evidence.challenger.size_bytes
    megabytes = math.nan if size is None else size / MEGABYTE
    reason = f"its files take {megabytes:g} MB, at most {policy.max_size_mb:g} may (promotion.max_size_mb)"
    reason = "its size is not known" if size is None else reason
    return RuleResult("size_mb", megabytes <= policy.max_size_mb, megabytes, policy.max_size_mb, reason)


@early
def latency_within(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Limit the time that 95 % of single-row predictions take."""
    if policy.max_latency_ms is None:
        return None
    took = evidence.challenger.latency_ms
    took = math.nan if took is None else took
    reason = f"it answers one validation row within {took:g} ms in 95 % of cases, in this process; at most "
    reason += f"{policy.max_latency_ms:g} wanted (promotion.max_latency_ms)"
    reason = reason if math.isfinite(took) else "its latency was not measured"
    return RuleResult("latency_p95_ms", took <= policy.max_latency_ms, took, policy.max_latency_ms, reason)


@early
def fingerprint_again(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that commit, parameters and data reproduce the run's fingerprint."""
    if not policy.require_fingerprint:
        return None
    why = evidence.challenger.irreproducible
    reason = "its fingerprint comes out again from its commit"
    reason = reason if why == "" else f"its fingerprint does not come out again: {why or 'it was not computed'}"
    return RuleResult("fingerprint", why == "", why == "", True, reason)


@early_for_all
def data_tests(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that the holdout looks like the training rows, and columns have the kinds that the champion knows."""
    if not policy.data_tests:
        return None
    if evidence.data_faults is None:
        return RuleResult("data_tests", False, None, 0, "the data were not tested", "undecided")
    faults, changed, reasons = evidence.data_faults, evidence.changed_kinds, []
    if changed:
        trained_on = DatasetTag.parse(evidence.champion.dataset).ref
        reasons.append(
            f"kinds of columns changed since {trained_on}, on which the champion was trained ({changed}): if that is "
            "meant, promote under another name, -p model_name=NAME, for callers send the new kind; if not, mend the "
            "file and add it again"
        )
    if faults:
        reasons.append(f"the holdout is unlike train: {'; '.join(faults[:3])}")
    reason = "; ".join(reasons) or "kinds, missing values and ranges of the holdout are as in train"
    return RuleResult("data_tests", not reasons, len(faults) + bool(changed), 0, reason, "undecided")


@rule
def others_not_worse(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that no metric in `not_worse` gets worse by more than its margin."""
    if not policy.not_worse:
        return None
    worst: list[str] = []
    for name, margin in policy.not_worse.items():
        new, old = evidence.challenger.metrics.get(name), evidence.champion.metrics.get(name)
        if name not in METRICS or new is None or old is None or not (math.isfinite(new) and math.isfinite(old)):
            worst.append(f"{name} is unknown")
        elif not gain(METRICS[name].direction, new, old) >= -margin:
            worst.append(f"{name} {shown(new)} against {shown(old)}" if evidence.shows_estimates else name)
    margins = ", ".join(f"{name} within {shown(margin)}" for name, margin in policy.not_worse.items())
    reason = f"worse than promotion.not_worse allows: {', '.join(worst)}" if worst else "within promotion.not_worse"
    return RuleResult("not_worse", not worst, ", ".join(worst) or "within", margins, reason)


@rule
def worst_slice(evidence: Evidence, policy: Policy) -> RuleResult | None:
    """Require that no slice of the holdout gets worse by more than the margin."""
    if not policy.slices or policy.slice_margin is None:
        return None
    judged = [part for part in evidence.slices if part.rows >= policy.min_slice_rows]
    if not judged:
        reason = f"no slice by {', '.join(policy.slices)} has {policy.min_slice_rows} holdout rows"
        return RuleResult("worst_slice", False, None, -policy.slice_margin, reason, "undecided")
    worst = min(judged, key=lambda part: part.gain if math.isfinite(part.gain) else -math.inf)
    ok = worst.gain >= -policy.slice_margin
    figure = worst.gain if evidence.shows_estimates else None
    how = (
        f"the gain is {shown(worst.gain)}"
        if evidence.shows_estimates
        else "it is too bad"
        if not ok
        else "it is good enough"
    )
    reason = f"in the worst of {len(judged)} slices, {worst.label} ({worst.rows} rows), {how}; at least "
    reason += f"{shown(-policy.slice_margin)} wanted"
    return RuleResult("worst_slice", ok, figure, -policy.slice_margin, reason)


def _short(tag: DatasetTag) -> str:
    return f"{tag.ref} {tag.short_fingerprint}".strip()
