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


def compare_answers(first: Any, second: Any) -> AnswerComparison:
    """Compare two answers to the same rows, row by row."""
    lists = isinstance(first, list), isinstance(second, list)
    if any(lists) and not (all(lists) and len(first) == len(second)):
        return AnswerComparison(1, 1, 1, 0.0)
    if not all(lists):
        first, second = [first], [second]
    rows = list(zip(first, second, strict=True))
    different = [pair for pair in rows if largest_difference(*pair) > SAME]
    misshapen = sum(not same_form(*pair) for pair in different)
    return AnswerComparison(
        len(rows), len(different), misshapen, max((largest_finite_difference(*pair) for pair in rows), default=0.0)
    )


def largest_difference(first: Any, second: Any) -> float:
    """Return the largest relative difference between two answers.

    It is infinite if they differ in form, or in values that are not numbers.
    """
    return max((_relative_difference(*pair) for pair in _pairs(first, second)), default=0.0)


def largest_finite_difference(first: Any, second: Any) -> float:
    """Return the largest finite relative difference between numbers of two answers; 0 if there is none.

    Texts and forms are not compared. A difference from NaN or infinity is not finite, and does not count.
    """
    differences = (_relative_difference(*pair) for pair in _pairs(first, second) if all(map(_is_number, pair)))
    return max((size for size in differences if math.isfinite(size)), default=0.0)


def same_form(first: Any, second: Any) -> bool:
    """Return True if code that reads one answer can read the other: the same names, lengths and kinds of values.

    JSON's null is a missing value of any kind. Lists of texts, as of several labels, may differ in length.
    """
    return all(_same_kind(*pair) for pair in _pairs(first, second))


def _pairs(first: Any, second: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the single values of two answers side by side; where their structures differ, the parts that differ."""
    if isinstance(first, Mapping) and isinstance(second, Mapping) and first.keys() == second.keys():
        for key in first:
            yield from _pairs(first[key], second[key])
    elif _is_list(first) and _is_list(second) and len(first) == len(second):
        for pair in zip(first, second, strict=True):
            yield from _pairs(*pair)
    else:
        yield first, second


def _relative_difference(first: Any, second: Any) -> float:
    if _is_number(first) and _is_number(second):
        if first == second or (math.isnan(first) and math.isnan(second)):
            return 0.0
        apart = abs(first - second) / max(abs(first), abs(second))
        return apart if math.isfinite(apart) else math.inf
    return 0.0 if type(first) is type(second) and first == second else math.inf


def _same_kind(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return not isinstance(first, Mapping) and not isinstance(second, Mapping)
    if _is_number(first) and _is_number(second):
        return True
    if _is_list(first) and _is_list(second):
        return all(isinstance(text, str) for text in (*first, *second))
    return type(first) is type(second) and not isinstance(first, Mapping)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
