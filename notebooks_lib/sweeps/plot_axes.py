"""The axes of plots: where values lie, and the labels beside them. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.trials import Goal

Item = TypeVar("Item")

TICKS = 12
"""Most labels on an axis."""
TICK_ROOM = 14
"""Characters of a label."""
APART = 0.045
"""Least distance between two labels on an axis of length 1."""
HUGE = 1e100
"""Larger values are not drawn: their differences overflow."""


@dataclass(frozen=True)
class Scale:
    """Maps values to positions from 0 to 1; logarithmic if they are positive and span two decades."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """Return the scale of all values."""
        low, high = min(values), max(values)
        # Exactly two decades count too: users write grids such as 0.01, 0.1, 1.
        return cls(low, high, log=low >= 1 / HUGE and math.log10(high) - math.log10(low) > 2 - 1e-9)

    @classmethod
    def of_goal(cls, values: Sequence[float], goal: Goal) -> Scale:
        """Return the scale of the values, without the worst tenth if it would flatten the others."""
        full = cls.of(values)
        ranked = sorted(values, reverse=goal.direction == "max")
        most = ranked[: math.ceil(0.9 * len(ranked))]
        flat = abs(full.place(most[-1]) - full.place(most[0])) < 0.1
        return cls.of(most) if flat and most[0] != most[-1] else full

    def place(self, value: float) -> float:
        """Return the position of a value, from 0 to 1; values outside lie on the edge."""
        if self.low == self.high:
            return 0.5
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return min((at - low) / (high - low), 1.0)

    def margins(self) -> tuple[float, float]:
        """Return the ends of an axis with some room around the values."""
        if self.log:
            room = 10 ** (0.05 * (math.log10(self.high) - math.log10(self.low)))
            return self.low / room, self.high * room
        room = 0.05 * (self.high - self.low) or 0.05 * abs(self.low) or 1.0
        return self.low - room, self.high + room

    def ticks(self) -> list[tuple[float, str]]:
        """Return the ends and round values between them, with their positions."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.low == self.high:
            return [(0.5, f"{self.low:.6g}")]
        locator = LogLocator(numticks=7) if self.log else MaxNLocator(nbins=6)
        inside = [float(v) for v in locator.tick_values(self.low, self.high) if self.low < v < self.high]
        between = [(self.place(v), f"{v + 0.0:.6g}") for v in inside if APART <= self.place(v) <= 1 - APART]
        return [(0.0, _end_label(self.low)), *between, (1.0, _end_label(self.high))]


@dataclass(frozen=True)
class Axis:
    """A vertical axis: the positions of all trials, and its labels."""

    name: str
    places: Sequence[float]
    """In the order of the trials, the best first."""
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def spread(self, goal: Goal) -> Sequence[float]:
        """Spread positions that many trials share into bands, with the best trials on one side.

        Otherwise only the line drawn last is visible, and every value looks as good as its best trial.
        """
        few, many = len(set(self.places)), len(self.places)
        if few > TICKS or many <= few:
            return self.places
        width = min(0.05, 0.4 / few) * min(many / 100, 1.0) * (1 if goal.direction == "min" else -1)
        return [place + width * (i / many - 0.5) for i, place in enumerate(self.places)]


class _NotSet:
    def __str__(self) -> str:
        return "(not set)"


NOT_SET = _NotSet()


def axis_of(name: str, values: Sequence[object]) -> Axis:
    """Return an axis: to scale for numbers, evenly spaced by label for anything else."""
    if all(is_number(value) for value in values):
        numbers = [float(value) for value in values if is_number(value)]
        scale = Scale.of(numbers)
        few = sorted(set(numbers))
        ticks = [(scale.place(v), f"{v:.6g}") for v in few] if len(few) <= 6 else scale.ticks()
        return Axis(name, [scale.place(v) for v in numbers], _apart(ticks), log=scale.log)
    # 1, True and "1" have the same text but are three values.
    kinds = {(type(value).__name__, str(value)): value for value in values}
    order = sorted(kinds, key=lambda key: _order(kinds[key], key))
    places = {key: 0.5 if len(order) == 1 else i / (len(order) - 1) for i, key in enumerate(order)}
    ticks = [(places[key], _without_middle(formatting.value(kinds[key], 200))) for key in evenly(order, TICKS)]
    return Axis(name, [places[type(value).__name__, str(value)] for value in values], ticks)


def _order(value: object, key: tuple[str, str]) -> tuple[int, float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, math.inf if value != value else value, key[1])
    return (2 if value is None or value is NOT_SET else 1, 0.0, key[1])


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value can be drawn as a number; nan and infinity cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= HUGE


def evenly(items: Sequence[Item], room: int) -> list[Item]:
    """Return at most `room` items at even distances, including the first and the last."""
    if len(items) <= room:
        return list(items)
    return [items[round(i * (len(items) - 1) / (room - 1))] for i in range(room)]


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Drop the ticks whose labels would overlap."""
    kept: list[tuple[float, str]] = []
    for tick in ticks:
        if not kept or tick[0] - kept[-1][0] >= APART:
            kept.append(tick)
    return kept


def _end_label(number: float) -> str:
    return f"{number:.6g}" if abs(number) < 1e6 and number == round(number) else f"{number:.3g}"


def _without_middle(text: str) -> str:
    """Cut the middle of a long text: swept values often differ at the end."""
    half = TICK_ROOM // 2
    return text if len(text) <= TICK_ROOM else f"{text[: half - 1]}…{text[-half:]}"
