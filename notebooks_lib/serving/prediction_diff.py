"""How far two answers of models lie apart, and whether they have the same form. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of two answers; infinite when they differ in form, or in anything but numbers."""
    return max((_apart(*pair) for pair in _pairs(one, other)), default=0.0)


def largest(one: Any, other: Any) -> float:
    """The same of the numbers alone, which is finite; what else differs has no size."""
    found = (_apart(*pair) for pair in _pairs(one, other) if all(map(_is_number, pair)))
    return max((each for each in found if math.isfinite(each)), default=0.0)


def same_form(one: Any, other: Any) -> bool:
    """Whether who reads the one can read the other: the same names, lengths and kinds of values.

    JSON's null is a missing value of any kind. Lists of texts, as of several labels, may differ in length.
    """
    return all(_alike(*pair) for pair in _pairs(one, other))


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """The single values of two answers side by side; where their structure parts, what stands there."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for key in one:
            yield from _pairs(one[key], other[key])
    elif _is_list(one) and _is_list(other) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from _pairs(*pair)
    else:
        yield one, other


def _apart(one: Any, other: Any) -> float:
    if _is_number(one) and _is_number(other):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        apart = abs(one - other) / max(abs(one), abs(other))
        return apart if math.isfinite(apart) else math.inf
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _alike(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return not isinstance(one, Mapping) and not isinstance(other, Mapping)
    if _is_number(one) and _is_number(other):
        return True
    if _is_list(one) and _is_list(other):
        return all(isinstance(each, str) for each in (*one, *other))
    return type(one) is type(other) and not isinstance(one, Mapping)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
