"""Where the marks of a decision's charts stand on the page, and the scores as a matplotlib figure for a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebooks_lib.promotion.decision import Evidence, Side, Uses
from notebooks_lib.promotion.evidence import Slice
from notebooks_lib.promotion.report_table import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 720
PAD = 24


@dataclass(frozen=True)
class IntervalChart:
    """The gain with its bounds, on an axis that marks `least`, the gain that a promotion requires."""

    lower: float
    gain: float
    upper: float
    least: float
    unit: str

    @property
    def low(self) -> float:
        """Return the left end of the axis."""
        return min(self.lower, self.least, 0.0) - self._room

    @property
    def high(self) -> float:
        """Return the right end of the axis."""
        return max(self.upper, self.least, 0.0) + self._room

    @property
    def _room(self) -> float:
        return (max(self.upper, self.least, 0.0) - min(self.lower, self.least, 0.0)) * 0.12 or 1.0

    @property
    def tone(self) -> str:
        """Return the colour of the bar, by the answer that it gives."""
        return "good" if self.lower > self.least else "bad" if self.upper < self.least else "open"

    @property
    def ticks(self) -> list[float]:
        """Return round values along the axis, at most eight or nine."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 7)
        first = math.ceil(self.low / step)
        return [float(f"{place * step:.6g}") for place in range(first, math.floor(self.high / step) + 1)]

    def x(self, value: float) -> float:
        """Return where a value stands."""
        return PAD + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * PAD)

    def inside(self, value: float, half: float) -> float:
        """Return where a text of this half width stands above a value and stays on the page."""
        return min(max(self.x(value), PAD + half), WIDTH - PAD - half)


@dataclass(frozen=True)
class SliceChart:
    """A bar for each slice; to the right the challenger is better."""

    slices: Sequence[Slice]
    margin: float | None
    """How much a slice may lose."""
    left = 250
    middle = (250 + WIDTH - 90) / 2

    @property
    def height(self) -> int:
        """Return the height of the drawing."""
        return 26 * len(self.slices) + 12

    def x(self, gain: float) -> float:
        """Return where a gain stands; the largest reaches an end."""
        known = (abs(each.gain) for each in self.slices if math.isfinite(each.gain))
        reach = max([*known, self.margin or 0.0]) or 1.0
        return self.middle + gain / reach * (self.middle - self.left)


def uses_boxes(uses: Uses, *, read: bool) -> list[str]:
    """Return what became of each use, at most 40: now, spent or left. `read` says whether this question is one."""
    spent, number = uses.budget - uses.left, uses.number if read else 0
    places = range(1, min(uses.budget, 40) + 1)
    return ["now" if place == number else "spent" if place <= spent else "left" for place in places]


def few(value: float | None) -> str:
    """Format a figure with four digits: more mean nothing in a sample."""
    return "" if value is None else f"{value:.4g}"


FIGURE_INCHES = 8.0
"""Width in inches."""

HIDDEN = "the budget of this holdout is more than ten uses: its estimates are not shown, they would wear it out"


def scores_figure(evidence: Evidence) -> Figure:
    """Plot the metric of each model on the holdout, and the spread of row losses where the metric has them."""
    import matplotlib.pyplot as plt

    sides = [side for side in evidence.sides if side.score is not None]
    sides = sides if evidence.shows_estimates else []
    spread = bool(sides) and all(side.losses for side in sides)
    figure, axes = plt.subplots(figsize=(FIGURE_INCHES, 1.2 + 0.7 * max(len(sides), 1)))
    if not sides:
        nothing = (
            "the best candidate is the champion itself" if evidence.is_champion_itself else "the holdout was not read"
        )
        nothing = "there is no candidate" if evidence.no_candidate else nothing
        nothing = nothing if evidence.shows_estimates else HIDDEN
        axes.text(0.5, 0.5, nothing, ha="center", va="center")
        axes.set_axis_off()
    elif spread:
        axes.boxplot([list(side.losses) for side in sides], orientation="horizontal", showmeans=True, widths=0.6)
        axes.set_xlabel(f"loss of each of {sides[0].rows} holdout rows, behind {evidence.metric} (triangle: the mean)")
    else:
        axes.barh(range(1, len(sides) + 1), [side.score or 0.0 for side in sides], height=0.5)
        axes.set_xlabel(f"{evidence.metric} on {sides[0].rows} holdout rows")
    if sides:
        axes.set_yticks(range(1, len(sides) + 1), [_score_label(side, evidence.metric) for side in sides])
        axes.set_title(f"Champion and challenger{'s' if evidence.rivals else ''} on the holdout of {evidence.ref}")
    figure.tight_layout()
    plt.close(figure)  # else a notebook shows it twice
    return figure


def _score_label(side: Side, metric: str) -> str:
    return f"{side.label}\n{metric} {shown(side.score)}"
