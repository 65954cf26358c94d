"""How far two answers of models lie apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of two answers; infinite when they differ in form, or in anything but numbers."""
    if _is_number(one) and _is_number(other):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        apart = abs(one - other) / max(abs(one), abs(other))
        return apart if math.isfinite(apart) else math.inf
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        return max((difference(one[key], other[key]) for key in one), default=0.0)
    if _is_list(one) and _is_list(other) and len(one) == len(other):
        return max((difference(*pair) for pair in zip(one, other, strict=True)), default=0.0)
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
