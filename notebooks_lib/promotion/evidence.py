"""Lets the best candidate and the champion meet on the holdout, scored from their files. It decides nothing.

What can be known without the holdout is asked first; where that settles it, the holdout is not read. Each meeting is
one use of the holdout, counted before it is read; what came of it is stored before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.errors import HoldoutError, ModelError, PromotionError, UnknownNameError, first_line
from notebooks_lib.promotion import scoring, sides, slices
from notebooks_lib.promotion.candidates import Candidates
from notebooks_lib.promotion.deciding.decision import EARLY, Evidence, Policy, Side, Uses
from notebooks_lib.promotion.deciding.metrics import Answers, Metric, Truth
from notebooks_lib.promotion.deciding.pairing import pair
from notebooks_lib.promotion.deciding.question import Slice
from notebooks_lib.promotion.scoring import Scores
from notebooks_lib.statistics.paired import Paired
from notebooks_lib.tracking import datasets
from notebooks_lib.tracking.datasets import likeness, uses

if TYPE_CHECKING:
    from notebooks_lib.tracking.datasets import Dataset, Part
    from notebooks_lib.tracking.registry import Version
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

READER = "promotion"
SCORED = ("score", "metrics", "losses", "rows", "rows_sha256", "predictions_sha256", "fault")
"""What the holdout says of a side."""


def gather(
    store: Store,
    candidates: Candidates,
    champion: Version | None,
    *,
    model: str,
    policy: Policy | None = None,
    order_by: str = "",
) -> Evidence:
    """The figures of the best candidate and of the champion, or of a trivial baseline when there is none.

    A candidate that fails on the holdout is out, and the next best takes its place, which is another question. The
    holdout is not read when the best candidate is the champion itself, nor when a rule fails that needs none of its
    rows. `order_by` is a column that puts the rows in the order of time: rows near each other are then not taken for
    independent. Raises PromotionError when no candidate can be scored.
    """
    policy = policy or Policy.of(store.settings.promotion)
    data, metric = candidates.dataset, candidates.metric
    if order_by and order_by not in data.columns:
        raise UnknownNameError(f"column of {data.ref} to order the rows by", order_by, data.columns)
    slices.check(policy.slices, data)
    meeting = _Meeting(store, data, metric, champion, policy, order_by)
    old = Side(scoring.baseline_name(metric.task), seen_rows=0)
    if champion is not None:
        old = sides.champion(store, champion, data, policy)
        if champion.run_id != candidates.ranked[0].run.run_id:
            old = meeting.tried(old, champion.source)
    found = Evidence(
        model=model,
        metric=metric.name,
        direction=metric.direction,
        dataset=datasets.tag_value(data),
        challenger=Side(""),
        champion=old,
        first=champion is None,
        data_faults=likeness.faults(data.ref, store.settings) if policy.data_tests else None,
    )
    out = []
    for candidate in candidates.ranked:
        found = replace(found, challenger=sides.challenger(store, candidate, data, policy))
        if found.itself:
            return found
        met = meeting.ask(found, candidate.source)
        if not met.challenger.fault or met.unread:
            return met
        out.append(f"{candidate.label}: {met.challenger.fault}")
    raise PromotionError(f"no candidate can be scored on the holdout of {data.ref}: {'; '.join(out)}")


class _Meeting:
    """Champion and holdout are the same for every candidate."""

    def __init__(
        self, store: Store, data: Dataset, metric: Metric, champion: Version | None, policy: Policy, order_by: str
    ) -> None:
        self.store, self.data, self.metric = store, data, metric
        self.champion, self.policy, self.order_by = champion, policy, order_by

    def tried(self, side: Side, source: str) -> Side:
        """The side with what is wrong with its model, as the validation rows show: they cost nothing."""
        part = self.data.validation
        truth = scoring.truth(self.data, part, self.metric)
        return replace(side, fault=_with(side, lambda: scoring.score(source, part, self.metric, truth))[0].fault)

    def ask(self, found: Evidence, source: str) -> Evidence:
        """One question to the holdout; its figures, now or from when it was asked before."""
        asking = uses.asking(
            self.store,
            self.data,
            self._question(found),
            alpha=self.policy.alpha,
            budget=self.policy.uses,
            reader=f"{READER} of {found.model}",
        )
        with asking as use:
            counted = Uses(self.policy.uses, use.number, use.asked, use.spent if use.stored is not None else None)
            found = replace(found, uses=counted)
            if any(rule is not None and not rule.ok for rule in (check(found, self.policy) for check in EARLY)):
                return replace(found, unread=True, uses=replace(counted, spent=use.spent))
            if use.stored is not None:
                return _restored(found, use.stored)
            try:
                part = use.open()
            except HoldoutError:  # another machine took the last use at this moment
                return replace(found, unread=True, uses=Uses(self.policy.uses, use.number))
            found = replace(found, uses=Uses(self.policy.uses, use.number))
            found = self._scored(found, source, part)
            use.answer(_kept(found))
            return found

    def _question(self, found: Evidence) -> dict[str, Any]:
        return {
            "challenger": found.challenger.model_sha256,
            "champion": f"baseline of {self.data.fingerprint}" if found.first else found.champion.model_sha256,
            "metric": [found.metric, found.direction, self.metric.code],
            "policy": self.policy.question(),
            "order_by": self.order_by,
        }

    def _scored(self, found: Evidence, source: str, part: Part) -> Evidence:
        data, metric = self.data, self.metric
        truth = scoring.truth(data, part, metric)
        new, its = _with(found.challenger, lambda: scoring.score(source, part, metric, truth), truth, metric)
        champion = self.champion
        if champion is None:
            old, his = _with(found.champion, lambda: scoring.baseline(data.train, part, metric, truth), truth, metric)
        else:
            old, his = _with(found.champion, lambda: scoring.score(champion.source, part, metric, truth), truth, metric)
        found = replace(found, challenger=new, champion=old)
        if its is None or his is None:
            return found
        cut = slices.cut(self.policy.slices, data, part, metric, truth, (its, his))
        found = replace(found, slices=cut)
        try:
            groups, times = _groups(data, part), part.frame[self.order_by].to_numpy() if self.order_by else None
            return replace(found, paired=pair(metric, truth, its, his, groups=groups, times=times))
        except Exception as error:  # noqa: BLE001 - a metric may be anybody's code
            return replace(found, unpaired=f"no error of the gain can be computed: {first_line(error)}")


def _groups(data: Dataset, part: Part) -> Array | None:
    import pandas as pd

    return None if data.group is None else np.asarray(pd.factorize(part.frame[data.group])[0])


def _with(
    side: Side, compute: Callable[[], Scores], truth: Truth | None = None, metric: Metric | None = None
) -> tuple[Side, Answers | None]:
    try:
        found = compute()
        score = found.value
        if metric is not None and truth is not None and found.answers is not None:
            score = metric.leaver(truth, found.answers).whole
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


def _kept(found: Evidence) -> dict[str, Any]:
    """What is stored of an answer: plain values, NaN among them."""

    def side(one: Side) -> dict[str, Any]:
        told = {key: value for key, value in vars(one).items() if key in SCORED}
        losses = list(one.losses) if found.shows else []  # from a row's losses its target can be guessed
        return {**told, "metrics": dict(one.metrics), "losses": losses}

    return {
        "challenger": side(found.challenger),
        "champion": side(found.champion),
        "paired": asdict(found.paired) if found.paired else None,
        "unpaired": found.unpaired,
        "slices": [vars(each) for each in found.slices],
    }


def _restored(found: Evidence, kept: Mapping[str, Any]) -> Evidence:
    def side(one: Side, told: Mapping[str, Any]) -> Side:
        return replace(one, **{**told, "losses": tuple(told["losses"])})

    return replace(
        found,
        challenger=side(found.challenger, kept["challenger"]),
        champion=side(found.champion, kept["champion"]),
        paired=Paired(**kept["paired"]) if kept["paired"] else None,
        unpaired=kept["unpaired"],
        slices=tuple(Slice(**each) for each in kept["slices"]),
    )
