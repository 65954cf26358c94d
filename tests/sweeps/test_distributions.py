"""Distributions are parsed from texts and mappings, and each gives the quantiles of its formula."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.sweeps import distributions
from notebooks_lib.sweeps.distributions import Choice, Int, Normal, Uniform, exact_multiple
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace
from tests.sweeps.building import kind

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
def test_continuous_values_follow_the_formula(distribution, share, value):
    assert distribution.at(share) == pytest.approx(value)


@given(share=SHARES, q=st.sampled_from([0.1, 0.25, 0.5, 1.0, 3.0, 7.5]), log=st.booleans())
def test_q_forms_round_to_a_multiple(share, q, log):
    for plain in (Uniform(0.5, 40, log=log), Normal(1, 0.8, log=log)):
        rounded = type(plain)(*list(vars(plain).values())[:2], q=q, log=log).at(share)
        assert rounded == pytest.approx(round(plain.at(share) / q) * q)
        assert type(rounded) is (int if q.is_integer() else float)


def test_multiples_have_no_rounding_noise():
    assert [exact_multiple(k, 0.1) for k in (3, 7, -3)] == [0.3, 0.7, -0.3]
    assert repr(exact_multiple(3, 1e-5)) == "3e-05"


@given(share=SHARES, low=st.floats(-3, 3), width=st.floats(0.01, 5))
def test_a_truncated_normal_equals_rejection_sampling(share, low, width):
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
def test_a_distribution_prints_as_it_is_written(distribution, text):
    assert str(distribution) == text


@pytest.mark.parametrize(
    ("annotation", "given", "distribution"),
    [
        ("int", "int(1,5)", Int(1, 5)),
        ("int", " int ( -1e1 , +5 ) ", Int(-10, 5)),
        ("int", "randint(5)", Int(0, 4)),
        ("float", "uniform(0,1)", Uniform(0, 1)),
        ("float", "quniform(0,1,0.1)", Uniform(0, 1, 0.1)),
        ("float", "loguniform(1e-3, 10)", Uniform(1e-3, 10, log=True)),
        ("float", "qloguniform(1, 10, 2)", Uniform(1, 10, 2, log=True)),
        ("float", "normal(0, 1)", Normal(0, 1)),
        ("float", "qnormal(0, 1, 0.5)", Normal(0, 1, 0.5)),
        ("float", "lognormal(-2, 1)", Normal(-2, 1, log=True)),
        ("float", "qlognormal(0, 1, 1)", Normal(0, 1, 1, log=True)),
        ("str", "choice(a, b)", Choice(("a", "b"))),
        ("str", 'choice("a,b", c)', Choice(("a,b", "c"))),
        ("str", 'choice(["a,b", "c"])', Choice(("a,b", "c"))),
        ("float", "choice(1, 2)", Choice((1.0, 2.0))),
        ("int", "choice(1..3)", Choice((1, 2, 3))),
        ("list[int]", "choice([1, 2], [3])", Choice(([1, 2], [3]))),
        ("float", {"loguniform": [1e-3, 10]}, Uniform(1e-3, 10, log=True)),
        ("float", {"uniform": "0, 1"}, Uniform(0, 1)),
        ("int", {"randint": 5}, Int(0, 4)),
        ("str", {"choice": ["a", "b"]}, Choice(("a", "b"))),
        ("int", {"choice": "1..3"}, Choice((1, 2, 3))),
    ],
)
def test_texts_and_mappings_become_distributions(annotation, given, distribution):
    assert distributions.parse_distribution(given, kind(annotation)) == distribution


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("foo(1)", "unknown distribution 'foo'"),
        ("Uniform(0,1)", "did you mean 'uniform'?"),
        ("log_uniform(1,2)", "did you mean 'loguniform'?"),
        ("uniform", "allowed a distribution such as uniform(0, 1)"),
        ("", "allowed a distribution"),
        ("uniform(1,2", "allowed a distribution"),
        ("uniform(1,2)x", "allowed a distribution"),
        ("1,2", "for listed values write choice(1,2)"),
        ("1..5", "for listed values write choice(1..5)"),
        ([1, 2], "write {choice: [...]}"),
        (3, "allowed a distribution"),
        (None, "allowed a distribution"),
        ({}, "allowed a distribution"),
        ({"uniform": [0, 1], "int": [0, 1]}, "allowed a distribution"),
        ({1: [0, 1]}, "unknown distribution '1'"),
        ("uniform()", "with 0 value(s), allowed uniform(low, high)"),
        ("uniform(1)", "with 1 value(s), allowed uniform(low, high)"),
        ("quniform(1,2)", "with 2 value(s), allowed quniform(low, high, q)"),
        ("uniform(2,1)", "found 2 and 1, allowed low below high"),
        ("uniform(1,1)", "allowed low below high"),
        ("uniform(nan,1)", "found 'nan', allowed a finite number"),
        ("uniform(0,inf)", "found 'inf', allowed a finite number"),
        ("uniform(0,1e999)", "allowed a finite number"),
        ("uniform(a,b)", "found 'a', allowed a finite number"),
        ("uniform(-1e308,1e308)", "too far apart"),
        ({"uniform": [True, 2]}, "found True, allowed a finite number"),
        ({"uniform": [10**400, 2]}, "allowed a finite number"),
        ("loguniform(0,1)", "not of its logarithm"),
        ("loguniform(-7,2)", "found the lower bound -7, allowed one above 0"),
        ("quniform(0,1,0)", "found the step 0, allowed one above 0"),
        ("qnormal(0,1,-1)", "found the step -1, allowed one above 0"),
        ("normal(0,0)", "found the standard deviation 0, allowed one above 0"),
        ("int(1,1.5)", "found '1.5', allowed a whole number"),
        ("int(5,1)", "found 5 and 1, allowed low not above high"),
        ("int(0,99999999999999999999)", "beyond 2**53"),
        ("int(0," + "9" * 5000 + ")", "allowed a finite number"),
        ("randint(0)", "found 0, allowed an upper bound of 1 or more"),
        ("choice()", "found no values"),
        ("choice(1,1)", "twice"),
        ("choice(1..5000)", "found 5,000 choices, allowed at most 1,000; for numbers use int(...)"),
    ],
)
def test_errors_are_one_line(given, message):
    with pytest.raises(InvalidSearchSpace) as caught:
        distributions.parse_distribution(given, kind("float"))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@given(
    st.one_of(st.text(max_size=20), st.builds("{}({})".format, st.sampled_from(list(distributions.FORMS)), st.text()))
)
def test_any_text_is_read_or_rejected(text):
    try:
        found = distributions.parse_distribution(text, kind("float"))
    except InvalidSearchSpace:
        return
    values = found.values if isinstance(found, Choice) else (0.0,)
    assert values
    assert all(isinstance(value, float) for value in values)


NUMBERS = st.one_of(st.floats(-100, 100), st.integers(-100, 100), st.floats(allow_nan=False, allow_infinity=False))


@given(st.sampled_from([name for name in distributions.FORMS if name != "choice"]), st.lists(NUMBERS, max_size=3))
def test_a_printed_distribution_reads_back_as_equal(name, numbers):
    try:
        read = distributions.parse_distribution({name: numbers}, kind("float"))
    except InvalidSearchSpace:
        return
    assert distributions.parse_distribution(str(read), kind("float")) == read
