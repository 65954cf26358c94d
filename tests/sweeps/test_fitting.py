"""A distribution is fitted to a parameter only if the schema allows every value that it can give."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.sweeps import fitting, notation
from notebooks_lib.sweeps.distributions import Normal
from notebooks_lib.sweeps.grid_axis import Refused
from tests.sweeps.building import kind


def fit(annotation: str, text: str) -> fitting.Dimension:
    wanted = kind(annotation)
    return fitting.fit(notation.parse(text, wanted), wanted)


@pytest.mark.parametrize(
    ("annotation", "text", "ends"),
    [
        ("float", "uniform(0, 1)", (0.0, 1.0)),
        ("float", "quniform(0, 1, 0.1)", (0.0, 1.0)),
        ("float", "quniform(0, 10, 5)", (0.0, 10.0)),
        ("int", "quniform(1, 10, 2)", (0, 10)),
        ("int", "qloguniform(1, 1000, 10)", (0, 1000)),
        ("Annotated[int, '1..20']", "qnormal(10, 5, 1)", (1, 20)),
        ("Annotated[int, '1..20']", "qnormal(10, 50, 7)", (7, 14)),
        ("Annotated[float, '[-1, 2]']", "normal(0, 1)", (-1.0, 2.0)),
        ("Annotated[float, '<=2']", "lognormal(0, 1)", (0.0, 2.0)),
        ("float | None", "uniform(0, 1)", (0.0, 1.0)),
        ("int | float", "quniform(1, 5, 1)", (1, 5)),
        ("", "quniform(1, 5, 1)", (1, 5)),
        ("", "normal(0, 1)", (-7.03, 7.03)),
    ],
)
def test_values_are_of_the_type_and_reach_from_end_to_end(annotation, text, ends):
    found = fit(annotation, text).at(0.0), fit(annotation, text).at(1.0)
    assert found == pytest.approx(ends, abs=0.01)
    assert [type(one) for one in found] == [type(one) for one in ends]


@pytest.mark.parametrize(
    ("annotation", "text", "said"),
    [
        ("Annotated[float, '>0']", "uniform(0, 1)", "uniform(0, 1): found 0.0 (float), allowed float > 0"),
        ("Annotated[float, '>0']", "quniform(0.01, 1, 0.1)", "found 0.0 (float), allowed float > 0"),
        ("Annotated[int, '1..20']", "int(1, 21)", "int(1, 21): found 21 (int), allowed int >= 1 and <= 20"),
        ("int", "uniform(1, 10)", "not all its values are whole numbers; use int(1, 10) or quniform(1, 10, 1)"),
        ("int", "uniform(0.1, 0.9)", "use quniform(0.1, 0.9, 1)"),
        ("int", "loguniform(1, 10)", "use qloguniform(1, 10, 1)"),
        ("int", "normal(1, 10)", "use qnormal(1, 10, 1)"),
        ("int", "quniform(1, 10, 0.5)", "not all its values are whole numbers"),
        ("int | None", "uniform(1, 10)", "not all its values are whole numbers"),
        ("str", "int(1, 3)", "list its values with choice(...)"),
        ("str | None", "normal(0, 1)", "list its values with choice(...)"),
        ("bool", "int(0, 1)", "found int(0, 1), allowed bool; list its values with choice(...)"),
        ("Literal[0.0, 1.0]", "uniform(0, 1)", "list its values with choice(...)"),
        ("Literal[16, 32]", "int(16, 32)", "found 17 (int), allowed one of 16, 32"),
        ("Literal[16, 32]", "int(16, 3200)", "list its values with choice(...)"),
        ("Annotated[float, '>0']", "normal(-100, 1)", "less than 1e-06 of its probability lies there"),
        ("Annotated[float, '<0']", "lognormal(0, 1)", "less than 1e-06 of its probability lies there"),
        ("Annotated[float, '[2, 1]']", "normal(0, 1)", "less than 1e-06"),
        ("Annotated[int, '1..20']", "qnormal(10, 5, 100)", "no multiple of 100 lies there"),
        ("float", "lognormal(1000, 1)", "too large for a float"),
        ("float", "lognormal(0, 1000)", "too large for a float"),
        ("float", "normal(0, 1e308)", "too large for a float"),
        ("float", "quniform(1, 1e300, 1e-300)", "too large for a float"),
        ("Annotated[float, '<1'] | Annotated[float, '>2']", "uniform(0, 3)", "there are values between its bounds"),
    ],
)
def test_what_does_not_suit_is_refused_with_the_way_out(annotation, text, said):
    with pytest.raises(Refused) as caught:
        fit(annotation, text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_literal_of_consecutive_numbers_takes_whole_numbers():
    assert fit("Literal[1, 2, 3]", "int(1, 3)").at(2) == 2


def test_choices_keep_their_types():
    dimension = fit("float | str | None", "choice(1, auto, None)")
    assert [dimension.at(place) for place in range(3)] == [1.0, "auto", None]


ANNOTATIONS = [
    "float",
    "int",
    "",
    "float | None",
    "int | str",
    "Literal[1, 2, 3]",
    "Annotated[float, '>0']",
    "Annotated[float, '[-1, 1)']",
    "Annotated[int, '>=1']",
    "Annotated[int, '(-3, 30]']",
]
NUMBERS = st.one_of(
    st.integers(-5, 50), st.floats(-5, 50), st.floats(allow_nan=False, allow_infinity=False), st.just(1e-300)
)


@given(
    annotation=st.sampled_from(ANNOTATIONS),
    name=st.sampled_from([name for name in notation.FORMS if name != "choice"]),
    numbers=st.lists(NUMBERS, min_size=1, max_size=3),
    share=st.floats(0, 1),
)
def test_every_value_of_a_fitted_distribution_is_allowed(annotation, name, numbers, share):
    wanted = kind(annotation)
    arguments = numbers[: notation.FORMS[name].count(",") + 1]
    try:
        dimension = fitting.fit(notation.parse({name: arguments}, wanted), wanted)
    except Refused:
        return
    low = getattr(dimension.distribution, "low", 0)
    places = (low, dimension.distribution.high) if name.endswith("int") else (0.0, share, 1.0)
    for place in places:
        value = dimension.at(place)  # checks it
        assert math.isfinite(value)
        if isinstance(dimension.distribution, Normal):
            assert low <= value <= dimension.distribution.high
