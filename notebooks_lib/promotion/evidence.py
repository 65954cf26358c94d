"""Lets the best candidate and the champion meet on the holdout, scored from their files. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from notebooks_lib.errors import ModelError, PromotionError, UsageError
from notebooks_lib.promotion import scoring
from notebooks_lib.promotion.candidates import Candidate, Candidates
from notebooks_lib.promotion.decision import Evidence, Side
from notebooks_lib.promotion.scoring import Scores
from notebooks_lib.records import Tag
from notebooks_lib.tracking import datasets, models, query
from notebooks_lib.tracking.query import RunInfo

if TYPE_CHECKING:
    from notebooks_lib.tracking.registry import Version
    from notebooks_lib.tracking.store import Store

READER = "promotion"


def gather(store: Store, candidates: Candidates, champion: Version | None, *, model: str) -> Evidence:
    """The figures of the best candidate and of the champion, or of a trivial baseline when there is none.

    A candidate that fails on the holdout is out, and the next best takes its place. The holdout is not read when the
    best candidate is the champion itself. Raises PromotionError when no candidate can be scored.
    """
    data, metric = candidates.dataset, candidates.metric
    evidence = Evidence(
        model=model,
        metric=metric.name,
        direction=metric.direction,
        dataset=datasets.tag_value(data),
        challenger=_challenger(candidates.ranked[0], data.fingerprint),
        champion=_version(store, champion) if champion else Side(scoring.baseline_name(metric.task)),
        first=champion is None,
    )
    if evidence.itself:
        return evidence
    part = datasets.open_holdout(data.ref, store.settings, reader=f"{READER} of {model}")
    truth = scoring.truth(data, part, metric)

    def scored(source: str) -> Scores:
        return scoring.score(source, part, metric, truth)

    if champion is None:
        old = _with(evidence.champion, partial(scoring.baseline, data.train, part, metric, truth))
    else:
        old = _with(evidence.champion, partial(scored, champion.source))
    new = _best(candidates, champion, scored)
    return replace(evidence, challenger=new, champion=old)


def _best(candidates: Candidates, champion: Version | None, scored: Callable[[str], Scores]) -> Side:
    """The first candidate that answers the holdout; the champion's own run ends the search."""
    out = []
    for candidate in candidates.ranked:
        side = _challenger(candidate, candidates.dataset.fingerprint)
        if champion is not None and candidate.run.run_id == champion.run_id:
            return side
        side = _with(side, partial(scored, candidate.source))
        if not side.fault:
            return side
        out.append(f"{candidate.label}: {side.fault}")
    raise PromotionError(f"no candidate can be scored on the holdout of {candidates.dataset.ref}: {'; '.join(out)}")


def _with(side: Side, compute: Callable[[], Scores]) -> Side:
    try:
        found = compute()
    except ModelError as error:
        return replace(side, fault=str(error))
    return replace(
        side,
        score=found.value,
        metrics=found.metrics,
        losses=found.losses,
        rows=found.rows,
        rows_sha256=found.rows_sha256,
        predictions_sha256=found.predictions_sha256,
    )


def _challenger(candidate: Candidate, fingerprint: str) -> Side:
    return _side(candidate.label, candidate.run, candidate.source, prefer=fingerprint)


def _version(store: Store, version: Version) -> Side:
    run = None
    if version.run_id:
        try:
            run = query.get_run(store, version.run_id)
        except UsageError:
            run = None  # deleted since; its version still serves
    side = _side(f"version {version.version}", run, version.source)
    return replace(side, run_id=version.run_id, version=version.version)


def _side(label: str, run: RunInfo | None, source: str, prefer: str = "") -> Side:
    tags = run.tags if run else {}
    used = sorted(run.datasets.values() if run else (), key=lambda value: not (prefer and value.endswith(prefer)))
    try:
        signature = models.signature(source)
    except ModelError:
        signature = None  # the rule on signatures says that it is unknown
    return Side(
        label=label,
        run_id=run.run_id if run else "",
        dataset=used[0] if used else "",
        signature=signature,
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty={"true": True, "false": False}.get(tags.get(Tag.GIT_DIRTY, "")),
    )
