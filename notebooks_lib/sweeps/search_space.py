"""The search space of a sweep: fixed values, and a grid or distributions, checked against the schema. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from notebooks_lib import errors
from notebooks_lib.notebooks import parameter_types, parameter_values
from notebooks_lib.notebooks.container_types import UnionType
from notebooks_lib.notebooks.parameter_schema import Schema
from notebooks_lib.notebooks.parameter_types import Mismatch, NumberType, ParameterType, short_repr
from notebooks_lib.sweeps import distributions, parameter_grid
from notebooks_lib.sweeps.distributions import MOST_CHOICES, Choice, Distribution, Int, Normal, Uniform
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace, ParameterGrid, takes_whole_numbers

LEAST_SHARE = 1e-6
"""The least probability that a normal must have inside the schema's range. Less is a mistake in mu or sigma."""


@dataclass(frozen=True)
class Dimension:
    """The distribution of one parameter and the type of the values."""

    distribution: Distribution
    kind: ParameterType

    @property
    def size(self) -> int | None:
        """The number of values; None for a continuous distribution."""
        match self.distribution:
            case Choice(values):
                return len(values)
            case Int(low, high):
                return high - low + 1
        return None

    def at(self, coordinate: float) -> object:
        """Return the value at a coordinate: an index into the choices, a whole number, or a share from 0 to 1."""
        if isinstance(self.distribution, Choice | Int):
            return self.kind.check(self.distribution.at(int(coordinate)))
        return self.kind.check(self.distribution.at(coordinate))


def fit_to_type(distribution: Distribution, kind: ParameterType) -> Dimension:
    """Check that a distribution draws only values that the parameter's type allows, and return both as a dimension.

    A normal distribution is truncated to the allowed range. Raises InvalidSearchSpace for a distribution that does not
    fit.
    """
    try:
        match distribution:
            case Choice():
                pass  # its values were checked when they were read
            case Int():
                _fit_int(kind, distribution)
            case Uniform():
                _fit_uniform(kind, distribution)
            case Normal():
                distribution = _fit_normal(kind, distribution)
    except Mismatch as mismatch:
        raise InvalidSearchSpace(f"{distribution}: {mismatch}") from None
    except OverflowError:
        raise InvalidSearchSpace(f"{distribution}: found values too large for a float, allowed finite ones") from None
    return Dimension(distribution, kind)


def _fit_int(kind: ParameterType, distribution: Int) -> None:
    low, high = distribution.low, distribution.high
    if type(kind) is ParameterType or any(_allows(number, low, high) for number in _numbers(kind)):
        return
    if not takes_whole_numbers(kind) or high - low > MOST_CHOICES:
        raise InvalidSearchSpace(f"found {distribution}, allowed {kind.allowed}; list its values with choice(...)")
    for value in (low, high, *range(low, high)):  # a Literal may have gaps between the bounds
        kind.check(value)


def _fit_uniform(kind: ParameterType, distribution: Uniform) -> None:
    ends = distribution.at(0), distribution.at(1)
    options = _suited(kind, distribution)
    if options and not any(_allows(number, *ends) for number in options):
        for end in ends:
            kind.check(end)
        raise InvalidSearchSpace(
            f"found {distribution}, allowed {kind.allowed}: there are values between its bounds that are not"
        )


def _fit_normal(kind: ParameterType, distribution: Normal) -> Normal:
    options = _suited(kind, distribution)
    problem = ""
    for number in options or [NumberType()]:
        low, high = _float_range(number.bounds)
        truncated = replace(distribution, low=low, high=high)
        first, last = truncated.inside
        share = last - first if low <= high else 0.0
        if share < LEAST_SHARE:
            problem = f"less than {LEAST_SHARE:g} of its probability lies there"
        elif distribution.q is not None and truncated.multiples[0] > truncated.multiples[1]:
            problem = f"no multiple of {distribution.q:g} lies there"
        else:
            for end in (truncated.at(0), truncated.at(1)):
                number.check(end)
            return truncated
    raise InvalidSearchSpace(f"found {distribution}, allowed {kind.allowed}: {problem}")


def _suited(kind: ParameterType, distribution: Uniform | Normal) -> list[NumberType]:
    """Return the number types that allow such values; an empty list where any value is allowed."""
    if type(kind) is ParameterType:
        return []
    numbers = _numbers(kind)
    whole_numbers = distribution.q is not None and distribution.q.is_integer()
    suited = [number for number in numbers if whole_numbers or number.type != "int"]
    if suited:
        return suited
    if not numbers:
        raise InvalidSearchSpace(f"found {distribution}, allowed {kind.allowed}; list its values with choice(...)")
    if isinstance(distribution, Uniform):
        low, high = math.ceil(distribution.low), math.floor(distribution.high)
        form = str(replace(distribution, q=1.0))
        remedy = f"use int({low}, {high}) or {form}" if low <= high and not distribution.log else f"use {form}"
    else:
        remedy = f"use {replace(distribution, q=1.0)}"
    raise InvalidSearchSpace(
        f"found {distribution}, allowed {kind.allowed}: not all its values are whole numbers; {remedy}"
    )


def _numbers(kind: ParameterType) -> list[NumberType]:
    options = kind.options if isinstance(kind, UnionType) else (kind,)
    return [option for option in options if isinstance(option, NumberType)]


def _allows(number: NumberType, *ends: object) -> bool:
    """Return whether both ends, and so all values between them, are allowed: a number's range has no gaps."""
    try:
        for end in ends:
            number.check(end)
    except Mismatch:
        return False
    return True


def _float_range(bounds: parameter_types.NumberBounds) -> tuple[float, float]:
    """Return the smallest and the largest float inside the bounds."""
    low = [-math.inf]
    high = [math.inf]
    if bounds.gt is not None:
        low.append(math.nextafter(bounds.gt, math.inf))
    if bounds.ge is not None:
        low.append(float(bounds.ge))
    if bounds.lt is not None:
        high.append(math.nextafter(bounds.lt, -math.inf))
    if bounds.le is not None:
        high.append(float(bounds.le))
    return max(low), min(high)


@dataclass(frozen=True)
class ParameterSpace:
    """A distribution for each of a few parameters."""

    dimensions: Mapping[str, Dimension]

    @property
    def size(self) -> int | None:
        """The number of different combinations; None when a parameter is continuous."""
        sizes = [dimension.size for dimension in self.dimensions.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    @property
    def described(self) -> dict[str, str]:
        """Parameter name -> its distribution as text for `--space`."""
        return {name: str(dimension.distribution) for name, dimension in self.dimensions.items()}


@dataclass(frozen=True)
class SearchSpace:
    """Fixed values of some parameters, and a grid or distributions for others."""

    fixed: Mapping[str, object]
    swept: ParameterGrid | ParameterSpace


class FileValues(Protocol):
    """The values in a sweep file: fixed values, a grid, distributions.

    The notebook's schema has not checked them yet.
    """

    @property
    def parameters(self) -> Mapping[str, object]:
        """Values that all trials share."""

    @property
    def grid(self) -> Mapping[str, object]:
        """Values to combine, by parameter."""

    @property
    def space(self) -> Mapping[str, object]:
        """Distributions as text, by parameter."""


def read_search_space(
    schema: Schema,
    *,
    parameters: Sequence[str] = (),
    grid: Sequence[str] = (),
    space: Sequence[str] = (),
    file: FileValues | None = None,
    notebook: str = "",
    environ: Mapping[str, str] | None = None,
) -> SearchSpace:
    """Return the checked search space that the command's options and the sweep file describe.

    An option replaces the file's entry for the same parameter. Raise ParameterError with all problems at once.
    `environ`, if given, must hold the notebook's secrets.
    """
    problems: list[str] = []
    axes = _pairs(grid, "--grid name=1,2,3", problems)
    spaces = _pairs(space, "--space name=uniform(0, 1)", problems)
    fixed_names = {pair.partition("=")[0].strip() for pair in parameters}
    option_names = {*fixed_names, *axes, *spaces}

    def without_options(written: Mapping[str, object]) -> dict[str, object]:
        return {name: value for name, value in written.items() if name not in option_names}

    from_file: dict[str, object] = {}
    if file is not None:
        axes = without_options(file.grid) | axes
        spaces = without_options(file.space) | spaces
        from_file = without_options(file.parameters)
    fixed = _fixed(schema, parameters, from_file, {*axes, *spaces}, environ, problems)
    problems += _apart(axes, spaces, {*fixed_names, *from_file})

    value_lists: dict[str, tuple[object, ...]] = {}
    dimensions: dict[str, Dimension] = {}
    for name in {**axes, **spaces}:
        parameter = schema.find(name)
        try:
            if schema.problem or (parameter is not None and parameter.secret):
                raise InvalidSearchSpace(
                    schema.problem or "found values (not shown), allowed none: secrets cannot be swept"
                )
            if parameter is None:
                problems.append(errors.unknown("parameter", name, [declared.name for declared in schema.parameters]))
                continue
            if name in axes:
                value_lists[name] = parameter_grid.read_values(axes[name], parameter.kind)
            if name in spaces:
                dimensions[name] = fit_to_type(
                    distributions.parse_distribution(spaces[name], parameter.kind), parameter.kind
                )
        except InvalidSearchSpace as problem:
            problems.append(f"{name}: {problem}")
    if not axes and not spaces and not problems:
        problems.append("found nothing to sweep; give --grid NAME=1,2,3 or --space 'NAME=uniform(0, 1)'")
    if problems:
        raise errors.ParameterError(notebook or schema.notebook or "notebook", problems)
    return SearchSpace(fixed, ParameterGrid(value_lists) if value_lists else ParameterSpace(dimensions))


def _pairs(texts: Sequence[str], form: str, problems: list[str]) -> dict[str, object]:
    pairs: dict[str, object] = {}
    option = form.partition(" ")[0]
    for text in texts:
        name, equals, text_after = text.partition("=")
        name = name.strip()
        if not equals or not name:
            problems.append(f"{option} {short_repr(text)}: found no NAME=...; write it as {form}")
        elif name in pairs:
            problems.append(f"{name}: found more than one {option} for it, allowed one")
        else:
            pairs[name] = text_after
    return pairs


def _fixed(
    schema: Schema,
    pairs: Sequence[str],
    from_file: Mapping[str, object],
    swept: set[str],
    environ: Mapping[str, str] | None,
    problems: list[str],
) -> dict[str, object]:
    """Return the values that are the same in every trial. Swept parameters need no value here."""
    values: dict[str, object] = {}
    optional = schema.without_required({parameter.name for parameter in schema.parameters})
    for name, value in from_file.items():
        parameter = schema.find(name)
        try:
            settled = parameter_values.settle(value, parameter.kind) if parameter else value
            valid, invalid = optional.examine({name: settled})
        except RecursionError:
            valid, invalid = {}, [f"{name}: found a value that holds itself, or is nested too deeply"]
        values |= valid
        problems += invalid
    try:
        relaxed = schema.without_required({*swept, *from_file})
        values = {**values, **parameter_values.from_command_line(pairs, [], relaxed, environ=environ)}
    except errors.ParameterError as error:
        problems += error.problems
    return values


def _apart(axes: Mapping[str, object], spaces: Mapping[str, object], fixed: set[str]) -> Iterator[str]:
    """Yield a problem for each name that is given twice, and for a sweep that is both a grid and a space."""
    both = [name for name in axes if name in spaces]
    yield from (f"{name}: found both in the grid and in the space, allowed in one of them" for name in both)
    for name in {**axes, **spaces}:
        if name in fixed:
            yield f"{name}: found a fixed value and values to sweep, allowed one of them"
    if axes and spaces and not both:
        name = next(iter(axes))
        yield (
            "found a grid and a space, allowed one of them: "
            f"write the values of the grid as choices, --space '{name}=choice(...)', or leave the space out"
        )
