"""Each distribution gives the value that its formula gives, at every share of its probability."""

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.sweeps.distributions import Choice, Int, Normal, Uniform, multiple

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("distribution", "share", "value"),
    [
        (Uniform(2, 6), 0.25, 3.0),
        (Uniform(0.001, 10, log=True), 0.5, 0.1),
        (Uniform(0.001, 10, log=True), 0, 0.001),
        (Uniform(0.001, 10, log=True), 1, 10),
        (Normal(5, 2), 0.5, 5),
        (Normal(0, 1), NormalDist().cdf(1.5), 1.5),
        (Normal(1, 2, log=True), 0.5, math.e),
        (Normal(1, 2, log=True), NormalDist().cdf(1), math.exp(3)),
    ],
)
def test_continuous_values_lie_where_the_formula_says(distribution, share, value):
    assert distribution.at(share) == pytest.approx(value)


@given(share=SHARES, q=st.sampled_from([0.1, 0.25, 0.5, 1.0, 3.0, 7.5]), log=st.booleans())
def test_q_forms_round_to_a_multiple(share, q, log):
    for plain in (Uniform(0.5, 40, log=log), Normal(1, 0.8, log=log)):
        rounded = type(plain)(*list(vars(plain).values())[:2], q=q, log=log).at(share)
        assert rounded == pytest.approx(round(plain.at(share) / q) * q)
        assert type(rounded) is (int if q.is_integer() else float)


def test_multiples_carry_no_noise_of_floats():
    assert [multiple(k, 0.1) for k in (3, 7, -3)] == [0.3, 0.7, -0.3]
    assert repr(multiple(3, 1e-5)) == "3e-05"


@given(share=SHARES, low=st.floats(-3, 3), width=st.floats(0.01, 5))
def test_a_truncated_normal_is_what_drawing_again_would_give(share, low, width):
    whole, truncated = NormalDist(0.5, 1.5), Normal(0.5, 1.5, low=low, high=low + width)
    value = truncated.at(share)
    assert low <= value <= low + width
    first, last = whole.cdf(low), whole.cdf(low + width)
    assert (whole.cdf(value) - first) / (last - first) == pytest.approx(share, abs=1e-6)


def test_no_value_of_a_truncated_normal_piles_up_on_a_bound():
    draw = random.Random(0)
    values = [Normal(0, 1, low=math.nextafter(0, 1)).at(draw.random()) for _ in range(1000)]
    assert len(set(values)) == 1000
    assert min(values) > 1e-6
    assert sum(values) / 1000 == pytest.approx(math.sqrt(2 / math.pi), abs=0.1)


@given(SHARES, SHARES)
def test_values_grow_with_the_share(one, other):
    low, high = sorted((one, other))
    for distribution in (
        Uniform(-1, 5),
        Uniform(1, 50, q=0.5, log=True),
        Normal(0, 3, low=-1, high=4),
        Normal(0, 1, q=0.2, log=True),
    ):
        assert distribution.at(low) <= distribution.at(high)


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (Choice(("a", 1, None)), "choice('a', 1, None)"),
        (Int(1, 5), "int(1, 5)"),
        (Uniform(0.001, 10.0, log=True), "loguniform(0.001, 10)"),
        (Uniform(0.0, 1.0, q=0.1), "quniform(0, 1, 0.1)"),
        (Normal(0.0, 1.0, q=2.0, log=True, low=3), "qlognormal(0, 1, 2)"),
        (Normal(1e300, 1.0), "normal(1e+300, 1)"),
    ],
)
def test_it_is_shown_as_it_is_written(distribution, text):
    assert str(distribution) == text
