"""What a holdout is said to find, it finds: by all rules together, not by the interval alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.promotion.decision import Policy, decide
from notebooks_lib.promotion.detectable_gain import outlook
from notebooks_lib.promotion.pairing import pair
from notebooks_lib.promotion.selftest import asked

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
    answers = (Answers((said & ill).astype(int)) for said in (new, old))
    return METRICS["recall"], Truth(ill.astype(int), np.array([0, 1])), *answers


def promoted(draw: Draw, gain: float, holdouts: int, policy: Policy) -> float:
    random = np.random.default_rng(7)
    count = 0
    for _ in range(holdouts):
        metric, truth, new, old = draw(random, gain)
        paired = pair(metric, truth, new, old)
        count += decide(asked(metric, truth, new, old, paired, uses=policy.uses), policy).answer == "promote"
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
    said = [outlook(pair(*draw(random, 0.0)), policy, LEVEL).detectable for _ in range(30)]
    assert np.isfinite(said).mean() > 0.5
    share = promoted(draw, float(np.median(said)), 200, policy)
    assert 0.71 < share < (0.96 if name == "a rare class" else 0.89)  # a share varies less as it nears one


def test_a_rule_that_stands_in_the_way_of_every_gain_is_named_with_the_rows_that_it_needs():
    few = pair(*rare_class(np.random.default_rng(1), 0.0))
    strict = Policy(min_class_rows=60)
    ahead = outlook(few, strict, LEVEL)
    assert (ahead.obstacle, ahead.detectable) == ("class_rows", math.inf)
    assert ahead.fails > 0.2
    assert ahead.rows_for(0.3) == ahead.rows_needed
    assert 500 < ahead.rows_needed < 900
    assert outlook(few, Policy(min_class_rows=1), LEVEL).obstacle == ""
    heavy = pair(*errors(lambda random: random.standard_cauchy(size=60))(np.random.default_rng(2), 0.0))
    assert outlook(heavy, Policy(), LEVEL).obstacle == "one_row"


def test_rows_needed_shrink_with_the_square_of_what_is_worth_it():
    ahead = outlook(pair(*CASES["normal"](np.random.default_rng(0), 0.0)), Policy(), LEVEL)
    reach = ahead.detectable
    assert ahead.rows_for(reach) in (120, 121)
    assert ahead.rows_for(reach / 2) in (480, 481)
    assert ahead.rows_for(0.0) is None
    higher = outlook(pair(*CASES["normal"](np.random.default_rng(0), 0.0)), Policy(min_gain=0.5), LEVEL)
    assert higher.detectable == pytest.approx(reach + 0.5)
    assert higher.rows_for(0.5 + reach / 2) in (480, 481)
    assert higher.rows_for(0.5) is None


def test_without_draws_it_is_the_reach_of_the_interval():
    metric, truth, new, old = CASES["normal"](np.random.default_rng(0), 0.0)
    timed = pair(metric, truth, new, old, times=np.arange(120))
    assert timed.draws is None
    assert outlook(timed, Policy(), LEVEL).detectable > 2.5 * timed.standard_error
