"""Where values lie on the axes of a plot. It draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.trials import Goal, SweepResult, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Item = TypeVar("Item")

TICKS = 12
"""Labels of an axis."""
TICK_ROOM = 14
"""Characters beside an axis."""
APART = 0.045
"""Between two labels of an axis of length 1."""
HUGE = 1e100
"""Beyond it nothing is drawn: differences of such numbers overflow."""


@dataclass(frozen=True)
class Scale:
    """From values to places between 0 and 1; logarithmic when they are positive and span two decades."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """One that holds all the values."""
        low, high = min(values), max(values)
        # With two decades themselves: 0.01, 0.1 and 1 is the grid that people write.
        return cls(low, high, log=low >= 1 / HUGE and math.log10(high) - math.log10(low) > 2 - 1e-9)

    @classmethod
    def of_goal(cls, values: Sequence[float], goal: Goal) -> Scale:
        """One that holds the values, without the worst tenth where that would press the others flat."""
        whole = cls.of(values)
        ranked = sorted(values, reverse=goal.direction == "max")
        most = ranked[: math.ceil(0.9 * len(ranked))]
        flat = abs(whole.place(most[-1]) - whole.place(most[0])) < 0.1
        return cls.of(most) if flat and most[0] != most[-1] else whole

    def place(self, value: float) -> float:
        """Where a value lies: 0 is the lowest, 1 the highest; what is outside lies on the edge."""
        if self.low == self.high:
            return 0.5
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return min((at - low) / (high - low), 1.0)

    def margins(self) -> tuple[float, float]:
        """The ends of an axis on which no value lies at the very edge."""
        if self.log:
            room = 10 ** (0.05 * (math.log10(self.high) - math.log10(self.low)))
            return self.low / room, self.high * room
        room = 0.05 * (self.high - self.low) or 0.05 * abs(self.low) or 1.0
        return self.low - room, self.high + room

    def ticks(self) -> list[tuple[float, str]]:
        """The ends, round values between them, and where they lie."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.low == self.high:
            return [(0.5, f"{self.low:.6g}")]
        locator = LogLocator(numticks=7) if self.log else MaxNLocator(nbins=6)
        inside = [float(v) for v in locator.tick_values(self.low, self.high) if self.low < v < self.high]
        between = [(self.place(v), f"{v + 0.0:.6g}") for v in inside if APART <= self.place(v) <= 1 - APART]
        return [(0.0, _end_label(self.low)), *between, (1.0, _end_label(self.high))]


@dataclass(frozen=True)
class Axis:
    """One upright axis: where each trial's line crosses it, and its labels."""

    name: str
    places: Sequence[float]
    """In the order of the trials, the best first."""
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def spread(self, goal: Goal) -> Sequence[float]:
        """The places, drawn apart into bands with the best on one side where many lines cross at few of them.

        Else only the line that is drawn last is seen, and every value looks as good as its best trial.
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
    """Numbers lie to scale; everything else, and numbers among other things, at even distances by label."""
    if all(is_number(value) for value in values):
        numbers = [float(value) for value in values if is_number(value)]
        scale = Scale.of(numbers)
        few = sorted(set(numbers))
        ticks = [(scale.place(v), f"{v:.6g}") for v in few] if len(few) <= 6 else scale.ticks()
        return Axis(name, [scale.place(v) for v in numbers], _apart(ticks), log=scale.log)
    # The texts of 1, True and "1" are alike; they are three values.
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
    """Whether it lies on an axis; nan and infinity do not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= HUGE


def evenly(items: Sequence[Item], room: int) -> list[Item]:
    """At most `room` of the items at even distances, the first and the last among them."""
    if len(items) <= room:
        return list(items)
    return [items[round(i * (len(items) - 1) / (room - 1))] for i in range(room)]


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those whose labels do not cover each other."""
    kept: list[tuple[float, str]] = []
    for tick in ticks:
        if not kept or tick[0] - kept[-1][0] >= APART:
            kept.append(tick)
    return kept


def _end_label(number: float) -> str:
    return f"{number:.6g}" if abs(number) < 1e6 and number == round(number) else f"{number:.3g}"


def _without_middle(text: str) -> str:
    """A long text without its middle: what is swept often differs at the end."""
    half = TICK_ROOM // 2
    return text if len(text) <= TICK_ROOM else f"{text[: half - 1]}…{text[-half:]}"


LINES = 2000
"""Trials that parallel coordinates show: half of them the best, half evenly out of the others."""
BEST, MAIN, PRUNED, GREY = "#d62728", "#1f77b4", "#ff7f0e", "#7f7f7f"


def why_not(result: SweepResult) -> str:
    """Why there is nothing to draw; empty when there is."""
    if result.goal is None:
        return "the sweep had no goal (--metric)"
    if len(_drawable(result)) < 2:
        return f"fewer than two trials finished with a finite value of {formatting.one_line(result.goal.metric, 40)}"
    if _drawable(result)[0][0] is not formatting.ranked(result)[0]:
        return f"the best value, {formatting.figure(formatting.ranked(result)[0].value)}, is too large to be drawn"
    return ""


def optimisation_history(result: SweepResult) -> Figure:
    """The value of each trial in the order of their numbers, and the best so far. Needs `why_not` to be empty."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    goal, done = _goal(result), _drawable(result)
    scale = Scale.of_goal([value for _, value in done], goal)
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    if scale.log:
        axes.set_yscale("log")
    axes.set_ylim(*scale.margins())
    last = max(trial.number for trial in result.trials)
    axes.set_xlim(-0.02 * last - 0.5, 1.02 * last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True))
    _trials(axes, result, scale)
    _best_so_far(axes, done, goal, last)
    best, value = done[0]
    axes.scatter([best.number], [value], s=160, marker="*", color=BEST, zorder=5, label="best")
    axes.set_title(f"Best: {formatting.figure(value)} in trial {best.number}", loc="left")
    axes.set_xlabel("trial, in the order in which they were proposed")
    how = f"{formatting.ordering(result)}{', log scale' if scale.log else ''}"
    axes.set_ylabel(f"{_text(goal.metric, 30)} ({how})", parse_math=False)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def parallel_coordinates(result: SweepResult) -> Figure:
    """A line for each finished trial through its parameters to its value. Needs `why_not` to be empty."""
    import matplotlib
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    goal, done = _goal(result), _drawable(result)
    scale = Scale.of_goal([value for _, value in done], goal)
    shown = [*done[: LINES // 2], *evenly(done[LINES // 2 :], LINES - LINES // 2)]
    scales = [
        axis_of(name, [t.values.get(name, NOT_SET) for t, _ in shown]) for name in formatting.swept(result.trials)
    ]
    scales.append(
        Axis(goal.metric, [scale.place(value) for _, value in shown], _goal_ticks(scale, done, goal), log=scale.log)
    )

    step = max(1.4, 6.5 / len(scales))  # inches between two axes
    width = step * (len(scales) - 1) + 1.7
    figure = Figure(figsize=(width, 5.5))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-0.8 / step, len(scales) - 1 + 0.9 / step)
    axes.set_ylim(-0.06, 1.28)
    shades = [matplotlib.colormaps["viridis"](0.9 * i / 255) for i in range(256)]  # its last tenth is lost on white
    colours = ListedColormap(shades if goal.direction == "min" else shades[::-1])
    places = [axis.spread(goal) for axis in scales[:-1]] + [scales[-1].places]
    lines = [[(x, at[i]) for x, at in enumerate(places)] for i in range(len(shown))]
    order = range(len(shown) - 1, -1, -1)  # the best is drawn last, on top
    alpha = 0.8 if len(shown) <= 50 else 0.35 if len(shown) <= 500 else 0.15
    paint = [(*colours(scales[-1].places[i])[:3], alpha) for i in order]
    axes.add_collection(LineCollection([lines[i] for i in order], colors=paint, linewidths=1.2), autolim=False)
    axes.plot(*zip(*lines[0], strict=True), color=BEST, linewidth=2.2, marker="o", markersize=5)
    for x, axis in enumerate(scales):
        _draw_axis(axes, x, axis, 0.03 / step)
    strip, ends = [[i / 255] for i in range(256)], [len(scales) - 1 - 0.03 / step, len(scales) - 1 + 0.03 / step]
    axes.pcolormesh(ends, [i / 256 for i in range(257)], strip, cmap=colours, zorder=4)
    others = f"the best {LINES // 2} trials and {len(shown) - LINES // 2} of the other {len(done) - LINES // 2}"
    some = others if len(shown) < len(done) else f"all {len(done)} trials"
    title = (
        f"{_text(goal.metric, 40)} of {some} that finished; {formatting.ordering(result)}\n"
        f"red: the best, {formatting.figure(done[0][1])} in trial {done[0][0].number}"
    )
    axes.text(-0.6 / step, 1.25, title, va="top", fontsize=11, parse_math=False)
    return figure


def _goal_ticks(scale: Scale, done: Sequence[tuple[Trial, float]], goal: Goal) -> list[tuple[float, str]]:
    """The last axis; where the worst trials lie beyond its end, the end says so."""
    ticks, worst = scale.ticks(), done[-1][1]
    if goal.direction == "min" and worst > scale.high:
        return [*ticks[:-1], (1.0, f"≥ {ticks[-1][1]}")]
    if goal.direction == "max" and worst < scale.low:
        return [(0.0, f"≤ {ticks[0][1]}"), *ticks[1:]]
    return ticks


def _draw_axis(axes: Axes, x: int, axis: Axis, half: float) -> None:
    axes.plot([x, x], [0, 1], color="#444444", linewidth=1, zorder=3)
    name = _text(axis.name, 2 * TICK_ROOM)
    name = name if len(name) <= TICK_ROOM else f"{name[:TICK_ROOM]}\n{name[TICK_ROOM:]}"
    below = f"{name}\n(log)" if axis.log else name
    axes.text(x, 1.04, below, ha="center", va="bottom", fontsize=9, fontweight="bold", parse_math=False)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for place, label in axis.ticks:
        axes.plot([x - half, x + half], [place, place], color="#444444", linewidth=1, zorder=3)
        text = _text(label, TICK_ROOM)
        axes.text(x + 2 * half, place, text, va="center", fontsize=8, zorder=6, bbox=box, parse_math=False)


def _trials(axes: Axes, result: SweepResult, scale: Scale) -> None:
    """A mark for each trial; what has no value stands along the lower edge, what is too far off at the edge."""
    marks: tuple[tuple[str, tuple[str, ...], str, str, str], ...] = (
        ("finished", ("finished",), "o", MAIN, MAIN),
        ("finished in an earlier run", ("skipped",), "o", MAIN, "none"),
        ("pruned", ("pruned",), "v", PRUNED, "none"),
    )
    size = 36 if len(result.trials) <= 100 else 14 if len(result.trials) <= 1000 else 5
    low, high = scale.margins()
    above: list[int] = []
    below: list[int] = []
    for name, states, marker, edge, face in marks:
        found = [(t.number, t.value) for t in result.trials if t.state in states and is_number(t.value)]
        above += [number for number, value in found if value > high]
        below += [number for number, value in found if value < low]
        inside = [(number, value) for number, value in found if low <= value <= high]
        if inside:
            x, y = zip(*inside, strict=True)
            axes.scatter(x, y, s=size, marker=marker, edgecolors=edge, facecolors=face, alpha=0.7, label=name)
    for numbers, at, marker, side in ((above, high, "^", "above"), (below, low, "v", "below")):
        if numbers:
            name = f"{side} what is shown ({len(numbers)})"
            axes.scatter(numbers, [at] * len(numbers), s=30, marker=marker, color=GREY, clip_on=False, label=name)
    for name, states, marker, edge, _ in marks:
        missing = [t.number for t in result.trials if t.state in states and not is_number(t.value)]
        _along_the_edge(axes, missing, marker, edge, f"{name}, without a value")
    failed = [t.number for t in result.trials if t.state in ("failed", "killed")]
    _along_the_edge(axes, failed, "x", "black", "failed or killed")


def _along_the_edge(axes: Axes, numbers: Sequence[int], marker: str, colour: str, name: str) -> None:
    if numbers:
        size = 30 if len(numbers) <= 200 else 8
        along: Any = axes.get_xaxis_transform()
        text = f"{name} ({len(numbers)})"
        axes.scatter(numbers, [0.02] * len(numbers), s=size, marker=marker, color=colour, transform=along, label=text)


def _best_so_far(axes: Axes, done: Sequence[tuple[Trial, float]], goal: Goal, last: int) -> None:
    steps: list[tuple[int, float]] = []
    for trial, value in sorted(done, key=lambda pair: pair[0].number):
        if not steps or goal.better(value, steps[-1][1]):
            steps.append((trial.number, value))
    numbers, values = zip(*steps, (last, steps[-1][1]), strict=True)
    axes.step(numbers, values, where="post", color=BEST, linewidth=1.5, label="best so far")


def _goal(result: SweepResult) -> Goal:
    if result.goal is None:
        raise ValueError("a sweep without a goal has nothing to draw: ask `why_not` first")
    return result.goal


def _drawable(result: SweepResult) -> list[tuple[Trial, float]]:
    """The trials that finished and their values, the best first."""
    return [(trial, trial.value) for trial in formatting.ranked(result) if is_number(trial.value)]


def _text(text: str, room: int) -> str:
    """A text of others that is drawn without a warning: what the font lacks is a box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in formatting.one_line(text, room))
