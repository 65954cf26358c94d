"""How much better the head's model is: both sides' scored on the same validation rows. The holdout is not read.

The gain of each metric is paired by rows (or seeds) and has its 95 % interval; a verdict is given after Holm's
correction over all metrics of the notebook.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from notebooks_lib import datasets
from notebooks_lib.datasets import Dataset
from notebooks_lib.errors import NbopsError, reason
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Direction, Metric, Task, Truth, gain
from notebooks_lib.models import logged_models, model_files
from notebooks_lib.promotion import gain_rules, holdout_rules, model_scoring
from notebooks_lib.promotion.candidate_screening import ROUNDING
from notebooks_lib.promotion.evidence import Evidence, Side
from notebooks_lib.promotion.model_scoring import Scores
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.run_ranking import data_of
from notebooks_lib.review.notebook_review import Gain, MetricChange, Verdict
from notebooks_lib.statistics.paired_jackknife import PairedGain, holm
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store

Array = np.ndarray[Any, Any]

EXACT = 1e-12
"""Share of a number below which a difference is rounding in its last digits."""
LEVEL = 0.05
"""Chance that a notebook whose models are equal has any metric called better or worse."""
BY_TASK: Mapping[Task, Metric] = {"regression": METRICS["rmse"], "classification": METRICS["accuracy"]}
"""By which a model is scored once, to have its answers for all metrics of the task."""
RULES = (
    holdout_rules.holdout_rows,
    holdout_rules.class_rows,
    holdout_rules.rows_differ,
    holdout_rules.groups_enough,
    holdout_rules.time_enough,
    gain_rules.one_row,
)
"""What rows must have for their interval to hold; the gate of promotion requires the same of the holdout."""


@dataclass(frozen=True)
class ScoredPair:
    """The models of base and head, scored on the same rows by all metrics of one task."""

    truth: Truth
    base: Scores
    head: Scores
    groups: Array | None = None
    times: Array | None = None


@dataclass(frozen=True)
class _Comparison:
    """What is known of one metric before the verdict."""

    change: MetricChange
    paired: PairedGain | None = None
    of: str = ""
    directed: bool = True
    """Whether it is known if a lower or a higher value is better."""


@dataclass
class ModelComparer:
    """Compares the metrics of the base's and the head's runs of one notebook."""

    store: Store
    base: Sequence[RunInfo]
    head: Sequence[RunInfo]
    """As many as of the base, with the same seeds, or one."""
    policy: Policy = field(default_factory=Policy)
    is_new: bool = field(default=False, kw_only=True)
    """Whether the notebook is new, so that there can be no base."""

    def compare(self) -> tuple[MetricChange, ...]:
        """Return all metrics that a run logged; with the gain, where the models can be compared."""
        names = sorted({name for run in (*self.base, *self.head) for name in run.metrics})
        if why := self._not_comparable():
            return tuple(self._as_logged(name, why) for name in names)
        no_scores = self._not_scorable()
        compared: dict[Task, list[ScoredPair] | str] = {}
        comparisons = []
        for name in names:
            metric = METRICS.get(name)
            if metric is None:
                own = "a metric of the notebook's own, which is not computed here"
                comparisons.append(self._by_logged(name, None, no_scores or own))
                continue
            if metric.task not in compared:
                compared[metric.task] = no_scores or self._scored(metric.task)
            comparisons.append(self._compare(metric, compared[metric.task]))
        return judged(comparisons)

    def _not_comparable(self) -> str:
        """Return why no numbers of the two sides can be compared, not even logged ones."""
        if self.is_new:
            return "the notebook is new"
        if not self.base or not self.head:
            return f"the {'head' if self.base else 'base'} has no run"
        if len({data_of(run) for run in (*self.base, *self.head)}) == 1:
            return ""
        names = [", ".join(tag.ref for tag in side[0].dataset_tags) or "none" for side in (self.base, self.head)]
        return f"the runs used other data: {names[0]} and {names[1]}"

    def _not_scorable(self) -> str:
        """Return why the models have no rows on which both could be scored."""
        data = data_of(self.head[0])
        if not data:
            return "the runs recorded no dataset: load it with `datasets.load(...)`"
        return "" if len(data) == 1 else f"the runs used {len(data)} datasets"

    def _as_logged(self, name: str, why: str) -> MetricChange:
        count = max(len(self.base), len(self.head))
        sides = ((self.base, "base"), (self.head, "head"))
        if absent := [side for runs, side in sides if runs and not any(name in run.metrics for run in runs)]:
            why = f"the {absent[0]}'s run did not log it" if count == 1 else f"no run of the {absent[0]} logged it"
        partly = [_partly_logged(runs, side, name) for runs, side in sides]
        about = ", ".join(filter(None, partly)) or (f"mean of {count} seeds" if count > 1 else "")
        reason = "; ".join(filter(None, (about, why)))
        return MetricChange(name, _logged(self.base, name), _logged(self.head, name), no_gain_because=reason)

    def _scored(self, task: Task) -> list[ScoredPair] | str:
        """Score the models of each pair of runs; return why that is not possible."""
        try:
            data = datasets.read(self.head[0].dataset_tags[0].ref, self.store.settings)
            if data.fingerprint not in data_of(self.head[0]):
                return f"{data.ref} is not what the runs used"
            task_metric, pairs = BY_TASK[task], zip(self.base, self.head, strict=True)
            return [self._score(data, task_metric, base, head) for base, head in pairs]
        except NbopsError as error:
            return reason(error)

    def _score(self, data: Dataset, metric: Metric, base: RunInfo, head: RunInfo) -> ScoredPair:
        part = data.validation
        truth = model_scoring.truth_of(data, part, metric)

        def score(run: RunInfo) -> Scores:
            source = logged_models.model_of_run(self.store, run.run_id).source
            model_files.check_trusted(source, self.store.settings.promotion.trusted_flavors)
            return model_scoring.score_model(source, part, metric, truth)

        return ScoredPair(truth, score(base), score(head), *_dependent_rows(data))

    def _compare(self, metric: Metric, pairs: list[ScoredPair] | str) -> _Comparison:
        if isinstance(pairs, str):
            return self._by_logged(metric.name, metric.direction, pairs)
        base = [pair.base.metrics.get(metric.name) for pair in pairs]
        head = [pair.head.metrics.get(metric.name) for pair in pairs]
        if None in base or None in head:
            return self._by_logged(metric.name, metric.direction, "a model gives no probabilities")
        return self._by_model(metric, pairs, np.array(base, dtype=float), np.array(head, dtype=float))

    def _by_model(self, metric: Metric, pairs: list[ScoredPair], base: Array, head: Array) -> _Comparison:
        change = MetricChange(
            metric.name,
            float(base.mean()),
            float(head.mean()),
            logged_base=_differing(_logged(self.base, metric.name), float(base.mean())),
            logged_head=_differing(_logged(self.head, metric.name), float(head.mean())),
        )
        by_seed = paired_by_seed(metric.direction, base, head) if len(pairs) > 1 else None
        if by_seed is not None and by_seed.sound:
            return _Comparison(change, by_seed, f"{len(pairs)} seeds")
        return self._by_rows(change, metric, pairs[0])  # also where no seed changes anything

    def _by_rows(self, change: MetricChange, metric: Metric, pair: ScoredPair) -> _Comparison:
        paired, why = compare_by_rows(metric, pair, self.policy)
        of = f"{len(pair.truth.values)} validation rows"
        if paired and paired.by == "groups":
            of += f" in {paired.blocks} groups"
        return _Comparison(replace(change, no_gain_because=why), paired, of)

    def _by_logged(self, name: str, direction: Direction | None, why: str) -> _Comparison:
        """Compare logged numbers: over seeds they have an interval, of a single run they have none.

        A `direction` of None is unknown: then the gain is head - base, and neither is better.
        """
        values = [[run.metrics.get(name, math.nan) for run in side] for side in (self.base, self.head)]
        change = self._as_logged(name, why)
        if len(self.base) < 2 or not np.isfinite(values).all():
            return _Comparison(change)
        by_seed = paired_by_seed(direction or "max", *values)
        if not by_seed.sound:
            constant = all(_constant(np.asarray(side), side) for side in values)
            because = "no seed changes anything" if constant else "the gain is the same with every seed"
            return _Comparison(replace(change, no_gain_because=f"{change.no_gain_because}; {because}"))
        of = f"{len(self.base)} seeds, as logged"
        return _Comparison(replace(change, no_gain_because=""), by_seed, of, directed=direction is not None)


def compare_by_rows(metric: Metric, pair: ScoredPair, policy: Policy) -> tuple[PairedGain | None, str]:
    """Return the gain of the head's model with its error, computed from the rows, or the reason why there is none."""
    base, head = pair.base.answers, pair.head.answers
    assert base is not None
    assert head is not None
    try:
        paired = paired_gain(metric, pair.truth, head, base, groups=pair.groups, times=pair.times)
    except Exception as error:  # noqa: BLE001 - a metric that these rows do not define
        return None, f"no interval can be computed: {reason(error)}"
    if _equal(base, head):
        return replace(paired, gain=0.0, standard_error=0.0), ""
    evidence = Evidence(
        model="",
        metric=metric.name,
        direction=metric.direction,
        dataset="",
        challenger=Side("head", rows=paired.rows),
        champion=Side("base", rows=paired.rows),
        paired=paired,
    )
    results = (rule(evidence, policy) for rule in RULES)
    failed = next((result for result in results if result is not None and not result.ok), None)
    if failed is not None:
        return None, failed.reason.replace("the holdout", "the validation rows").replace("holdout", "validation")
    return (paired, "") if paired.sound else (None, "whatever rows are left out, the gain is the same or undefined")


def _equal(base: Answers, head: Answers) -> bool:
    chances = [base.probabilities, head.probabilities]
    same = all(side is None for side in chances) or (
        all(side is not None for side in chances) and np.array_equal(*chances)  # type: ignore[arg-type]
    )
    return same and np.array_equal(base.values, head.values)


def paired_by_seed(direction: Direction, base: Iterable[float], head: Iterable[float]) -> PairedGain:
    """Return the mean gain over pairs of runs with the same seed, with its error (the paired t test)."""
    old, new = list(base), list(head)
    gains = np.array([gain(direction, *pair) for pair in zip(new, old, strict=True)])
    count = len(gains)
    error = 0.0 if _constant(gains, [*old, *new]) else float(gains.std(ddof=1)) / math.sqrt(count)
    return PairedGain(float(gains.mean()), error, count - 1, count, count, "blocks", count, math.nan)


def _constant(numbers: Array, values: Sequence[float]) -> bool:
    """Return whether numbers differ by no more than the rounding of the values that they were computed from."""
    return bool(np.ptp(numbers) <= EXACT * max(map(abs, values)))


def judged(comparisons: Sequence[_Comparison]) -> tuple[MetricChange, ...]:
    """Return the metrics of a notebook, each gain with a verdict, by Holm's correction over all of them."""
    paired_gains = [comparison.paired for comparison in comparisons if comparison.paired is not None]
    levels = iter(holm([two_sided(paired) for paired in paired_gains], LEVEL))
    return tuple(
        comparison.change
        if comparison.paired is None
        else replace(comparison.change, gain=_gain(comparison, comparison.paired, next(levels)))
        for comparison in comparisons
    )


def two_sided(paired: PairedGain) -> float:
    """Return the two-sided p-value of the hypothesis that both models are equal; 1 when it cannot be computed."""
    mirrored = replace(paired, gain=-paired.gain, skewness=-paired.skewness)
    return min(1.0, 2 * min(paired.p_value(), mirrored.p_value()))


def _gain(comparison: _Comparison, paired: PairedGain, level: float) -> Gain:
    verdict: Verdict = "no difference found"
    if two_sided(paired) < level:
        verdicts: tuple[Verdict, Verdict] = ("better", "worse") if comparison.directed else ("higher", "lower")
        verdict = verdicts[paired.gain < 0]
    lower, upper = (paired.lower(LEVEL / 2), paired.upper(LEVEL / 2)) if paired.sound else (paired.gain, paired.gain)
    return Gain(paired.gain, lower, upper, verdict, comparison.of)


def _dependent_rows(data: Dataset) -> tuple[Array | None, Array | None]:
    """Return each row's group, or else its time: rows of one group, or close in time, are not independent."""
    import pandas as pd

    frame = data.validation.frame
    if data.group is not None:
        return np.asarray(pd.factorize(frame[data.group])[0]), None
    return None, None if data.time is None else frame[data.time].to_numpy()


def _logged(runs: Sequence[RunInfo], name: str) -> float | None:
    """Return the mean of what the runs logged; None where one logged nothing."""
    values = [run.metrics.get(name) for run in runs]
    logged = [value for value in values if value is not None]
    return float(np.mean(logged)) if logged and len(logged) == len(values) else None


def _partly_logged(runs: Sequence[RunInfo], side: str, name: str) -> str:
    """Return how many runs of a side logged a metric, as a text; empty for all and for none."""
    number = sum(name in run.metrics for run in runs)
    return f"logged by {number} of {len(runs)} runs of the {side}" if 0 < number < len(runs) else ""


def _differing(logged: float | None, scored: float) -> float | None:
    """Return a logged number that is not the scored one, but for the rounding that people do."""
    if logged is None or math.isclose(logged, scored, rel_tol=ROUNDING, abs_tol=1e-9):
        return None
    return logged
