"""Choose the challengers that meet the champion on the holdout, and gather the figures of all of them.

Whatever can be checked without the holdout is checked first. The holdout is not read when that settles the answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebooks_lib.datasets import data_quality, holdout_shift, run_datasets
from notebooks_lib.errors import PromotionError, UnknownNameError, UsageError
from notebooks_lib.promotion import model_facts, model_scoring
from notebooks_lib.promotion.candidate_screening import Candidates
from notebooks_lib.promotion.decision import early_refusals
from notebooks_lib.promotion.evidence import Evidence, Side
from notebooks_lib.promotion.holdout_comparison import Challenge, HoldoutEvaluation, check_slices
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.rule_registry import EARLY_FOR_ALL

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.models.registry import Version
    from notebooks_lib.settings import Settings
    from notebooks_lib.tracking.store import Store


def gather_evidence(
    store: Store,
    candidates: Candidates,
    champion: Version | None,
    *,
    model: str,
    policy: Policy | None = None,
    order_by: str = "",
    challengers: int = 1,
) -> Evidence:
    """Return the evidence on the best candidate and the champion, or a trivial baseline when there is no champion.

    `policy` holds the thresholds; by default those of the settings for `model`. A candidate that cannot be scored on
    the holdout is replaced by the next best, which counts as another question. A candidate that an early rule rejects
    is replaced too, without spending a use; the rejected ones are among the `rivals` of the result. The holdout is not
    read when the best remaining candidate is the champion itself.

    With `challengers` above 1, that many of the best candidates are evaluated in one use. The champion itself and
    copies of its files are not among them. One that cannot be scored is not replaced. All but the best are the
    `rivals`.

    `order_by` is a column that orders the rows in time; rows near each other are then not treated as independent.

    Raises UsageError when the column cannot order the rows or the dataset has groups. Raises PromotionError when no
    candidate can be scored and there is no champion that could stay.
    """
    policy = policy or Policy.of(store.settings.promotion, model)
    data, metric = candidates.dataset, candidates.metric
    if order_by:
        check_time_order(order_by, data, store.settings)
    check_slices(policy.slices, data)
    evaluation = HoldoutEvaluation(store, data, metric, champion, policy, order_by)
    evidence = _without_challenger(evaluation, candidates, model, challengers)
    if not candidates.ranked:
        return replace(evidence, challenger=Side("no candidate"), no_candidate=candidates.no_candidate, unread=True)
    several = _best_challengers(store, candidates, evidence, policy, challengers) if challengers > 1 else []
    if several:
        best, *rivals = evaluation.ask(several)
        return replace(best, rivals=tuple(rivals))
    return _first_scored(evaluation, candidates, evidence)


def _without_challenger(
    evaluation: HoldoutEvaluation, candidates: Candidates, model: str, challengers: int
) -> Evidence:
    """Return the evidence on the champion, or on the baseline when there is none, and on the dataset."""
    store, data, metric, policy = evaluation.store, evaluation.data, evaluation.metric, evaluation.policy
    champion = evaluation.champion
    old = Side(model_scoring.baseline_name(metric), seen_rows=0)
    if champion is not None:
        old = model_facts.champion_side(store, champion, data, policy)
        if challengers > 1 or not candidates.ranked or champion.run_id != candidates.ranked[0].run.run_id:
            old = evaluation.try_on_validation(old, champion.source)
    return Evidence(
        model=model,
        metric=metric.name,
        direction=metric.direction,
        dataset=run_datasets.tag_value(data),
        challenger=Side(""),
        champion=old,
        note=metric.note,
        first=champion is None,
        withdrawn=candidates.withdrawn_note,
        data_faults=holdout_shift.holdout_faults(data.ref, store.settings) if policy.data_tests else None,
        changed_kinds=holdout_shift.changed_kinds(data.ref, old.dataset, store.settings) if policy.data_tests else "",
    )


def _first_scored(evaluation: HoldoutEvaluation, candidates: Candidates, evidence: Evidence) -> Evidence:
    """Return the evidence on the best candidate that can be scored; else that on the best one that was refused."""
    refused: list[Evidence] = []
    failed: list[Evidence] = []
    for candidate in candidates.ranked:
        side = model_facts.challenger_side(evaluation.store, candidate, evaluation.data, evaluation.policy)
        evidence = replace(evidence, challenger=side)
        if evidence.is_champion_itself:
            if not (failed or refused):
                return evidence
            break  # a better one was refused: that is the answer
        (evaluated,) = evaluation.ask([(evidence, candidate.source)])
        if evaluated.unread:
            refused.append(evaluated)
            if early_refusals(evaluated, evaluation.policy, EARLY_FOR_ALL):
                break  # the next one would fail it too
        elif evaluated.challenger.fault:
            failed.append(evaluated)
        else:
            return replace(evaluated, rivals=tuple(refused))
    if failed and evaluation.champion is None:
        why = "; ".join(f"{candidate.challenger.label}: {candidate.challenger.fault}" for candidate in failed)
        raise PromotionError(f"no candidate can be scored on the holdout of {evaluation.data.ref}: {why}")
    best, *others = failed or refused
    return replace(best, rivals=() if failed else tuple(others))


def _best_challengers(
    store: Store, candidates: Candidates, evidence: Evidence, policy: Policy, most: int
) -> list[Challenge]:
    """Return at most `most` of the best candidates, each with files unlike the champion's and the earlier ones'."""
    chosen: list[Challenge] = []
    files = {evidence.champion.model_sha256} - {""}
    for candidate in candidates.ranked:
        if len(chosen) == most:
            break
        side = model_facts.challenger_side(store, candidate, candidates.dataset, policy)
        challenge = replace(evidence, challenger=side)
        if not challenge.is_champion_itself and side.model_sha256 not in files:
            chosen.append((challenge, candidate.source))
            files |= {side.model_sha256} - {""}
    return chosen


UNORDERED = ("text", "boolean")
"""Kinds of columns that cannot order rows in time: the order of text is alphabetical."""


def check_time_order(column: str, data: Dataset, settings: Settings) -> None:
    """Raise UsageError unless `column` puts every row of `data` in order, and the dataset has no groups.

    Rows of a group are left out together, wherever they stand in time.
    """
    if column not in data.columns:
        raise UnknownNameError(f"column of {data.ref} to order the rows by", column, data.columns)
    if data.group is not None:
        raise UsageError(
            f"order_by={column!r}: {data.ref} has the group column {data.group!r}; rows of a group belong together and "
            "are left out by group, not by stretches of an order: leave order_by away"
        )
    kind = data.columns[column]
    if kind in UNORDERED:
        raise UsageError(f"order_by={column!r}: this column of {data.ref} is {kind}; name one of numbers or of dates")
    missing = data_quality.count_missing(data.ref, column, settings)
    if missing:
        raise UsageError(
            f"order_by={column!r}: {missing} of {data.rows} rows of {data.ref} have no value in it, so they have no "
            "place in the order; name a column without missing values"
        )
