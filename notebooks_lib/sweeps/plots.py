"""Draw the plots of a sweep, without pyplot or global settings.

Values may be missing, nan, infinite, or so extreme that they would flatten all others.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.plot_axes import NOT_SET, TICK_ROOM, Axis, Scale, axis_of, evenly, is_number
from notebooks_lib.sweeps.trials import Goal, SweepResult, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_log = logging.getLogger(__name__)
DPI = 110


LINES = 2000
"""Most lines in parallel coordinates: half for the best trials, half spread over the others."""
BEST, MAIN, PRUNED, GREY = "#d62728", "#1f77b4", "#ff7f0e", "#7f7f7f"


def why_not(result: SweepResult) -> str:
    """Return why nothing can be drawn; empty when plots can be drawn."""
    if result.goal is None:
        return "the sweep had no goal (--metric)"
    if len(_drawable(result)) < 2:
        return f"fewer than two trials finished with a finite value of {formatting.one_line(result.goal.metric, 40)}"
    if _drawable(result)[0][0] is not formatting.ranked(result)[0]:
        return f"the best value, {formatting.figure(formatting.ranked(result)[0].value)}, is too large to be drawn"
    return ""


def optimisation_history(result: SweepResult) -> Figure:
    """Plot the value of each trial by number, and the best so far. Call only if `why_not` is empty."""
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
    """Plot each finished trial as a line through its parameters to its value. Call only if `why_not` is empty."""
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
    shades = [
        matplotlib.colormaps["viridis"](0.9 * i / 255) for i in range(256)
    ]  # the last tenth is too light on white
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
    """Return the ticks of the goal's axis; the end says if worse trials lie beyond it."""
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
    """Draw a mark for each trial: without a value along the lower edge, too extreme ones at the edge."""
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
        points = [(t.number, t.value) for t in result.trials if t.state in states and is_number(t.value)]
        above += [number for number, value in points if value > high]
        below += [number for number, value in points if value < low]
        inside = [(number, value) for number, value in points if low <= value <= high]
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
    """Return the finished trials with their values, the best first."""
    return [(trial, trial.value) for trial in formatting.ranked(result) if is_number(trial.value)]


def _text(text: str, room: int) -> str:
    """Replace characters that the font lacks, so that a foreign text is drawn without a warning."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in formatting.one_line(text, room))


@dataclass(frozen=True)
class Picture:
    """A plot, or why it is missing."""

    title: str
    hint: str
    """How to read the plot."""
    png: bytes | None
    missing: str = ""


def draw_all(result: SweepResult) -> dict[str, Picture]:
    """Draw both plots. A plot that fails is a warning, and its picture says why it is missing."""
    kinds: tuple[tuple[str, Callable[[SweepResult], Figure], str, str], ...] = (
        (
            "optimisation_history",
            optimisation_history,
            "How the best was found",
            "The value of each trial, in the order in which trials were proposed. In a search: if the red line still "
            "falls or rises at the end, more trials may find better ones.",
        ),
        (
            "parallel_coordinates",
            parallel_coordinates,
            "What goes with good values",
            "Each line is a trial: it crosses every axis at that parameter's value and ends at the trial's result. "
            "Where the dark lines meet, values are good. Many trials with one value are drawn side by side, as a band.",
        ),
    )
    missing = why_not(result)
    pictures = {}
    for name, draw, title, hint in kinds:
        png, why = None, missing
        if not missing:
            try:
                png = _png(draw(result))
            except Exception as error:  # noqa: BLE001 - whatever the values make matplotlib raise: a plot is an extra
                why = f"{type(error).__name__}: {errors.reason(error)}"
                _log.warning("no plot %s of sweep %s: %s", name, result.run_id, why)
        pictures[name] = Picture(title, hint, png, why)
    return pictures


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI)
    return target.getvalue()
