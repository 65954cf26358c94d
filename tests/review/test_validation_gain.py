"""Better, worse or no difference found: by models, not by what was logged; paired; for all metrics at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from notebooks_lib.datasets import holdout_ledger
from notebooks_lib.metrics.builtin import score_all
from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.promotion.model_scoring import Scores
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.selftest import CASES, EQUAL, LIMIT, population, tables
from notebooks_lib.review import validation_gain
from notebooks_lib.review.notebook_review import MetricChange
from notebooks_lib.review.validation_gain import ModelComparer, ScoredPair, paired_by_seed, two_sided
from notebooks_lib.settings import Settings
from notebooks_lib.statistics import blocks, paired_jackknife
from notebooks_lib.statistics.paired_jackknife import PairedGain
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.query import RunInfo
from tests.promotion.conftest import Trials, better, middling, worse, write_houses

FINGERPRINT = "0" * 64
NUMBERS = ("mae", "r2", "rmse")
CLASSES = ("accuracy", "auc", "brier", "f1")


@dataclass
class Planted(ModelComparer):
    """Compares answers that are given instead of models in a store; all else is the real thing."""

    pairs: tuple[ScoredPair, ...] = ()

    def _scored(self, task: Any) -> list[ScoredPair] | str:
        return list(self.pairs)


def logged(metrics: dict[str, float], data: str = f"planted@1#{FINGERPRINT}") -> RunInfo:
    tags = {f"{Tag.DATASET_PREFIX}{data.partition('@')[0]}": data} if data else {}
    return RunInfo("run", "", "", "1", "FINISHED", 0, metrics, {}, tags)


def pair_of(truth: Truth, base: Answers, head: Answers) -> ScoredPair:
    task = "regression" if truth.classes is None else "classification"
    scores = [
        Scores(0.0, score_all(task, truth, answers), len(truth.values), "", "", answers=answers)  # type: ignore[arg-type]
        for answers in (base, head)
    ]
    return ScoredPair(truth, *scores)


def compare(pair: ScoredPair, names: tuple[str, ...], **values: dict[str, float]) -> tuple[MetricChange, ...]:
    """All of what `review` does with the two models' answers."""
    runs = {side: [logged({**getattr(pair, side).metrics, **values.get(side, {})})] for side in ("base", "head")}
    runs = {side: [logged({name: run.metrics[name] for name in names}) for run in runs[side]] for side in runs}
    planted = Planted(None, runs["base"], runs["head"], Policy(), (pair,))  # type: ignore[arg-type]
    return planted.compare()


def verdicts(changes: tuple[MetricChange, ...]) -> set[str]:
    return {change.gain.verdict if change.gain else change.no_gain_because for change in changes}


def equal_pairs(count: int) -> list[tuple[ScoredPair, tuple[str, ...]]]:
    """Pairs whose true gain is zero: in one metric, by weights of the rows; and in all, by swapping rows at random."""
    pairs = []
    for name, metric, new, old, rows in CASES:
        random = np.random.default_rng([29, *map(ord, name + metric + new + old)])
        table, weights = tables()[name], population(name, metric, new, old)
        for number in range(count // len(CASES)):
            places = weights.draw(rows, random) if number % 2 else random.integers(0, len(table.truth.values), rows)
            head, base = (table.models[model].at(places) for model in (new, old))
            names: tuple[str, ...] = (metric,)
            if not number % 2:
                base, head = swapped(base, head, random.random(rows) < 0.5)
                names = NUMBERS if table.truth.classes is None else CLASSES
            pairs.append((pair_of(table.truth.at(places), base, head), names))
    return pairs


def swapped(one: Answers, other: Answers, where: Any) -> tuple[Answers, Answers]:
    def mixed(first: Answers, second: Answers) -> Answers:
        if first.probabilities is None or second.probabilities is None:
            return Answers(np.where(where, first.values, second.values))
        chances = np.where(where[:, None], first.probabilities, second.probabilities)
        return Answers(np.where(where, first.values, second.values), chances)

    return mixed(one, other), mixed(other, one)


def clear_pairs(count: int) -> list[tuple[ScoredPair, tuple[str, ...]]]:
    pairs = []
    random = np.random.default_rng(29)
    for name, model, names in (("diabetes", "line", NUMBERS), ("cancer", "logistic", CLASSES)):
        table = tables()[name]
        for _ in range(count // 2):
            places = random.integers(0, len(table.truth.values), size=300)
            strong = table.models[model].at(places)
            weak = strong.at(random.permutation(len(places)))  # it has learnt almost nothing
            pairs.append((pair_of(table.truth.at(places), weak, strong), names))
    return pairs


def false_verdicts(count: int) -> int:
    return sum(bool({"better", "worse"} & verdicts(compare(pair, names))) for pair, names in equal_pairs(count))


@pytest.mark.proof
def test_equal_models_are_called_different_no_more_often_than_one_time_in_twenty() -> None:
    wrong = false_verdicts(EQUAL)
    print(f"{wrong} of {EQUAL} equal pairs called better or worse, at most {LIMIT}")
    assert wrong <= LIMIT


def test_some_equal_and_all_clear_ones() -> None:
    assert false_verdicts(40) <= stats.binom.ppf(1 - 1e-6, 40, 0.05)
    for pair, names in clear_pairs(40):
        assert verdicts(compare(pair, names)) == {"better"}
        assert verdicts(compare(replace(pair, base=pair.head, head=pair.base), names)) == {"worse"}


def steady_gain() -> ScoredPair:
    """Errors correlated 0.999, and a small steady gain: it shows only where rows are paired."""
    random = np.random.default_rng(29)
    old = np.abs(random.normal(size=200)) + 1
    noise = random.normal(size=200)
    noise -= np.polyval(np.polyfit(old, noise, 1), old)
    new = old - 0.02 + noise / noise.std() * old.std() * np.sqrt(1 / 0.999**2 - 1)
    return pair_of(Truth(np.zeros(200)), Answers(old), Answers(new))


def test_rows_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(compare(steady_gain(), ("mae",))) == {"better"}

    def unpaired(metric: Any, truth: Truth, head: Answers, base: Answers, **ignored: Any) -> PairedGain:
        rows = blocks.single_rows(len(truth.values))
        sides = [leaver_of(metric, truth, answers) for answers in (head, base)]
        error = math.hypot(*(paired_jackknife.standard_error(side.without(rows)) for side in sides))
        count = len(truth.values)
        return PairedGain(
            metric.gain(*(side.whole for side in sides)), error, count - 1, count, count, "rows", count, 0.0
        )

    monkeypatch.setattr(validation_gain, "paired_gain", unpaired)
    assert verdicts(compare(steady_gain(), ("mae",))) == {"no difference found"}, "the mutant does not find it"


def by_p_value(p: float) -> PairedGain:
    return PairedGain(float(stats.t.isf(p / 2, 59)), 1.0, 59, 60, 60, "rows", 60, 0.0)


def test_a_notebook_with_many_metrics_is_not_called_different_by_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*p_values: float) -> list[str]:
        asked = [validation_gain._Comparison(MetricChange("m", 0, 0), by_p_value(p), "rows") for p in p_values]
        return [change.gain.verdict for change in validation_gain.judged(asked) if change.gain]

    assert two_sided(by_p_value(0.03)) == pytest.approx(0.03)
    assert judge(0.049) == ["better"]
    assert judge(0.051) == ["no difference found"]
    assert judge(0.03, 0.03) == ["no difference found"] * 2
    assert judge(0.024, 0.049) == ["better", "better"]
    assert judge(0.016, 0.026, 0.04) == ["better", "no difference found", "no difference found"]
    monkeypatch.setattr(validation_gain, "holm", lambda p_values, alpha: [alpha] * len(p_values))
    assert judge(0.03, 0.03) == ["better"] * 2, "the mutant without Holm's correction"


def test_the_interval_is_of_the_gain_whatever_the_direction() -> None:
    (mae, r2, rmse) = compare(clear_pairs(2)[0][0], NUMBERS)
    for change in (mae, r2, rmse):
        assert change.gain is not None
        assert 0 < change.gain.lower < change.gain.gain < change.gain.upper
        assert change.gain.of == "300 validation rows"
    assert mae.head is not None
    assert mae.base is not None
    assert mae.gain is not None
    assert mae.gain.gain == pytest.approx(mae.base - mae.head)


def test_too_few_rows_and_too_few_that_differ_have_no_interval() -> None:
    truth = Truth(np.arange(29.0))
    few = pair_of(truth, Answers(truth.values + 9), Answers(truth.values + np.linspace(0, 1, 29)))
    assert verdicts(compare(few, ("rmse",))) == {"29 validation rows, at least 30 wanted"}
    classes = np.tile([0, 1], 100)
    almost = classes.copy()
    almost[:5] = 1 - almost[:5]
    pair = pair_of(Truth(classes, np.array([0, 1])), Answers(almost), Answers(classes))
    assert verdicts(compare(pair, ("accuracy",))) == {"the two differ on 5 validation rows, at least 10 wanted"}


def test_the_same_answers_are_no_difference() -> None:
    pair = clear_pairs(2)[1][0]
    (accuracy, *_) = compare(replace(pair, head=pair.base), CLASSES)
    assert accuracy.gain is not None
    assert (accuracy.gain.gain, accuracy.gain.lower, accuracy.gain.upper) == (0, 0, 0)
    assert accuracy.gain.verdict == "no difference found"


def test_rows_of_a_group_are_left_out_together() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 20)
    shift = random.normal(0.4, 1.0, 30)[groups]  # all rows of a group say the same
    truth = Truth(np.zeros(600))
    pair = pair_of(truth, Answers(5 + shift), Answers(np.full(600, 5.0) + 0.001 * random.normal(size=600)))
    (alone,), (together,) = compare(pair, ("mae",)), compare(replace(pair, groups=groups), ("mae",))
    assert alone.gain is not None
    assert together.gain is not None
    assert together.gain.of == "600 validation rows in 30 groups"
    widths = [change.gain.upper - change.gain.lower for change in (alone, together) if change.gain]
    assert widths[1] > 3 * widths[0]


def test_seeds_are_the_paired_t_test() -> None:
    base, head = [5.0, 6.0, 5.5, 5.8], [4.9, 5.7, 5.6, 5.5]
    test = stats.ttest_rel(base, head)
    gains = paired_by_seed("min", base, head)
    assert two_sided(gains) == pytest.approx(test.pvalue)
    assert (gains.lower(0.025), gains.upper(0.025)) == pytest.approx(tuple(test.confidence_interval(0.95)))


@pytest.mark.parametrize("name", ["rmse", "profit"])
def test_a_constant_gain_over_seeds_has_no_spread_made_of_rounding(name: str) -> None:
    base = [0.1, 0.2, 0.7]
    head = [value + 0.3 for value in base]
    assert len({new - old for old, new in zip(base, head, strict=True)}) > 1, "in the last digit"
    change = by_seeds(name, base, head)
    assert change.gain is None
    assert change.no_gain_because.endswith("; the gain is the same with every seed")


def by_seeds(name: str, base: list[float], head: list[float], data: str = "") -> MetricChange:
    sides = [[logged({name: value}, data) for value in values] for values in (base, head)]
    (change,) = ModelComparer(None, *sides).compare()  # type: ignore[arg-type]
    return change


def test_seeds_give_logged_numbers_an_interval() -> None:
    up, down = [1.0, 1.1, 0.9, 1.0], [0.5, 0.6, 0.45, 0.5]
    for name, verdicts in (("rmse", ("worse", "better")), ("profit", ("higher", "lower"))):
        changes = by_seeds(name, down, up), by_seeds(name, up, down)
        assert tuple(change.gain.verdict for change in changes if change.gain) == verdicts
        for change in changes:
            assert change.gain is not None
            assert (change.gain.of, change.no_gain_because) == ("4 seeds, as logged", "")
            assert change.gain.lower < change.gain.gain < change.gain.upper
    interval = stats.ttest_rel(up, down).confidence_interval(0.95)
    profit = by_seeds("profit", down, up).gain
    assert profit is not None
    assert (profit.lower, profit.upper) == pytest.approx(tuple(interval)), "head - base"
    two = ModelComparer(None, *[[logged({"profit": v}, f"a@1#{FINGERPRINT}") for v in side] for side in (down, up)])  # type: ignore[arg-type]
    assert two.compare()[0].gain == profit, "with a dataset, too"


def test_a_mean_over_seeds_is_called_one() -> None:
    same = by_seeds("profit", [1.0, 1.0], [2.0, 2.0])
    assert same.gain is None
    assert same.no_gain_because.startswith("mean of 2 seeds; the runs recorded no dataset: ")
    assert same.no_gain_because.endswith("; no seed changes anything")
    assert by_seeds("profit", [0.1, 0.2, 0.7], [0.1, 0.2, 0.7]).no_gain_because.endswith(
        "; the gain is the same with every seed"
    )
    sides = [[logged({"profit": 1.0, "loss": 1.0}), logged({"loss": 2.0})] for _ in range(2)]
    some = ModelComparer(None, *sides).compare()[1]  # type: ignore[arg-type]
    assert (some.base, some.gain) == (None, None)
    assert some.no_gain_because.startswith("logged by 1 of 2 runs of the base, logged by 1 of 2 runs of the head; ")
    sides = [[logged({"profit": value}) for value in (1.0, 3.0)], [logged({}) for _ in range(2)]]
    (gone,) = ModelComparer(None, *sides).compare()  # type: ignore[arg-type]
    assert (gone.base, gone.head, gone.no_gain_because) == (2.0, None, "mean of 2 seeds; no run of the head logged it")
    (new,) = ModelComparer(None, [], [logged({"profit": value}) for value in (1.0, 3.0)]).compare()  # type: ignore[arg-type]
    assert (new.head, new.no_gain_because) == (2.0, "mean of 2 seeds; the base has no run")
    (new,) = ModelComparer(None, [], [logged({"profit": 1.0})], is_new=True).compare()  # type: ignore[arg-type]
    assert (new.base, new.no_gain_because) == (None, "the notebook is new")
    assert by_seeds("profit", [1.0], [2.0]).no_gain_because.startswith("the runs recorded no dataset")


@pytest.mark.tracking
def test_models_decide_and_not_what_was_logged(project: Settings, trials: Trials, houses: Any) -> None:
    good = trials.fitted(better(), houses, rmse=9.0)
    bad = trials.fitted(worse(), houses, rmse=0.001)
    infos = [query.get_run(trials.store, run_id) for run_id in (good, bad)]
    (rmse,) = ModelComparer(trials.store, [infos[0]], [infos[1]]).compare()
    assert rmse.gain is not None
    assert rmse.gain.verdict == "worse", "by what was logged the head is much better"
    assert (rmse.logged_base, rmse.logged_head) == (9.0, 0.001)
    assert rmse.base is not None
    assert rmse.base < 1 < rmse.head
    assert rmse.gain.gain == pytest.approx(rmse.base - rmse.head)

    assert not (project.layout.state / "holdout.jsonl").exists(), "no holdout row was read"
    assert trials.store.client.get_experiment_by_name(holdout_ledger.EXPERIMENT) is None
    honest = query.get_run(trials.store, trials.fitted(middling(), houses))
    (rmse,) = ModelComparer(trials.store, [infos[0]], [honest]).compare()
    assert rmse.logged_head is None
    assert rmse.head == pytest.approx(honest.metrics["rmse"])


@pytest.mark.tracking
def test_why_there_is_no_interval(project: Settings, trials: Trials, houses: Any, tmp_path: Path) -> None:
    from notebooks_lib import datasets

    def infos(*run_ids: str) -> list[RunInfo]:
        return [query.get_run(trials.store, run_id) for run_id in run_ids]

    other = datasets.add(write_houses(tmp_path / "more.csv", rows=400), "houses", project)
    old = trials.fitted(middling(), houses)
    (base,) = infos(old)
    for head, why in (
        (trials.run({"rmse": 1.0}, dataset=houses), "has no model: log one with"),
        (trials.fitted(middling(), other), "the runs used other data: houses@1 and houses@2"),
        (trials.run({"rmse": 1.0}), "the runs used other data: houses@1 and none"),
        (trials.run({"rmse": 1.0}, dataset=houses, **{f"{Tag.DATASET_PREFIX}b": f"b@1#{FINGERPRINT}"}), "other data"),
        (trials.run({"rmse": 1.0, "auc": 0.5}, dataset=houses), "has no model"),
    ):
        changes = {change.name: change for change in ModelComparer(trials.store, [base], infos(head)).compare()}
        assert changes["rmse"].gain is None
        assert why in changes["rmse"].no_gain_because
        assert "\n" not in changes["rmse"].no_gain_because
        assert changes["rmse"].base == base.metrics["rmse"]
    own = trials.fitted(middling(), houses, metric="cost")
    (cost, rmse) = ModelComparer(trials.store, infos(own), [base]).compare()
    assert cost.no_gain_because == "the head's run did not log it"
    assert (cost.base is None, cost.head) == (False, None)
    assert rmse.gain is not None, "the base did not log it, and its model has it all the same"
    (alone,) = ModelComparer(trials.store, [], [base]).compare()
    assert (alone.base, alone.no_gain_because) == (None, "the base has no run")


@pytest.mark.tracking
def test_models_that_bring_code_are_loaded_only_where_settings_trust_them(
    project: Settings, trials: Trials, houses: Any
) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    with_code = trials.fitted(make_pipeline(FunctionTransformer(lambda rows: rows), Ridge()), houses)
    runs = [query.get_run(trials.store, run_id) for run_id in (trials.fitted(middling(), houses), with_code)]
    (rmse,) = ModelComparer(trials.store, runs[:1], runs[1:]).compare()
    assert rmse.gain is not None
    careful = project.model_copy(update={"promotion": project.promotion.model_copy(update={"trusted_flavors": ()})})
    (rmse,) = ModelComparer(replace(trials.store, settings=careful), runs[:1], runs[1:]).compare()
    assert rmse.gain is None
    assert "trusted_flavors" in rmse.no_gain_because
