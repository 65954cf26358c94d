"""Owns what a sweep goes through: the values that `-p`, `--grid`, `--space` and a sweep file ask for, all of them
checked against the notebook's schema before anything starts. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from notebooks_lib import errors
from notebooks_lib.notebooks import expressions, parameter_values
from notebooks_lib.notebooks.parameter_types import shown
from notebooks_lib.notebooks.parameters import Schema
from notebooks_lib.sweeps import fitting, grid_axis, notation
from notebooks_lib.sweeps.fitting import Dimension
from notebooks_lib.sweeps.grid_axis import Refused
from notebooks_lib.sweeps.sweepfile import SweepFile


@dataclass(frozen=True)
class Grid:
    """Every combination of a few listed values."""

    axes: Mapping[str, tuple[object, ...]]

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.axes.values()))

    def at(self, number: int) -> dict[str, object]:
        """The combination of that number, from 0: the product in the order given, the last name varies fastest."""
        if not 0 <= number < self.size:
            raise IndexError(number)
        chosen = {}
        for name in reversed(list(self.axes)):
            number, place = divmod(number, len(self.axes[name]))
            chosen[name] = self.axes[name][place]
        return {name: chosen[name] for name in self.axes}

    def combinations(self) -> Iterator[dict[str, object]]:
        """All combinations in order, one at a time."""
        return map(self.at, range(self.size))

    @property
    def described(self) -> dict[str, str]:
        """Each name with its values, as it could be written."""
        return {name: expressions.source(list(listed)) for name, listed in self.axes.items()}


@dataclass(frozen=True)
class Space:
    """A distribution for each of a few names."""

    dimensions: Mapping[str, Dimension]

    @property
    def size(self) -> int | None:
        """How many different combinations it holds; None where a parameter is continuous."""
        sizes = [dimension.size for dimension in self.dimensions.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    @property
    def described(self) -> dict[str, str]:
        """Each name with its distribution, as it could be written."""
        return {name: str(dimension.distribution) for name, dimension in self.dimensions.items()}


@dataclass(frozen=True)
class Domain:
    """What a sweep goes through: fixed values, and a grid or a space for the others."""

    fixed: Mapping[str, object]
    swept: Grid | Space


def read(
    schema: Schema,
    *,
    parameters: Sequence[str] = (),
    grid: Sequence[str] = (),
    space: Sequence[str] = (),
    file: SweepFile | None = None,
    notebook: str = "",
    environ: Mapping[str, str] | None = None,
) -> Domain:
    """The checked domain of `-p`, `--grid` and `--space` texts over what a sweep file says.

    A name that an option gives is taken from the options alone. Raises ParameterError with all problems at once;
    `environ`, if given, must hold the notebook's secrets.
    """
    problems: list[str] = []
    file = file or SweepFile()
    axes = _pairs(grid, "--grid name=1,2,3", problems)
    spaces = _pairs(space, "--space name=uniform(0, 1)", problems)
    pinned = {pair.partition("=")[0].strip() for pair in parameters}
    given = {*pinned, *axes, *spaces}
    axes = {**{name: one for name, one in file.grid.items() if name not in given}, **axes}
    spaces = {**{name: one for name, one in file.space.items() if name not in given}, **spaces}
    from_file = {name: one for name, one in file.parameters.items() if name not in given}
    fixed = _fixed(schema, parameters, from_file, {*axes, *spaces}, environ, problems)
    problems += _apart(axes, spaces, {*pinned, *from_file})

    found_axes: dict[str, tuple[object, ...]] = {}
    dimensions: dict[str, Dimension] = {}
    for name in {**axes, **spaces}:
        parameter = schema.find(name)
        try:
            if schema.problem or (parameter is not None and parameter.secret):
                raise Refused(schema.problem or "found values (not shown), allowed none: secrets cannot be swept")
            if parameter is None:
                problems.append(errors.unknown("parameter", name, [one.name for one in schema.parameters]))
                continue
            if name in axes:
                found_axes[name] = grid_axis.read(axes[name], parameter.kind)
            if name in spaces:
                dimensions[name] = fitting.fit(notation.parse(spaces[name], parameter.kind), parameter.kind)
        except Refused as refused:
            problems.append(f"{name}: {refused}")
    if not axes and not spaces and not problems:
        problems.append("found nothing to sweep; give --grid NAME=1,2,3 or --space 'NAME=uniform(0, 1)'")
    if problems:
        raise errors.ParameterError(notebook or schema.notebook or "notebook", problems)
    return Domain(fixed, Grid(found_axes) if found_axes else Space(dimensions))


def _pairs(texts: Sequence[str], form: str, problems: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    option = form.partition(" ")[0]
    for text in texts:
        name, equals, wanted = text.partition("=")
        name = name.strip()
        if not equals or not name:
            problems.append(f"{option} {shown(text)}: found no NAME=...; write it as {form}")
        elif name in found:
            problems.append(f"{name}: found more than one {option} for it, allowed one")
        else:
            found[name] = wanted
    return found


def _fixed(
    schema: Schema,
    pairs: Sequence[str],
    from_file: Mapping[str, object],
    swept: set[str],
    environ: Mapping[str, str] | None,
    problems: list[str],
) -> dict[str, object]:
    """The values that are the same in every trial; what is swept is not asked for."""
    found: dict[str, object] = {}
    optional = _without_required(schema, {parameter.name for parameter in schema.parameters})
    for name, one in from_file.items():
        parameter = schema.find(name)
        try:
            plain = parameter_values.settled(one, parameter.kind) if parameter else one
            good, wrong = optional.examine({name: plain})
        except RecursionError:
            good, wrong = {}, [f"{name}: found a value that holds itself, or is nested too deeply"]
        found |= good
        problems += wrong
    try:
        relaxed = _without_required(schema, {*swept, *from_file})
        found = {**found, **parameter_values.from_command_line(pairs, [], relaxed, environ=environ)}
    except errors.ParameterError as error:
        problems += error.problems
    return found


def _without_required(schema: Schema, names: set[str]) -> Schema:
    kept = (replace(one, required=one.required and one.name not in names) for one in schema.parameters)
    return replace(schema, parameters=tuple(kept))


def _apart(axes: Mapping[str, object], spaces: Mapping[str, object], fixed: set[str]) -> Iterator[str]:
    """A line for each name that is asked for in two ways, and for a sweep that is both a grid and a space."""
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
