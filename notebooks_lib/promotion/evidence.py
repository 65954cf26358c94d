"""Lets the best candidate and the champion meet on the holdout, scored from their files. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.errors import ModelError, PromotionError, UnknownNameError, UsageError, first_line
from notebooks_lib.promotion import scoring
from notebooks_lib.promotion.candidates import Candidate, Candidates
from notebooks_lib.promotion.decision import Evidence, Side, Uses
from notebooks_lib.promotion.metrics import Answers, Metric, Truth
from notebooks_lib.promotion.pairing import pair
from notebooks_lib.promotion.scoring import Scores
from notebooks_lib.records import Tag
from notebooks_lib.tracking import datasets, models, query
from notebooks_lib.tracking.query import RunInfo

if TYPE_CHECKING:
    from notebooks_lib.settings import Settings
    from notebooks_lib.tracking.datasets import Dataset, Part
    from notebooks_lib.tracking.registry import Version
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

READER = "promotion"


def gather(
    store: Store, candidates: Candidates, champion: Version | None, *, model: str, order_by: str = ""
) -> Evidence:
    """The figures of the best candidate and of the champion, or of a trivial baseline when there is none.

    A candidate that fails on the holdout is out, and the next best takes its place. The holdout is not read when the
    best candidate is the champion itself. `order_by` is a column that puts the rows in the order of time: rows near
    each other are then not taken for independent. Raises PromotionError when no candidate can be scored.
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
    if order_by and order_by not in data.columns:
        raise UnknownNameError(f"column of {data.ref} to order the rows by", order_by, data.columns)
    part = datasets.open_holdout(data.ref, store.settings, reader=f"{READER} of {model}")
    truth = scoring.truth(data, part, metric)

    def scored(source: str) -> Scores:
        return scoring.score(source, part, metric, truth)

    if champion is None:
        old, his = _with(evidence.champion, metric, truth, partial(scoring.baseline, data.train, part, metric, truth))
    else:
        old, his = _with(evidence.champion, metric, truth, partial(scored, champion.source))
    new, its = _best(candidates, champion, truth, scored)
    found = replace(evidence, challenger=new, champion=old, uses=_uses(store.settings, data))
    if its is None or his is None:
        return found
    return _paired(found, metric, truth, (its, his), groups=_groups(data, part), times=_times(part, order_by))


def _paired(
    found: Evidence,
    metric: Metric,
    truth: Truth,
    answers: tuple[Answers, Answers],
    *,
    groups: Array | None,
    times: Array | None,
) -> Evidence:
    try:
        return replace(found, paired=pair(metric, truth, *answers, groups=groups, times=times))
    except Exception as error:  # noqa: BLE001 - a metric may be anybody's code
        return replace(found, unpaired=f"no error of the gain can be computed: {first_line(error)}")


def _uses(settings: Settings, data: Dataset) -> Uses:
    """Every reading of this holdout counts as a use, and the one for this question is among them."""
    return Uses(settings.promotion.holdout_uses, datasets.holdout_readings(data, settings))


def _groups(data: Dataset, part: Part) -> Array | None:
    import pandas as pd

    return None if data.group is None else np.asarray(pd.factorize(part.frame[data.group])[0])


def _times(part: Part, column: str) -> Array | None:
    return part.frame[column].to_numpy() if column else None


def _best(
    candidates: Candidates, champion: Version | None, truth: Truth, scored: Callable[[str], Scores]
) -> tuple[Side, Answers | None]:
    """The first candidate that answers the holdout; the champion's own run ends the search."""
    out = []
    for candidate in candidates.ranked:
        side = _challenger(candidate, candidates.dataset.fingerprint)
        if champion is not None and candidate.run.run_id == champion.run_id:
            return side, None
        side, answers = _with(side, candidates.metric, truth, partial(scored, candidate.source))
        if not side.fault:
            return side, answers
        out.append(f"{candidate.label}: {side.fault}")
    raise PromotionError(f"no candidate can be scored on the holdout of {candidates.dataset.ref}: {'; '.join(out)}")


def _with(side: Side, metric: Metric, truth: Truth, compute: Callable[[], Scores]) -> tuple[Side, Answers | None]:
    try:
        found = compute()
        score = found.value if found.answers is None else metric.leaver(truth, found.answers).whole
    except ModelError as error:
        return replace(side, fault=str(error)), None
    side = replace(
        side,
        score=score,
        metrics=found.metrics,
        losses=found.losses,
        rows=found.rows,
        rows_sha256=found.rows_sha256,
        predictions_sha256=found.predictions_sha256,
    )
    return side, found.answers


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
