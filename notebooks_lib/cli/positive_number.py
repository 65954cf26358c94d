"""The type of options that take seconds, minutes or a rate: a number above 0 that has an end."""

from __future__ import annotations

import math
from typing import Any

import click


class _PositiveNumber(click.FloatRange):
    """`nan` and `inf` are numbers to Python, and no limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no limit; write a number above 0.", param, ctx)
        return number


POSITIVE = _PositiveNumber(min=0, min_open=True)
