"""How two answers to the same rows differ. It asks no model and knows no HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SAME = 1e-6
"""Largest relative difference of two predictions that count as the same."""


@dataclass(frozen=True)
class AnswerComparison:
    """How the answers of two slots to one request differ."""

    rows: int
    different: int
    misshapen: int
    """Of these, how many have another form: code that reads one answer cannot read the other."""
    largest: float
    """Largest relative difference of the numbers."""


def compare_answers(one: Any, other: Any) -> AnswerComparison:
    """Compare two answers to the same rows, row by row."""
    lists = isinstance(one, list), isinstance(other, list)
    if any(lists) and not (all(lists) and len(one) == len(other)):
        return AnswerComparison(1, 1, 1, 0.0)
    if not all(lists):
        one, other = [one], [other]
    rows = list(zip(one, other, strict=True))
    different = [pair for pair in rows if largest_difference(*pair) > SAME]
    misshapen = sum(not same_form(*pair) for pair in different)
    return AnswerComparison(
        len(rows), len(different), misshapen, max((largest_finite_difference(*pair) for pair in rows), default=0.0)
    )


def largest_difference(one: Any, other: Any) -> float:
    """Return the largest relative difference between two answers.

    It is infinite if they differ in form, or in values that are not numbers.
    """
    return max((_relative_difference(*pair) for pair in _pairs(one, other)), default=0.0)


def largest_finite_difference(one: Any, other: Any) -> float:
    """Return the largest finite relative difference between numbers of two answers; 0 if there is none.

    Texts and forms are not compared. A difference from NaN or infinity is not finite, and does not count.
    """
    differences = (_relative_difference(*pair) for pair in _pairs(one, other) if all(map(_is_number, pair)))
    return max((size for size in differences if math.isfinite(size)), default=0.0)


def same_form(one: Any, other: Any) -> bool:
    """Return True if code that reads one answer can read the other: the same names, lengths and kinds of values.

    JSON's null is a missing value of any kind. Lists of texts, as of several labels, may differ in length.
    """
    return all(_same_kind(*pair) for pair in _pairs(one, other))


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the single values of two answers side by side; where their structures differ, the parts that differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for key in one:
            yield from _pairs(one[key], other[key])
    elif _is_list(one) and _is_list(other) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from _pairs(*pair)
    else:
        yield one, other


def _relative_difference(one: Any, other: Any) -> float:
    if _is_number(one) and _is_number(other):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        apart = abs(one - other) / max(abs(one), abs(other))
        return apart if math.isfinite(apart) else math.inf
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _same_kind(one: Any, other: Any) -> bool:
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
