"""A search space in the service's form: drawn by the service's documented rules, it gives the values that ours gives."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib.notebooks.parameter_types import ParameterType
from notebooks_lib.sweeps import service_search_space
from notebooks_lib.sweeps.distributions import Choice
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace
from notebooks_lib.sweeps.search_space import Dimension, ParameterSpace
from notebooks_lib.sweeps.service_search_space import ServiceParameter, read_values, translate
from tests.sweeps import building

Draw = Callable[[random.Random, list[Any]], Any]
RULES: Mapping[str, Draw] = {
    "choice": lambda source, given: source.choice(given[0]),
    "randint": lambda source, given: source.randrange(given[0]),
    "uniform": lambda source, given: source.uniform(*given),
    "quniform": lambda source, given: round(source.uniform(*given[:2]) / given[2]) * given[2],
    "loguniform": lambda source, given: math.exp(source.uniform(*given)),
    "qloguniform": lambda source, given: round(math.exp(source.uniform(*given[:2])) / given[2]) * given[2],
    "normal": lambda source, given: source.normalvariate(*given),
    "qnormal": lambda source, given: round(source.normalvariate(*given[:2]) / given[2]) * given[2],
    "lognormal": lambda source, given: math.exp(source.normalvariate(*given)),
    "qlognormal": lambda source, given: round(math.exp(source.normalvariate(*given[:2])) / given[2]) * given[2],
}
"""What Azure's page on tuning hyperparameters says of each expression."""


def dimension(annotation: str, text: str) -> tuple[Dimension, ServiceParameter]:
    space = building.schema(p=annotation)
    swept = building.search_space.read_search_space(space, space=[f"p={text}"]).swept
    assert isinstance(swept, ParameterSpace)
    return swept.dimensions["p"], translate(swept)["p"]


def drawn(parameter: ServiceParameter, source: random.Random, count: int) -> list[Any]:
    """Return what trials would read, if the service draws by its rules and hands over texts."""
    name, arguments = json.loads(json.dumps(parameter.wire))  # as it goes over the wire
    return [parameter.read(str(RULES[name](source, arguments))) for _ in range(count)]


CONTINUOUS = [
    ("float", "uniform(-1, 3)"),
    ("float", "loguniform(1e-3, 10)"),
    ("float", "normal(2, 0.5)"),
    ("float", "lognormal(0, 1)"),
    ("Annotated[float, '>0']", "lognormal(0, 1)"),
    ("float", "quniform(0, 1, 0.1)"),
    ("int", "quniform(1, 20, 3)"),
    ("int", "qloguniform(1, 100, 2)"),
    ("int", "qnormal(10, 4, 1)"),
    ("int", "qlognormal(2, 0.5, 1)"),
]


@pytest.mark.parametrize(("annotation", "text"), CONTINUOUS)
def test_a_distribution_is_the_same_one_when_the_service_draws(annotation: str, text: str) -> None:
    ours, theirs = dimension(annotation, text)
    source = random.Random(7)
    count = 4000
    mine = sorted(float(str(ours.at(source.random()))) for _ in range(count))
    other = sorted(float(str(value)) for value in drawn(theirs, source, count))

    apart = max(abs(sum(value <= x for value in mine) - sum(value <= x for value in other)) / count for x in mine[::40])
    assert apart < 1.95 * math.sqrt(2 / count)  # Kolmogorov and Smirnov, one in a thousand


@pytest.mark.parametrize(
    ("annotation", "text", "wire"),
    [
        ("int", "int(2, 8)", ["choice", [[2, 3, 4, 5, 6, 7, 8]]]),
        ("int", "int(0, 4)", ["randint", [5]]),
        ("int", "randint(5)", ["randint", [5]]),
        ("int", "int(-2, 1)", ["choice", [[-2, -1, 0, 1]]]),
        ("float", "int(0, 3)", ["randint", [4]]),
        ("int", "choice(3, 1, 2)", ["choice", [[3, 1, 2]]]),
    ],
)
def test_whole_numbers_are_drawn_each_equally_often(annotation: str, text: str, wire: list[Any]) -> None:
    ours, theirs = dimension(annotation, text)
    assert theirs.wire == wire
    count = 6000
    found = Counter(drawn(theirs, random.Random(3), count))

    size = ours.size or 0
    allowed = {ours.at(place) for place in (range(size) if "choice" in text else _numbers(text))}
    assert found.keys() == allowed
    assert all(type(value) is type(next(iter(allowed))) for value in found)
    assert all(abs(number - count / size) < 5 * math.sqrt(count / size) for number in found.values())


def _numbers(text: str) -> range:
    inside = [int(number) for number in text.partition("(")[2].rstrip(")").split(",")]
    return range(inside[0], inside[1] + 1) if len(inside) == 2 else range(inside[0])


def test_quniform_is_no_whole_number_of_a_range() -> None:
    _, theirs = dimension("int", "quniform(2, 8, 1)")
    found = Counter(drawn(theirs, random.Random(3), 6000))
    assert found[2] + found[8] < 1.2 * found[5]  # which is why int(2, 8) is sent as a list


def test_the_bounds_of_loguniform_are_sent_as_natural_logarithms() -> None:
    _, theirs = dimension("Annotated[float, Field(ge=0.001, le=10)]", "loguniform(1e-3, 10)")
    assert theirs.wire == ["loguniform", [math.log(1e-3), math.log(10)]]
    # The logarithm of a bound and back is not always the bound itself.
    assert [theirs.read(text) for text in ("0.0009999999999999998", "10.000000000000002")] == [1e-3, 10.0]


@pytest.mark.parametrize(("text", "value"), [("3.0", 3), ("3", 3), ("3E0", 3)])
def test_a_whole_number_is_one_however_it_is_written(text: str, value: int) -> None:
    for form in ("int(1, 5)", "int(0, 5)", "quniform(1, 5, 1)", "qnormal(3, 1, 1)"):
        read = dimension("int", form)[1].read(text)
        assert (read, type(read)) == (value, int)


HOSTILE: list[object] = [
    *("a b", "it's", 'say "no"', "$HOME", "$(rm x)", "`x`", "a\\b", "-1", "1e-3", "-x", "--help", "größe", "数"),
    *("", " ", " a", "line\nend", "\ttab", "None", "True", "nan", "[1, 2]", "{'a': 1}", "'quoted'", "${{inputs.x}}"),
    *("a=b", "a,b", "%PATH%", "!x", "*", "~", "#", "; exit 1", "&"),
    *(-1, 1e-3, 7, 0.1, 2**60, 1e300, math.inf, None, True, False, [1, "x"], {"a": [1, None]}, (1, 2)),
]


def test_every_value_of_a_list_comes_back_equal_and_of_its_type() -> None:
    parameter = translate(ParameterSpace({"p": Dimension(Choice(tuple(HOSTILE)), ParameterType())}))["p"]
    (sent,) = parameter.wire[1]  # type: ignore[misc]
    assert all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in sent)
    assert all(each.isprintable() and each == each.strip() != "" for each in map(str, sent))
    shown = "import os; print(ascii(os.environ['AZUREML_SWEEP_p']))"
    for each, value in zip(sent, HOSTILE, strict=True):
        variables = {"AZUREML_SWEEP_p": str(each), "PYTHONUTF8": "1"}
        printed = subprocess.run([sys.executable, "-S", "-c", shown], env=variables, capture_output=True, text=True)
        back = parameter.read(eval(printed.stdout))
        assert (type(back), back) == (type(value), value)
    assert len(set(map(str, sent))) == len(HOSTILE)


@given(st.lists(st.text(), min_size=1, max_size=8, unique=True))
def test_texts_never_stand_for_one_another(texts: list[str]) -> None:
    texts = [text for text in texts if text.encode("utf-8", "ignore").decode() == text]
    parameter = translate(ParameterSpace({"p": Dimension(Choice(tuple(texts)), building.kind("str"))}))["p"]
    assert [parameter.read(str(each)) for each in parameter.wire[1][0]] == texts  # type: ignore[index]


def test_a_service_may_write_fewer_digits() -> None:
    parameter = translate(building.grid("alpha=0.1,0.30000000000000004,1"))["alpha"]
    assert [parameter.read(text) for text in ("0.1000000000000000055", "0.3", "1")] == [0.1, 0.30000000000000004, 1.0]


@pytest.mark.parametrize("text", ["choice(2000000000, 2000000001)", "int(1000000000, 1000000009)"])
def test_large_whole_numbers_are_told_apart(text: str) -> None:
    _, theirs = dimension("int", text)
    (sent,) = theirs.wire[1]  # type: ignore[misc]
    for form in (str, float, lambda value: f"{value}.0"):
        assert [theirs.read(str(form(value))) for value in sent] == sent
    with pytest.raises(ValueError, match="none of the values"):
        theirs.read("2e9" if "int" in text else "1e9")


def test_a_grid_is_sent_as_choices() -> None:
    found = translate(building.grid("alpha=0.1,1", "model=ridge,lasso", "seed=1..3"))
    assert {name: parameter.wire for name, parameter in found.items()} == {
        "alpha": ["choice", [[0.1, 1.0]]],
        "model": ["choice", [["ridge", "lasso"]]],
        "seed": ["choice", [[1, 2, 3]]],
    }


@pytest.mark.parametrize(
    ("space", "bayesian", "reason"),
    [
        ("delta=normal(0.5, 0.1)", False, "may draw values that the parameter does not allow"),
        ("alpha=qlognormal(0, 1, 1)", False, "may draw values that the parameter does not allow"),
        ("depth=qnormal(10, 3, 1)", False, "(>= 1 and <= 20)"),
        ("seed=int(1, 2000)", False, "quniform(1, 2000, 1) takes any range"),
        ("alpha=loguniform(1e-3, 10)", True, "bayesian sampling takes choice, int, uniform and quniform"),
        ("beta=normal(0, 1)", True, "bayesian sampling takes"),
        ("free=choice(1, 1.0)", False, "1 and 1.0 cannot be distinguished"),
        ("beta=choice(0.1, 0.10000000000000002)", False, "cannot be distinguished"),
    ],
)
def test_what_the_service_cannot_draw_is_refused_with_the_reason(space: str, bayesian: bool, reason: str) -> None:
    with pytest.raises(InvalidSearchSpace, match="^" + space.partition("=")[0]) as raised:
        translate(building.spread(space), bayesian=bayesian)
    assert reason in str(raised.value)


def test_bayesian_sampling_gets_whole_numbers_as_a_list() -> None:
    assert translate(building.spread("seed=int(0, 2)"), bayesian=True)["seed"].wire == ["choice", [[0, 1, 2]]]


def test_a_name_that_the_service_does_not_take_is_refused() -> None:
    swept = ParameterSpace({"größe": Dimension(Choice((1, 2)), ParameterType())})
    with pytest.raises(InvalidSearchSpace, match="größe: the service takes names of letters"):
        translate(swept)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(InvalidSearchSpace, match="delta: .*; depth: "):
        translate(building.spread("delta=normal(0.5, 0.1)", "depth=qnormal(10, 3, 1)"))


def test_a_wide_normal_within_far_bounds_is_not_truncated() -> None:
    assert dimension("Annotated[float, Field(gt=-1e6, lt=1e6)]", "normal(0, 1)")[1].wire == ["normal", [0.0, 1.0]]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({}, "alpha: the service has set no value"),
        ({"alpha": "much"}, "'much'"),
        ({"alpha": "7"}, "none of the values"),
    ],
)
def test_a_value_that_was_not_sent_is_refused_in_the_trial(texts: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidSearchSpace) as raised:
        read_values(service_search_space.translate(building.grid("alpha=0.1,1")), texts)
    assert reason in str(raised.value)
