"""The gain of a challenger is paired with its error, and a holdout says which gain it can find."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.leave_one_out_methods import METHODS
from notebooks_lib.metrics.metric import Answers, Truth, own_metric
from notebooks_lib.promotion.decision import decide
from notebooks_lib.promotion.holdout_power import holdout_power
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.selftest import planted_evidence
from tests.metrics.models import answers
from tests.promotion.test_decision import evidence, paired


def test_every_metric_is_known_or_computed_anew():
    assert set(METRICS) - set(METHODS) == {"median_ae"}
    truth, model, other = answers("regression", rows=90)
    gain_here = paired_gain(METRICS["median_ae"], truth, model, other)
    assert (gain_here.by, gain_here.blocks) == ("blocks", 40)


def test_a_better_model_has_a_gain_whatever_the_direction():
    truth, model, _ = answers("regression")
    near = Answers(truth.values + 0.1 * (model.values - truth.values))
    for name in ("rmse", "r2"):
        assert paired_gain(METRICS[name], truth, near, model).lower(0.001) > 0
        assert paired_gain(METRICS[name], truth, model, near).upper(0.001) < 0


def test_swapping_the_models_turns_the_sign():
    truth, one, other = answers("classification")
    for name in ("auc", "f1", "log_loss", "mcc"):
        there, back = paired_gain(METRICS[name], truth, one, other), paired_gain(METRICS[name], truth, other, one)
        assert there.gain == pytest.approx(-back.gain)
        assert there.standard_error == pytest.approx(back.standard_error)


def test_rows_of_a_group_go_together():
    truth, one, other = answers("regression")
    gain_here = paired_gain(METRICS["rmse"], truth, one, other, groups=np.repeat(np.arange(20), 3))
    assert (gain_here.by, gain_here.blocks, gain_here.rows) == ("groups", 20, 60)
    with pytest.raises(ValueError, match="not by both"):
        paired_gain(METRICS["rmse"], truth, one, other, groups=np.repeat(np.arange(20), 3), times=np.arange(60))


def test_rows_are_put_in_the_order_of_time():
    truth, one, other = answers("regression", rows=200)
    shuffled = np.random.default_rng(0).permutation(200)
    when = np.arange(200).astype("datetime64[D]")
    straight = paired_gain(METRICS["rmse"], truth, one, other, times=when)
    mixed = paired_gain(METRICS["rmse"], *(each.at(shuffled) for each in (truth, one, other)), times=when[shuffled])
    assert (straight.by, straight.blocks) == ("time", 10)
    assert mixed.standard_error == pytest.approx(straight.standard_error)
    assert mixed.autocorrelation == pytest.approx(straight.autocorrelation)
    costly = paired_gain(METRICS["median_ae"], truth, one, other, times=when)
    assert costly.autocorrelation is not None
    assert abs(costly.autocorrelation) < 0.3


def test_rows_that_tell_classifiers_apart_are_counted():
    truth, one, other = answers("classification")
    gain_here = paired_gain(METRICS["accuracy"], truth, one, other)
    assert gain_here.differing == int((one.values != other.values).sum())
    assert gain_here.rarer == min(int((truth.values == name).sum()) for name in truth.classes)
    doubtful = replace(one, probabilities=one.probabilities * 0.99 + 0.005)
    assert paired_gain(METRICS["accuracy"], truth, one, doubtful).differing == 0
    assert paired_gain(METRICS["brier"], truth, one, doubtful).differing == int(
        (one.probabilities != 0.5).any(axis=1).sum()
    )
    absent = Truth(truth.values, np.array([*truth.classes, "dog"]))
    assert paired_gain(METRICS["accuracy"], absent, one, other).rarer == 0
    assert paired_gain(METRICS["rmse"], *answers("regression")).rarer is None


def cost(truth, predicted):
    """A missed bee is five times as bad as a false one."""
    return float(np.mean(np.where(truth == "bee", 5.0, 1.0) * (truth != predicted)))


def spread(truth, predicted, probabilities):
    return float(probabilities[:, 1].std())


def test_a_users_function_can_decide():
    metric = own_metric(cost, "min", task="classification")
    truth, one, other = answers("classification", rows=300)
    gain_here = paired_gain(metric, truth, one, other)
    assert (metric.name, gain_here.by, gain_here.blocks) == ("cost", "blocks", 40)
    by_row = paired_gain(METRICS["accuracy"], truth, one, other)
    assert gain_here.differing == by_row.differing
    assert gain_here.gain == pytest.approx(cost(truth.values, other.values) - cost(truth.values, one.values))
    assert own_metric(spread, "max", task="classification").needs_probabilities
    assert paired_gain(own_metric(spread, "max", task="classification"), truth, one, other).gain != 0


def test_a_users_function_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "our_costs.py").write_text("def cost(truth, predicted):\n    return abs(truth - predicted).max()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    builtin.check("our_costs:cost:min")
    gain_here = builtin.find("our_costs:cost:min")
    assert (gain_here.name, gain_here.direction, gain_here.task, gain_here.own) == ("cost", "min", "regression", True)
    assert gain_here.score(Truth(np.array([1.0, 2.0])), Answers(np.array([1.0, 5.0]))) == 3.0
    assert builtin.find("our_costs:cost:max:classes").task == "classification"
    for text, says in (
        ("our_costs:price:min", "has no attribute 'price'"),
        ("no_such_module:cost:min", "No module named"),
        ("our_costs:cost:up", "module:function:min or :max"),
        ("our_costs:cost:min:words", "and :classes after it"),
    ):
        with pytest.raises(UsageError, match=says):
            builtin.find(text)
    sys.modules.pop("our_costs")


def test_it_takes_about_a_millisecond():
    for name in ("rmse", "f1", "auc"):
        truth, one, other = answers(METRICS[name].task, rows=500)
        began = time.process_time()
        for _ in range(20):
            paired_gain(METRICS[name], truth, one, other)
        assert (time.process_time() - began) / 20 < 0.02  # several times what it takes, for a machine that is busy


LEVEL = Policy().level(None)
Draw = Callable[[np.random.Generator, float], tuple]


def errors(noise: Callable[[np.random.Generator], np.ndarray]) -> Draw:
    """Absolute errors that the challenger lowers by a true gain, give or take some noise."""

    def draw(random, gain):
        moved = noise(random) + gain
        return METRICS["mae"], Truth(np.zeros(len(moved))), Answers(np.abs(moved)), Answers(np.abs(moved) + moved)

    return draw


def rare_class(random, gain):
    """Recall of a class that a tenth of 400 rows are of."""
    ill = random.random(400) < 0.1
    lucky = random.random((2, 400))
    new, old = lucky[0] < 0.5 + gain, lucky[1] < 0.5
    answers = (Answers((answers_given & ill).astype(int)) for answers_given in (new, old))
    return METRICS["recall"], Truth(ill.astype(int), np.array([0, 1])), *answers


def promoted(draw: Draw, gain: float, holdouts: int, policy: Policy) -> float:
    random = np.random.default_rng(7)
    count = 0
    for _ in range(holdouts):
        metric, truth, new, old = draw(random, gain)
        paired = paired_gain(metric, truth, new, old)
        count += decide(planted_evidence(metric, truth, new, old, paired, uses=policy.uses), policy).answer == "promote"
    return count / holdouts


CASES = {
    "normal": errors(lambda random: random.normal(size=120)),
    "t with 6 df": errors(lambda random: random.standard_t(6, size=200)),
    "rare losses": errors(lambda random: 1 - random.exponential(size=200)),
    "a rare class": rare_class,
}


@pytest.mark.parametrize("name", CASES)
def test_the_detectable_gain_is_promoted_as_often_as_it_says(name: str):
    policy, draw = Policy(), CASES[name]
    random = np.random.default_rng(3)
    answers_given = [holdout_power(paired_gain(*draw(random, 0.0)), policy, LEVEL).detectable for _ in range(30)]
    assert np.isfinite(answers_given).mean() > 0.5
    share = promoted(draw, float(np.median(answers_given)), 200, policy)
    assert 0.71 < share < (0.96 if name == "a rare class" else 0.89)  # a share varies less as it nears one


def test_a_rule_that_stands_in_the_way_of_every_gain_is_named_with_the_rows_that_it_needs():
    few = paired_gain(*rare_class(np.random.default_rng(1), 0.0))
    strict = Policy(min_class_rows=60)
    ahead = holdout_power(few, strict, LEVEL)
    assert (ahead.obstacle, ahead.detectable) == ("class_rows", math.inf)
    assert ahead.fails > 0.2
    assert ahead.rows_for(0.3) == ahead.rows_needed
    assert 500 < ahead.rows_needed < 900
    assert holdout_power(few, Policy(min_class_rows=1), LEVEL).obstacle == ""
    heavy = paired_gain(*errors(lambda random: random.standard_cauchy(size=60))(np.random.default_rng(2), 0.0))
    assert holdout_power(heavy, Policy(), LEVEL).obstacle == "one_row"


def test_rows_needed_fall_with_the_square_of_the_worthwhile_gain():
    ahead = holdout_power(paired_gain(*CASES["normal"](np.random.default_rng(0), 0.0)), Policy(), LEVEL)
    reach = ahead.detectable
    assert ahead.rows_for(reach) in (120, 121)
    assert ahead.rows_for(reach / 2) in (480, 481)
    assert ahead.rows_for(0.0) is None
    higher = holdout_power(paired_gain(*CASES["normal"](np.random.default_rng(0), 0.0)), Policy(min_gain=0.5), LEVEL)
    assert higher.detectable == pytest.approx(reach + 0.5)
    assert higher.rows_for(0.5 + reach / 2) in (480, 481)
    assert higher.rows_for(0.5) is None


def test_without_draws_it_is_the_reach_of_the_interval():
    metric, truth, new, old = CASES["normal"](np.random.default_rng(0), 0.0)
    timed = paired_gain(metric, truth, new, old, times=np.arange(120))
    assert timed.draws is None
    power = holdout_power(timed, Policy(), LEVEL)
    assert power.detectable > 2.5 * timed.standard_error
    assert power.interval_only
    assert not holdout_power(paired_gain(metric, truth, new, old), Policy(), LEVEL).interval_only


def test_in_the_order_of_time_the_answer_says_that_other_rules_are_not_counted():
    open_question = replace(paired(gain=0.3), by="time", autocorrelation=0.0)
    summary = decide(evidence(paired=open_question), Policy()).summary
    assert "in 80% of cases by the interval alone, without the other rules" in summary
