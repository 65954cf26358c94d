"""Owns whether a distribution suits a parameter: every value that it can give is one that the schema allows. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from notebooks_lib.notebooks import parameter_types
from notebooks_lib.notebooks.container_types import Either
from notebooks_lib.notebooks.parameter_types import Kind, Mismatch, Number
from notebooks_lib.sweeps.distributions import Choice, Distribution, Int, Normal, Uniform
from notebooks_lib.sweeps.grid_axis import Refused, counts
from notebooks_lib.sweeps.notation import MOST_CHOICES

LEAST_SHARE = 1e-6
"""Of a normal's probability that must lie in the schema's range; a smaller one is a mistake in mu or sigma."""


@dataclass(frozen=True)
class Dimension:
    """The distribution of one parameter, and the kind that types its values."""

    distribution: Distribution
    kind: Kind

    @property
    def size(self) -> int | None:
        """How many values it has; None where it is continuous."""
        match self.distribution:
            case Choice(values):
                return len(values)
            case Int(low, high):
                return high - low + 1
        return None

    def at(self, coordinate: float) -> object:
        """The typed value: of a place in the choices, of the whole number itself, else of a share from 0 to 1."""
        if isinstance(self.distribution, Choice | Int):
            return self.kind.check(self.distribution.at(int(coordinate)))
        return self.kind.check(self.distribution.at(coordinate))


def fit(distribution: Distribution, kind: Kind) -> Dimension:
    """The dimension, a normal in it truncated to the schema's range. Raises Refused with the way out."""
    try:
        match distribution:
            case Choice():
                pass  # its values were checked as they were read
            case Int():
                _fit_int(kind, distribution)
            case Uniform():
                _fit_uniform(kind, distribution)
            case Normal():
                distribution = _fit_normal(kind, distribution)
    except Mismatch as mismatch:
        raise Refused(f"{distribution}: {mismatch}") from None
    except OverflowError:
        raise Refused(f"{distribution}: found values too large for a float, allowed finite ones") from None
    return Dimension(distribution, kind)


def _fit_int(kind: Kind, wanted: Int) -> None:
    low, high = wanted.low, wanted.high
    if type(kind) is Kind or any(_allows(number, low, high) for number in _numbers(kind)):
        return
    if not counts(kind) or high - low > MOST_CHOICES:
        raise Refused(f"found {wanted}, allowed {kind.allowed}; list its values with choice(...)")
    for value in (low, high, *range(low, high)):  # a Literal may leave numbers out between the bounds
        kind.check(value)


def _fit_uniform(kind: Kind, wanted: Uniform) -> None:
    ends = wanted.at(0), wanted.at(1)
    options = _suited(kind, wanted)
    if options and not any(_allows(number, *ends) for number in options):
        for end in ends:
            kind.check(end)
        raise Refused(f"found {wanted}, allowed {kind.allowed}: there are values between its bounds that are not")


def _fit_normal(kind: Kind, wanted: Normal) -> Normal:
    options = _suited(kind, wanted)
    problem = ""
    for number in options or [Number()]:
        low, high = _range(number.bounds)
        truncated = replace(wanted, low=low, high=high)
        first, last = truncated.inside
        share = last - first if low <= high else 0.0
        if share < LEAST_SHARE:
            problem = f"less than {LEAST_SHARE:g} of its probability lies there"
        elif wanted.q is not None and truncated.multiples[0] > truncated.multiples[1]:
            problem = f"no multiple of {wanted.q:g} lies there"
        else:
            for end in (truncated.at(0), truncated.at(1)):
                number.check(end)
            return truncated
    raise Refused(f"found {wanted}, allowed {kind.allowed}: {problem}")


def _suited(kind: Kind, wanted: Uniform | Normal) -> list[Number]:
    """The numbers of a kind that may hold such values; none where anything may stand."""
    if type(kind) is Kind:
        return []
    numbers = _numbers(kind)
    whole = wanted.q is not None and wanted.q.is_integer()
    suited = [number for number in numbers if whole or number.type != "int"]
    if suited:
        return suited
    if not numbers:
        raise Refused(f"found {wanted}, allowed {kind.allowed}; list its values with choice(...)")
    if isinstance(wanted, Uniform):
        low, high = math.ceil(wanted.low), math.floor(wanted.high)
        form = str(replace(wanted, q=1.0))
        wayout = f"use int({low}, {high}) or {form}" if low <= high and not wanted.log else f"use {form}"
    else:
        wayout = f"use {replace(wanted, q=1.0)}"
    raise Refused(f"found {wanted}, allowed {kind.allowed}: not all its values are whole numbers; {wayout}")


def _numbers(kind: Kind) -> list[Number]:
    options = kind.options if isinstance(kind, Either) else (kind,)
    return [option for option in options if isinstance(option, Number)]


def _allows(number: Number, *ends: object) -> bool:
    """Whether both ends are allowed, and so all between them: a number's range has no gaps."""
    try:
        for end in ends:
            number.check(end)
    except Mismatch:
        return False
    return True


def _range(bounds: parameter_types.Bounds) -> tuple[float, float]:
    """The least and the greatest float inside."""
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
