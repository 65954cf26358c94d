"""The search space of a sweep in the form of Azure ML's sweep job, and the values that come back from it. Pure.

The service draws from the same distributions by the same rules, but for three things. The bounds of its loguniform are
natural logarithms, ours are values. It knows no `int(low, high)`, and `quniform(low, high, 1)` is none, because its two
ends are half as likely: a list of the whole numbers is exact, and so is randint if `low` is 0. It knows no bounds of a
parameter, so a normal that the notebook would truncate cannot be drawn there.

A value reaches the trial as a text, in an environment variable: never through a shell. A number is sent as a number.
All else is sent as a text that nothing but its value can stand for: a text as it is, if it is plain, and everything
else as a literal, such as "'1'", "None" or "[1, 2]".
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.parameter_types import Mismatch, short_repr
from notebooks_lib.sweeps.distributions import (
    LARGEST,
    MOST_CHOICES,
    Choice,
    Int,
    Normal,
    Uniform,
    exact_multiple,
    short_number,
)
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace, ParameterGrid
from notebooks_lib.sweeps.search_space import Dimension, ParameterSpace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NEAR = 1e-9
"""Two numbers of a list must differ by more than this share, unless both are whole: a service may write fewer digits
than it was sent."""
WireForm = list[object]
"""The name of a distribution and the list of its arguments, such as ["uniform", [0, 1]]."""


@dataclass(frozen=True)
class ServiceParameter:
    """A swept parameter: the distribution sent to the service, and the meaning of a text that it has drawn."""

    wire: WireForm
    read: Callable[[str], object]
    """Returns the value, typed by the notebook's schema. Raises ValueError or Mismatch for a text that means none."""


def translate(swept: ParameterGrid | ParameterSpace, *, bayesian: bool = False) -> dict[str, ServiceParameter]:
    """Return each swept parameter as the service can draw it. Raises InvalidSearchSpace with every problem.

    Bayesian sampling takes fewer distributions than random sampling.
    """
    found: dict[str, ServiceParameter] = {}
    problems: list[str] = []
    listed = {name: Choice(values) for name, values in swept.axes.items()} if isinstance(swept, ParameterGrid) else {}
    dimensions = swept.dimensions if isinstance(swept, ParameterSpace) else {}
    for name in {**listed, **dimensions}:
        try:
            if not NAME.fullmatch(name):
                raise InvalidSearchSpace("the service takes names of letters A to Z, digits and _ only")
            if name in listed:
                found[name] = _listed(listed[name].values)
            else:
                found[name] = _drawn(dimensions[name], bayesian=bayesian)
        except InvalidSearchSpace as problem:
            problems.append(f"{name}: {problem}")
    if problems:
        raise InvalidSearchSpace("; ".join(problems))
    return found


def read_values(parameters: Mapping[str, ServiceParameter], texts: Mapping[str, str]) -> dict[str, object]:
    """Return the values of a trial, from the texts that the service has set. Raises InvalidSearchSpace."""
    values: dict[str, object] = {}
    for name, parameter in parameters.items():
        if name not in texts:
            raise InvalidSearchSpace(f"{name}: the service has set no value")
        try:
            values[name] = parameter.read(texts[name])
        except (ValueError, Mismatch) as error:
            raise InvalidSearchSpace(f"{name}: the service has set {short_repr(texts[name])}: {error}") from None
    return values


def _drawn(dimension: Dimension, *, bayesian: bool) -> ServiceParameter:
    check, drawn = dimension.kind.check, dimension.distribution
    if bayesian and (isinstance(drawn, Normal) or (isinstance(drawn, Uniform) and drawn.log)):
        raise InvalidSearchSpace(f"bayesian sampling takes choice, int, uniform and quniform, found {drawn}")
    match drawn:
        case Choice(values):
            return _listed(values)
        case Int(0, high) if not bayesian:
            return ServiceParameter(["randint", [high + 1]], lambda text: check(_whole_number(text)))
        case Int(low, high) if high - low < MOST_CHOICES:
            return _listed(range(low, high + 1))
        case Int(low, high):
            raise InvalidSearchSpace(
                f"{drawn} is sent as a list of its numbers, and {MOST_CHOICES:,} are the most: quniform({low}, {high},"
                " 1) takes any range, but its two ends are half as likely"
            )
        case Uniform(low, high, q, log):
            bounds = (math.log(low), math.log(high)) if log else (low, high)
            name = f"{'' if q is None else 'q'}{'log' if log else ''}uniform"
            if q is None:
                return ServiceParameter([name, [*bounds]], lambda text: check(min(max(_number(text), low), high)))
            return ServiceParameter([name, [*bounds, q]], lambda text: check(_multiple(text, q)))
        case Normal(mu, sigma, q, log):
            _refuse_truncated(drawn)
            name = f"{'' if q is None else 'q'}{'log' if log else ''}normal"
            arguments = [mu, sigma] if q is None else [mu, sigma, q]
            return ServiceParameter([name, [*arguments]], lambda text: check(_multiple(text, q)))


def _refuse_truncated(normal: Normal) -> None:
    """Raise InvalidSearchSpace for a normal that may draw a value which the parameter's type does not allow."""
    q = normal.q or 0.0  # rounding leads to a value that is up to q / 2 away
    low = normal.low if normal.log and normal.low <= 0 else normal.low + q
    if replace(normal, low=low, high=normal.high - q).inside == (0.0, 1.0):
        return
    bounds = [
        f"{sign} {short_number(bound)}"
        for sign, bound in ((">=", normal.low), ("<=", normal.high))
        if math.isfinite(bound)
    ]
    raise InvalidSearchSpace(
        f"{normal} may draw values that the parameter does not allow ({' and '.join(bounds)}), and the service knows no"
        " bounds of a parameter: use uniform(low, high) or loguniform(low, high)"
    )


def _listed(values: Sequence[object]) -> ServiceParameter:
    """Return a choice of these values. Raises InvalidSearchSpace for two that look the same once they are sent."""
    sent = [_sent(value) for value in values]
    numbers = sorted((number, place) for place, number in enumerate(sent) if not isinstance(number, str))
    for (one, first), (other, second) in itertools.pairwise(numbers):
        if _look_alike(one, other):
            raise InvalidSearchSpace(
                f"{short_repr(values[first])} and {short_repr(values[second])} cannot be distinguished once sent"
            )
    texts = {text: value for text, value in zip(sent, values, strict=True) if isinstance(text, str)}

    def read(text: str) -> object:
        if text in texts:
            return texts[text]
        number = _exact_number(text)
        equal = [place for sent_number, place in numbers if sent_number == number]
        near = equal or [place for sent_number, place in numbers if math.isclose(sent_number, number, rel_tol=NEAR)]
        if len(near) != 1:
            raise ValueError("none of the values that it was sent")
        return values[near[0]]

    return ServiceParameter(["choice", [sent]], read)


def _sent(value: object) -> int | float | str:
    """Return a value of a list as it is sent."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= LARGEST
    ):
        return value
    if isinstance(value, str) and _is_plain(value):
        return value
    return expressions.write_literal(value)


def _is_plain(text: str) -> bool:
    """Return whether a text can be sent as it is: it can mean nothing else, and no service or variable changes it."""
    if not text or text != text.strip() or not text.isprintable() or "${{" in text:
        return False
    try:
        expressions.read_text(text)
    except expressions.NotConstant:
        return True
    return False


def _look_alike(one: float, other: float) -> bool:
    """Return whether two numbers may be the same once they are sent. Whole ones keep all their digits."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return math.isclose(one, other, rel_tol=NEAR)


def _exact_number(text: str) -> float:
    """Return the number in a text, as an int if it is written as one."""
    try:
        return int(text)
    except ValueError:
        return _number(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _whole_number(text: str) -> int:
    number = _number(text)  # it may have been written as 3.0
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


def _multiple(text: str, q: float | None) -> object:
    """Return the number in a text, without the noise that rounding to a multiple of `q` leaves."""
    number = _number(text)
    return number if q is None else exact_multiple(round(number / q), q)
