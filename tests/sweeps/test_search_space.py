"""The whole search space is checked against the notebook's schema before anything starts."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.errors import ParameterError, UsageError
from notebooks_lib.notebooks import parameter_schema
from notebooks_lib.sweeps import distributions, search_space, sweep_file
from notebooks_lib.sweeps.distributions import Normal
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace, ParameterGrid
from notebooks_lib.sweeps.search_space import ParameterSpace, SearchSpace
from notebooks_lib.sweeps.sweep_file import SweepFile
from tests.notebooks import building
from tests.sweeps.building import WIDE, grid, kind, schema, spread


def read(**given: object) -> SearchSpace:
    return search_space.read_search_space(WIDE, **given)


def problems(**given: object) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        read(**given)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def test_a_grid_is_the_product_in_order_with_the_last_name_fastest():
    domain = grid("alpha=0.1,1", "seed=1..3", 'name=["a,b","c"]')
    assert domain.axes == {"alpha": (0.1, 1.0), "seed": (1, 2, 3), "name": ("a,b", "c")}
    listed = [domain.at(number) for number in range(domain.size)]
    assert [tuple(one.values()) for one in listed] == list(itertools.product(*domain.axes.values()))
    assert [list(one) for one in listed] == [["alpha", "seed", "name"]] * 12
    assert domain.size == 12
    assert domain.described == {"alpha": "[0.1, 1.0]", "seed": "[1, 2, 3]", "name": "['a,b', 'c']"}


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_each_number_of_a_grid_is_a_different_combination(sizes):
    made = ParameterGrid({f"p{place}": tuple(range(size)) for place, size in enumerate(sizes)})
    combinations = {tuple(made.at(number).items()) for number in range(made.size)}
    assert len(combinations) == made.size == math.prod(sizes)


def test_a_grid_is_never_expanded_in_memory():
    huge = ParameterGrid({f"p{place}": range(1000) for place in range(20)})
    assert huge.size == 10**60
    assert huge.at(0) == dict.fromkeys(huge.axes, 0)
    assert huge.at(10**60 - 1) == dict.fromkeys(huge.axes, 999)
    with pytest.raises(IndexError):
        huge.at(10**60)


def test_a_space_holds_a_distribution_for_each_name():
    domain = spread("alpha=loguniform(1e-3,10)", "model=choice(ridge,lasso)", "seed=randint(5)")
    assert domain.described == {
        "alpha": "loguniform(0.001, 10)",
        "model": "choice('ridge', 'lasso')",
        "seed": "int(0, 4)",
    }


def test_fixed_values_are_read_as_for_a_run():
    domain = read(grid=["seed=1..2"], parameters=["alpha=0.5", "note=None"])
    assert domain.fixed == {"alpha": 0.5, "note": None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "found nothing to sweep; give --grid NAME=1,2,3 or --space 'NAME=uniform(0, 1)'"),
        ({"grid": ["alpha"]}, "--grid 'alpha': found no NAME=...; write it as --grid name=1,2,3"),
        ({"grid": ["=1"]}, "--grid '=1': found no NAME=..."),
        ({"grid": [""]}, "--grid '': found no NAME=..."),
        ({"space": ["alpha"]}, "--space 'alpha': found no NAME=...; write it as --space name=uniform(0, 1)"),
        ({"grid": ["alhpa=1"]}, "unknown parameter 'alhpa', did you mean 'alpha'?"),
        ({"grid": ["αlpha=1"]}, "unknown parameter 'αlpha', did you mean 'alpha'?"),
        ({"space": ["a=foo(1)"]}, "unknown parameter 'a'"),
        ({"space": ["alpha=foo(1)"]}, "alpha: unknown distribution 'foo'"),
        ({"grid": ["alpha=0"]}, "alpha: found 0.0 (float), allowed float > 0"),
        ({"space": ["alpha=uniform(0,1)"]}, "alpha: uniform(0, 1): found 0.0 (float), allowed float > 0"),
        ({"grid": ["alpha=1", "alpha=2"]}, "alpha: found more than one --grid for it, allowed one"),
        ({"grid": ["alpha=1"], "parameters": ["alpha=2"]}, "alpha: found a fixed value and values to sweep"),
        ({"space": ["beta=normal(0,1)"], "parameters": ["beta=2"]}, "beta: found a fixed value and values to sweep"),
        ({"grid": ["alpha=1"], "space": ["alpha=uniform(1,2)"]}, "alpha: found both in the grid and in the space"),
        ({"grid": ["alpha=1"], "space": ["seed=int(1,2)"]}, "--space 'alpha=choice(...)', or leave the space out"),
        ({"grid": ["token=hunter2,b"]}, "token: found values (not shown), allowed none: secrets cannot be swept"),
        ({"space": ["token=choice(hunter2)"]}, "token: found values (not shown)"),
        ({"grid": ["seed=1"], "parameters": ["alhpa=1"]}, "unknown parameter 'alhpa'"),
        ({"grid": ["seed=1"], "parameters": ["alpha=x"]}, "alpha: found 'x' (str), allowed float > 0"),
    ],
)
def test_one_error_is_one_line(given, message):
    (line,) = problems(**given)
    assert message in line
    assert "hunter2" not in line


def test_all_errors_are_reported_at_once():
    lines = problems(
        grid=["alpha=0", "seed=1..0", "nothing", "modle=ridge"],
        parameters=["beta=x", "gamma"],
    )
    assert len(lines) == 6


def test_whitespace_around_names_is_ignored():
    assert grid(" alpha = 1 , 2 ").axes == {"alpha": (1.0, 2.0)}
    assert spread(" alpha = uniform( 1 , 2 ) ").described == {"alpha": "uniform(1, 2)"}


def test_a_parameter_without_default_must_be_swept_or_fixed():
    needy = parameter_schema.read_schema(building.parameters("rows: int\nalpha: float = 1.0"))
    assert search_space.read_search_space(needy, grid=["rows=1,2"]).fixed == {}
    assert search_space.read_search_space(needy, grid=["alpha=1,2"], parameters=["rows=5"]).fixed == {"rows": 5}
    assert search_space.read_search_space(needy, grid=["alpha=1,2"], file=SweepFile(parameters={"rows": 5})).fixed == {
        "rows": 5
    }
    for file in (None, SweepFile(parameters={"alpha": 1.0})):
        with pytest.raises(ParameterError, match="rows: found no value"):
            search_space.read_search_space(needy, grid=["alpha=1,2"], file=file)


def test_secrets_must_be_set_and_a_notebook_without_parameters_is_rejected():
    with pytest.raises(ParameterError, match="found nothing in the environment variable TOKEN"):
        read(grid=["seed=1"], environ={})
    assert read(grid=["seed=1"], environ={"TOKEN": "x"}).fixed == {}
    bare = parameter_schema.read_schema(building.notebook(building.code("x = 1")))
    with pytest.raises(ParameterError, match="seed: the notebook has no cell tagged `parameters`"):
        search_space.read_search_space(bare, grid=["seed=1"])


def from_file(text: str, **given: object) -> SearchSpace:
    Path("sweep.yaml").write_text(text, "utf-8")
    return read(file=sweep_file.load_file(Path("sweep.yaml")), **given)


def test_a_file_equals_the_options():
    options = {"alpha": "loguniform(0.001, 10)", "beta": "normal(0, 1)", "seed": "int(0, 4)"}
    domain = from_file("space: {alpha: 'loguniform(1e-3, 10)', beta: {normal: [0, 1]}, seed: {randint: 5}}")
    assert domain.swept == spread(*(f"{name}={text}" for name, text in options.items()))
    domain = from_file("grid:\n  alpha: [1e-3, 0.1]\n  seed: 1..3\n  fast: [yes, no]\nparameters: {beta: 1e-2}")
    assert domain == read(grid=["alpha=1e-3,0.1", "seed=1..3", "fast=yes,no"], parameters=["beta=0.01"])


def test_the_schema_types_the_words_of_a_file():
    domain = from_file("grid: {name: [yes, no, 1e-3], fast: [yes, no], rate: [1e-3, null]}\nparameters: {note: on}")
    assert domain.swept.axes == {"name": ("yes", "no", "1e-3"), "fast": (True, False), "rate": (0.001, None)}
    assert domain.fixed == {"note": "on"}


def test_options_override_a_file_name_by_name():
    text = "grid: {alpha: [1, 2], seed: [1, 2]}\nparameters: {beta: 1.0, gamma: 1.0}"
    assert from_file(text, grid=["alpha=5"]).swept.axes == {"seed": (1, 2), "alpha": (5.0,)}
    assert from_file(text, parameters=["seed=7", "beta=2"]).fixed == {"gamma": 1.0, "seed": 7, "beta": 2.0}
    assert from_file(text, grid=["gamma=1,2"]).fixed == {"beta": 1.0}
    text = "grid: {alpha: [1, 2]}"
    assert isinstance(from_file(text, space=["alpha=uniform(1, 2)"]).swept, ParameterSpace)
    assert from_file("space: {alpha: nonsense}", grid=["alpha=1,2"]).swept == grid("alpha=1,2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {alpha: 0.1}", "alpha: found 0.1 (float), allowed a list of values"),
        ("grid: {alpha: []}", "alpha: found an empty list"),
        ("grid: {seed: ['1']}", "seed: found '1' (str), allowed int"),
        ("grid: &a {layers: [*a]}", "layers: "),
        ("grid: {free: &a [*a]}", "free: found a value that holds itself"),
        ("grid: {seed: [1]}\nparameters: {layers: &a [*a]}", "layers: found a value that holds itself"),
        ("space: {alpha: [1, 2]}", "alpha: found [1, 2], allowed a distribution"),
        ("space: {alpha: {uniform: [1e-3, yes]}}", "alpha: found 'yes', allowed a finite number"),
        ("grid: {seed: [1]}\nparameters: {seed: 2}", "seed: found a fixed value and values to sweep"),
        ("grid: {seed: [1]}\nparameters: {alpha: 0}", "alpha: found 0 (int), allowed float > 0"),
        ("grid: {seed: [1]}\nparameters: {alhpa: 1}", "unknown parameter 'alhpa', did you mean 'alpha'?"),
        ("grid: {seed: [1]}\nparameters: {token: hunter2}", "token: found a value (not shown)"),
    ],
)
def test_errors_in_a_file_are_one_line(text, message):
    with pytest.raises(ParameterError) as caught:
        from_file(text)
    (line,) = caught.value.problems
    assert message in line
    assert "hunter2" not in line


@given(
    st.lists(st.one_of(st.text(max_size=15), st.builds("{}={}".format, st.sampled_from(list("ab")), st.text()))),
    st.lists(st.one_of(st.text(max_size=15), st.builds("{}={}".format, st.sampled_from(list("ab")), st.text()))),
)
def test_any_texts_are_read_or_rejected(grids, spaces):
    try:
        domain = search_space.read_search_space(schema(a="float", b="str | None"), grid=grids, space=spaces)
    except UsageError:
        return
    assert set(domain.swept.described) <= {"a", "b"}
    assert domain.swept.described


def test_a_discrete_space_has_a_size():
    assert spread("seed=int(1, 2)", "depth=choice(1, 2, 3)").size == 6
    assert spread("seed=int(1, 2)", "beta=uniform(0, 1)").size is None


def fit(annotation: str, text: str) -> search_space.Dimension:
    wanted = kind(annotation)
    return search_space.fit_to_type(distributions.parse_distribution(text, wanted), wanted)


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
def test_values_have_the_type_and_reach_both_ends(annotation, text, ends):
    both_ends = fit(annotation, text).at(0.0), fit(annotation, text).at(1.0)
    assert both_ends == pytest.approx(ends, abs=0.01)
    assert [type(one) for one in both_ends] == [type(one) for one in ends]


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
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
def test_unsuitable_distributions_are_rejected_with_a_remedy(annotation, text, message):
    with pytest.raises(InvalidSearchSpace) as caught:
        fit(annotation, text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_literal_of_consecutive_numbers_accepts_int():
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
    name=st.sampled_from([name for name in distributions.FORMS if name != "choice"]),
    numbers=st.lists(NUMBERS, min_size=1, max_size=3),
    share=st.floats(0, 1),
)
def test_every_value_of_a_checked_distribution_is_allowed(annotation, name, numbers, share):
    wanted = kind(annotation)
    arguments = numbers[: distributions.FORMS[name].count(",") + 1]
    try:
        dimension = search_space.fit_to_type(distributions.parse_distribution({name: arguments}, wanted), wanted)
    except InvalidSearchSpace:
        return
    low = getattr(dimension.distribution, "low", 0)
    places = (low, dimension.distribution.high) if name.endswith("int") else (0.0, share, 1.0)
    for place in places:
        value = dimension.at(place)  # checks it
        assert math.isfinite(value)
        if isinstance(dimension.distribution, Normal):
            assert low <= value <= dimension.distribution.high
