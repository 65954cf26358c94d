"""Evaluate challengers and champion on the holdout, from their files, in one use of it. It decides nothing.

A use is counted before the holdout is read. The result is stored before it is shown, and is the answer when the same
question is asked again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from notebooks_lib.datasets import holdout_budget
from notebooks_lib.errors import HoldoutError, ModelError, UnknownNameError, reason
from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.metrics.metric import Answers, Metric, Truth, gain
from notebooks_lib.promotion import model_scoring
from notebooks_lib.promotion.decision import early_refusals
from notebooks_lib.promotion.evidence import Evidence, HoldoutFigures, Side, Slice, Uses
from notebooks_lib.promotion.model_scoring import Scores
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.statistics.holdout_resampling import Draws
from notebooks_lib.statistics.paired_jackknife import PairedGain

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset, Part
    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store

    Array = np.ndarray[Any, Any]

SLICE_VALUES = 12
"""Numeric columns with more values are cut into quarters; in other columns the rarer values are put together."""
READER = "promotion"

Challenge = tuple[Evidence, str]
"""What is known of a challenger and the champion before the evaluation, and the location of the challenger's model."""


class HoldoutEvaluation:
    """Evaluates challengers on the holdout against the same champion, by one metric and policy."""

    def __init__(
        self, store: Store, data: Dataset, metric: Metric, champion: Version | None, policy: Policy, order_by: str
    ) -> None:
        self.store, self.data, self.metric = store, data, metric
        self.champion, self.policy, self.order_by = champion, policy, order_by

    def try_on_validation(self, side: Side, source: str) -> Side:
        """Score a model on validation rows, which uses no holdout; return its side with the fault, if any."""
        part = self.data.validation
        truth = model_scoring.truth_of(self.data, part, self.metric)
        return replace(
            side, fault=_scored_side(side, lambda: model_scoring.score_model(source, part, self.metric, truth))[0].fault
        )

    def ask(self, challenges: Sequence[Challenge]) -> list[Evidence]:
        """Evaluate these challengers on the holdout as one question; return the evidence on each, new or stored.

        Challengers rejected by an early rule are not evaluated; they are returned with `unread=True`.
        """
        budget = self.policy.uses
        allowed = self._allowed(challenges, Uses(budget, 1))
        asking = holdout_budget.holdout_use(
            self.store,
            self.data,
            self._question([evidence for evidence, _ in allowed or challenges]),
            alpha=self.policy.alpha,
            budget=budget,
            reader=f"{READER} of {challenges[0][0].model}",
        )
        evaluated: list[Evidence] = []
        with asking as use:
            counted = Uses(budget, use.number, use.asked, use.spent if use.stored is not None else None)
            allowed = self._allowed(allowed, counted)
            if not allowed:
                counted = replace(counted, spent=use.spent)
            elif use.stored is not None:
                evaluated = [_restored(replace(evidence, uses=counted), use.stored) for evidence, _ in allowed]
            else:
                part = _open_part(use)
                counted = Uses(budget, use.number)
                if part is not None:
                    evaluated = self._scored(
                        [(replace(evidence, uses=counted), source) for evidence, source in allowed], part
                    )
                    use.answer(_stored_answer(evaluated))
        answered = {evidence.challenger.run_id: evidence for evidence in evaluated}
        unread = [replace(evidence, uses=counted, unread=True) for evidence, _ in challenges]
        return [answered.get(evidence.challenger.run_id, evidence) for evidence in unread]

    def _allowed(self, challenges: Iterable[Challenge], counted: Uses) -> list[Challenge]:
        """Return the challenges that no early rule refuses at this count of uses."""
        return [
            (evidence, source)
            for evidence, source in challenges
            if not early_refusals(replace(evidence, uses=counted), self.policy)
        ]

    def _question(self, challenges: Sequence[Evidence]) -> dict[str, Any]:
        """Return everything that the answer depends on; the order of several challengers does not matter."""
        first, files = challenges[0], sorted(evidence.challenger.model_sha256 for evidence in challenges)
        return {
            **({"challenger": files[0]} if len(files) == 1 else {"challengers": files}),
            "champion": f"baseline of {self.data.fingerprint}" if first.first else first.champion.model_sha256,
            "metric": [first.metric, first.direction, self.metric.code, *filter(None, [self.metric.positive])],
            "policy": self.policy.question(),
            "order_by": self.order_by,
        }

    def _scored(self, challenges: Sequence[Challenge], part: Part) -> list[Evidence]:
        data, metric, champion = self.data, self.metric, self.champion
        truth = model_scoring.truth_of(data, part, metric)

        def judge() -> Scores:
            if champion is None:
                return model_scoring.score_baseline(data.train, part, metric, truth)
            return model_scoring.score_model(champion.source, part, metric, truth)

        old, champion_answers = _scored_side(challenges[0][0].champion, judge, truth, metric)
        return [
            self._paired(replace(evidence, champion=old), source, part, truth, champion_answers)
            for evidence, source in challenges
        ]

    def _paired(
        self, evidence: Evidence, source: str, part: Part, truth: Truth, champion_answers: Answers | None
    ) -> Evidence:
        data, metric = self.data, self.metric
        new, challenger_answers = _scored_side(
            evidence.challenger, lambda: model_scoring.score_model(source, part, metric, truth), truth, metric
        )
        evidence = replace(evidence, challenger=new)
        if challenger_answers is None or champion_answers is None:
            return evidence
        cut = cut_slices(self.policy.slices, data, part, metric, truth, (challenger_answers, champion_answers))
        evidence = replace(evidence, slices=cut)
        try:
            groups, times = _groups(data, part), part.frame[self.order_by].to_numpy() if self.order_by else None
            return replace(
                evidence,
                paired=paired_gain(metric, truth, challenger_answers, champion_answers, groups=groups, times=times),
            )
        except Exception as error:  # noqa: BLE001 - a metric may be foreign code
            return replace(evidence, unpaired=f"no error of the gain can be computed: {reason(error)}")


def _open_part(use: holdout_budget.Use) -> Part | None:
    """Return the rows; None when another machine took the last use at this moment."""
    try:
        return use.open()
    except HoldoutError:
        return None


def _groups(data: Dataset, part: Part) -> Array | None:
    import pandas as pd

    return None if data.group is None else np.asarray(pd.factorize(part.frame[data.group])[0])


def _scored_side(
    side: Side, compute: Callable[[], Scores], truth: Truth | None = None, metric: Metric | None = None
) -> tuple[Side, Answers | None]:
    try:
        scores = compute()
        score = scores.value
        if metric is not None and truth is not None and scores.answers is not None:
            score = leaver_of(metric, truth, scores.answers).whole
    except ModelError as error:
        return replace(side, fault=str(error)), None
    side = replace(
        side,
        score=score,
        metrics=scores.metrics,
        losses=scores.losses,
        rows=scores.rows,
        rows_sha256=scores.rows_sha256,
        predictions_sha256=scores.predictions_sha256,
    )
    return side, scores.answers


def _stored_answer(evaluated: Sequence[Evidence]) -> dict[str, Any]:
    """Return what is stored of an answer, as plain values (NaN included); several challengers are keyed by file digest.

    The form for one challenger is older than that for several: answers stored in it are still found.
    """
    champion = {"champion": _stored_side(evaluated[0].champion, shows=evaluated[0].shows_estimates)}
    answers = {
        evidence.challenger.model_sha256: {
            "challenger": _stored_side(evidence.challenger, shows=evidence.shows_estimates),
            "paired": _stored_paired(evidence.paired) if evidence.paired else None,
            "unpaired": evidence.unpaired,
            "slices": [vars(part) for part in evidence.slices],
        }
        for evidence in evaluated
    }
    return champion | (next(iter(answers.values())) if len(evaluated) == 1 else {"challengers": answers})


def _stored_side(side: Side, *, shows: bool) -> dict[str, Any]:
    figures = {figure.name: getattr(side, figure.name) for figure in fields(HoldoutFigures)}
    losses = list(side.losses) if shows else []  # from a row's losses its target can be guessed
    return {**figures, "metrics": dict(side.metrics), "losses": losses}


def _stored_paired(paired: PairedGain) -> dict[str, Any]:
    return {**vars(paired), "draws": paired.draws.as_json() if paired.draws else None}


def _paired_restored(stored: Mapping[str, Any]) -> PairedGain:
    draws = stored.get("draws")
    return PairedGain(**{**stored, "draws": Draws.from_json(draws) if draws else None})


def _restored(evidence: Evidence, stored: Mapping[str, Any]) -> Evidence:
    def side(unscored: Side, figures: Mapping[str, Any]) -> Side:
        return replace(unscored, **{**figures, "losses": tuple(figures["losses"])})

    answer = stored["challengers"][evidence.challenger.model_sha256] if "challengers" in stored else stored
    return replace(
        evidence,
        challenger=side(evidence.challenger, answer["challenger"]),
        champion=side(evidence.champion, stored["champion"]),
        paired=_paired_restored(answer["paired"]) if answer["paired"] else None,
        unpaired=answer["unpaired"],
        slices=tuple(Slice(**part) for part in answer["slices"]),
    )


def check_slices(columns: Sequence[str], data: Dataset) -> None:
    """Raise UnknownNameError if the dataset lacks one of these columns."""
    for name in columns:
        if name not in data.columns:
            raise UnknownNameError(f"column of {data.ref} in promotion.slices", name, data.columns)


def cut_slices(
    columns: Sequence[str], data: Dataset, part: Part, metric: Metric, truth: Truth, both: tuple[Answers, Answers]
) -> tuple[Slice, ...]:
    """Compare both models on the rows of each value of each column: return one slice per value, in column order."""
    pieces = []
    for name in columns:
        for value, places in _slice_rows(name, data, part):
            new, old = (_slice_score(metric, truth.at(places), answers.at(places)) for answers in both)
            pieces.append(Slice(name, value, len(places), new, old, gain(metric.direction, new, old)))
    return tuple(pieces)


def _slice_score(metric: Metric, truth: Truth, answers: Answers) -> float:
    try:
        return float(metric.score(truth, answers))
    except Exception:  # noqa: BLE001 - undefined for these rows, as with a single class, or a user's own metric
        return float("nan")


def _slice_rows(name: str, data: Dataset, part: Part) -> Iterator[tuple[str, Array]]:
    import pandas as pd

    column, training = part.frame[name], data.train.frame[name]
    names: list[str] = []
    if data.columns[name] in ("integer", "number") and training.nunique() > SLICE_VALUES:
        edges = np.unique(np.nanquantile(training.to_numpy(dtype=float), [0.25, 0.5, 0.75]))
        codes = np.searchsorted(edges, column.to_numpy(dtype=float), side="left")
        names = [f"to {edges[0]:.4g}", *(f"{a:.4g} to {b:.4g}" for a, b in itertools.pairwise(edges))]
        names.append(f"over {edges[-1]:.4g}")
        labels = pd.Series(names).take(codes).reset_index(drop=True)
    else:
        common = set(training.astype(str).value_counts().index[:SLICE_VALUES])
        labels = column.astype(str).reset_index(drop=True)
        labels = labels.where(labels.isin(common), "others")
    labels = labels.where(~column.isna().reset_index(drop=True), "missing")
    here = set(labels)
    for value in [*(name for name in names if name in here), *sorted(here - set(names))]:
        yield str(value), np.flatnonzero((labels == value).to_numpy())
