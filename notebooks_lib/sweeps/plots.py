"""The two plots of a sweep: how the best was found, and which values go with good results. Uses no pyplot.

Values may be missing, nan, infinite, or so extreme that they would flatten all others. Decision 33 says why these are
not Optuna's own plots.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from notebooks_lib import errors
from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import SweepResult, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
COLUMNS = 4
"""Most slices in a row."""
LABELS = 8
"""Most labels on the axis of a parameter that has no numbers."""
LABEL_ROOM = 14
HUGE = 1e100
"""Larger values are not drawn: their differences overflow."""
BEST, MAIN, PRUNED, GREY = "#d62728", "#1f77b4", "#ff7f0e", "#7f7f7f"

_log = logging.getLogger(__name__)


def undrawable_reason(result: SweepResult) -> str:
    """Return why no plot can be drawn; empty when plots can be drawn."""
    if result.goal is None:
        return "the sweep had no goal (--metric)"
    if len(_drawable(result)) < 2:
        return f"fewer than two trials finished with a finite value of {formatting.one_line(result.goal.metric, 40)}"
    if _drawable(result)[0][0] is not formatting.ranked_trials(result)[0]:
        best = formatting.ranked_trials(result)[0]
        return f"the best value, {formatting.format_figure(best.value)}, is too large to be drawn"
    return ""


def optimisation_history(result: SweepResult) -> Figure:
    """Plot the value of each trial by number, and the best so far. Call only if `undrawable_reason` is empty."""
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
    axes.set_title(f"Best: {formatting.format_figure(value)} in trial {best.number}", loc="left")
    axes.set_xlabel("trial, in the order in which they were proposed")
    how = f"{formatting.better_direction(result)}{', log scale' if scale.log else ''}"
    axes.set_ylabel(f"{_text(goal.metric, 30)} ({how})", parse_math=False)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def slices(result: SweepResult) -> Figure:
    """Plot the values of finished trials against each parameter. Call only if `undrawable_reason` is empty."""
    from matplotlib.figure import Figure

    goal, done = _goal(result), _drawable(result)
    scale = Scale.of_goal([value for _, value in done], goal)
    low, high = scale.margins()
    values = [min(max(value, low), high) for _, value in done]
    names = formatting.swept_names([trial for trial, _ in done]) or [""]
    columns = min(len(names), COLUMNS)
    rows = math.ceil(len(names) / columns)
    width, height = 3.2 * columns + 1.2, 3.6 * rows + 0.5
    figure = Figure(figsize=(width, height))  # fixed room for labels: a layout engine takes longer than the plot
    figure.subplots_adjust(0.9 / width, 0.9 / height, 1 - 0.2 / width, 1 - 0.7 / height, wspace=0.08, hspace=0.4)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    size = 6.0 if len(done) <= 100 else 3.0 if len(done) <= 1000 else 1.5
    for name, axes in zip(names, panels.flat, strict=False):
        places = _place(axes, [trial.values.get(name, NOT_SET) for trial, _ in done])
        axes.plot(places, values, "o", color=MAIN, alpha=0.5, markersize=size, markeredgewidth=0, clip_on=False)
        axes.plot(places[:1], values[:1], "*", color=BEST, markersize=13, clip_on=False)
        axes.set_title(_text(name, 30), fontsize=10, parse_math=False)
        axes.grid(visible=True, alpha=0.3)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    if scale.log:
        panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(low, high)
    best, value = done[0]
    title = f"{_text(goal.metric, 30)} ({formatting.better_direction(result)}) of {len(done)} trials that finished"
    title += f"; the best, {formatting.format_figure(value)}, is trial {best.number}"
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _place(axes: Axes, values: Sequence[object]) -> list[float]:
    """Return where values lie on the horizontal axis, and label it: to scale for numbers, else evenly by text."""
    numbers = [float(value) for value in values if is_number(value)]
    if len(numbers) == len(values):
        scale = Scale.of(numbers)
        if scale.log:
            axes.set_xscale("log")
        else:
            axes.locator_params(axis="x", nbins=5)
        axes.set_xlim(*scale.margins())
        return numbers
    texts = [formatting.format_value(value, 200) for value in values]
    distinct = sorted(dict(zip(texts, values, strict=True)).items(), key=_order)
    places = {text: float(place) for place, (text, _) in enumerate(distinct)}
    labelled = list(places)[:: math.ceil(len(places) / LABELS)]
    labels = [_text(text, LABEL_ROOM) for text in labelled]
    axes.set_xticks([places[text] for text in labelled], labels, rotation=30, ha="right", parse_math=False)
    axes.set_xlim(-0.5, len(places) - 0.5)
    return [places[text] for text in texts]


def _order(item: tuple[str, object]) -> tuple[int, float, str]:
    """Return a sort key: numbers first, what is missing last."""
    text, value = item
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, math.inf if value != value else value, text)
    return (2 if value is None or value is NOT_SET else 1, 0.0, text)


class _NotSet:
    def __str__(self) -> str:
        return "(not set)"


NOT_SET = _NotSet()


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
        raise ValueError("a sweep without a goal has nothing to draw: ask `undrawable_reason` first")
    return result.goal


def _drawable(result: SweepResult) -> list[tuple[Trial, float]]:
    """Return the finished trials with their values, the best first."""
    return [(trial, trial.value) for trial in formatting.ranked_trials(result) if is_number(trial.value)]


def _text(text: str, room: int) -> str:
    """Replace characters that the font lacks, so that a foreign text is drawn without a warning."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in formatting.one_line(text, room))


@dataclass(frozen=True)
class Scale:
    """The range of values that an axis shows; logarithmic if the values are positive and span two decades."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """Return the scale that shows all values."""
        low, high = min(values), max(values)
        # Exactly two decades count too: users write grids such as 0.01, 0.1, 1.
        return cls(low, high, log=low >= 1 / HUGE and math.log10(high) - math.log10(low) > 2 - 1e-9)

    @classmethod
    def of_goal(cls, values: Sequence[float], goal: Goal) -> Scale:
        """Return a scale that leaves out the worst tenth of the values if they would flatten the others."""
        full = cls.of(values)
        most = sorted(values, reverse=goal.direction == "max")[: math.ceil(0.9 * len(values))]
        flat = most[0] != most[-1] and abs(full._length(most[-1], most[0])) < 0.1 * full._length(full.high, full.low)
        return cls.of(most) if flat else full

    def _length(self, end: float, start: float) -> float:
        return math.log10(end) - math.log10(start) if self.log else end - start

    def margins(self) -> tuple[float, float]:
        """Return the ends of an axis with some room around the values."""
        room = 0.05 * self._length(self.high, self.low)
        if self.log:
            return self.low / 10**room, self.high * 10**room
        room = room or 0.05 * abs(self.low) or 1.0
        return self.low - room, self.high + room


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value can be drawn as a number; nan and infinity cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= HUGE


@dataclass(frozen=True)
class Picture:
    """A plot, or the reason why it is missing."""

    title: str
    hint: str
    """How to read the plot."""
    png: bytes | None
    missing: str = ""


def draw_all(result: SweepResult) -> dict[str, Picture]:
    """Draw both plots. A plot that fails becomes a warning, and its picture holds the reason."""
    kinds: tuple[tuple[str, Callable[[SweepResult], Figure], str, str], ...] = (
        (
            "optimisation_history",
            optimisation_history,
            "How the best was found",
            "The value of each trial, in the order in which trials were proposed. In a search: if the red line still "
            "falls or rises at the end, more trials may find better ones.",
        ),
        (
            "slices",
            slices,
            "What goes with good values",
            "A slice for each parameter: each point is a trial, at the parameter's value and the trial's result. The "
            "star is the best. Where points crowd at the good end, values are good. Results far worse than most lie on "
            "the edge.",
        ),
    )
    missing = undrawable_reason(result)
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
