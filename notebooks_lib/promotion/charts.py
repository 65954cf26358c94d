"""Draw a decision: as inline SVG for the page, and as a matplotlib figure for the notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from notebooks_lib.promotion.decision import Evidence, Side
from notebooks_lib.promotion.report_table import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 720
PAD = 24


def interval_svg(*, lower: float, gain: float, upper: float, least: float, unit: str, names: tuple[str, str]) -> str:
    """Draw the gain with its bounds on an axis that marks `least`, the gain a promotion requires.

    `names` are the models that are better to the left and to the right of zero.
    """
    low, high = min(lower, least, 0.0), max(upper, least, 0.0)
    room = (high - low) * 0.12 or 1.0
    low, high = low - room, high + room

    def x(value: float) -> float:
        return PAD + (value - low) / (high - low) * (WIDTH - 2 * PAD)

    better = lower > least
    tone = "good" if better else "bad" if upper < least else "open"
    ticks = "".join(
        f'<line x1="{x(at):.1f}" y1="112" x2="{x(at):.1f}" y2="118" class="axis"/>'
        f'<text x="{x(at):.1f}" y="132" class="mid small">{shown(at)}</text>'
        for at in _ticks(low, high)
    )
    parts = [
        f'<rect x="{x(least):.1f}" y="22" width="{x(high) - x(least):.1f}" height="90" class="zone"/>',
        f'<line x1="{x(low):.1f}" y1="112" x2="{x(high):.1f}" y2="112" class="axis"/>{ticks}',
        f'<line x1="{x(least):.1f}" y1="22" x2="{x(least):.1f}" y2="112" class="wanted"/>',
        f'<text x="{_inside(x(least), 60):.1f}" y="15" class="mid small">wanted: above {shown(least)}</text>',
        f'<line x1="{x(lower):.1f}" y1="66" x2="{x(upper):.1f}" y2="66" class="bar {tone}"/>',
        *(f'<line x1="{x(v):.1f}" y1="54" x2="{x(v):.1f}" y2="78" class="cap {tone}"/>' for v in (lower, upper)),
        f'<circle cx="{x(gain):.1f}" cy="66" r="7" class="dot {tone}"/>',
        f'<text x="{_inside(x(gain), 40):.1f}" y="46" class="mid strong">{few(gain)}</text>',
        f'<text x="{max(x(lower) + 4, PAD + 40):.1f}" y="96" class="end small">{few(lower)}</text>',
        f'<text x="{min(x(upper) - 4, WIDTH - PAD - 40):.1f}" y="96" class="small">{few(upper)}</text>',
        f'<text x="{PAD}" y="152" class="small">&#8592; {html.escape(names[0])} better</text>',
        f'<text x="{WIDTH / 2}" y="152" class="mid small">gain in {html.escape(unit)}</text>',
        f'<text x="{WIDTH - PAD}" y="152" class="end small">{html.escape(names[1])} better &#8594;</text>',
    ]
    label = f"Gain {few(gain)}, from {few(lower)} to {few(upper)}; wanted: above {shown(least)}"
    return _svg_element(160, label, parts)


def uses_svg(budget: int, spent: int, number: int) -> str:
    """Draw a box for each use of the holdout: spent, this one, left."""
    count = min(budget, 40)
    size = min(26.0, (WIDTH - 2 * PAD) / count)
    parts = []
    for place in range(1, count + 1):
        kind = "now" if place == number else "spent" if place <= spent else "left"
        box = f'x="{PAD + (place - 1) * size:.1f}" y="4" width="{size - 4:.1f}" height="18" rx="3"'
        parts.append(f'<rect {box} class="use {kind}"/>')
    return _svg_element(26, f"Use {number} of {budget}, {max(budget - spent, 0)} left", parts)


def slices_svg(rows: Sequence[tuple[str, int, float]], *, margin: float | None) -> str:
    """Draw a bar for each slice with its name, rows and gain; NaN gets no bar."""
    known = [gain for _, _, gain in rows if math.isfinite(gain)]
    reach = max([abs(gain) for gain in known] + [margin or 0.0]) or 1.0
    left, right = 250, WIDTH - 90
    middle, half = (left + right) / 2, (right - left) / 2
    height = 26 * len(rows) + 12
    parts = [f'<line x1="{middle}" y1="2" x2="{middle}" y2="{height - 8}" class="axis"/>']
    if margin is not None:
        at = middle - margin / reach * half
        parts.append(f'<line x1="{at:.1f}" y1="2" x2="{at:.1f}" y2="{height - 8}" class="wanted"/>')
    for place, (label, count, gain) in enumerate(rows):
        y = 26 * place + 4
        parts.append(f'<text x="{left - 12}" y="{y + 14}" class="end small">{html.escape(label)} ({count} rows)</text>')
        if not math.isfinite(gain):
            parts.append(f'<text x="{middle + 6}" y="{y + 14}" class="small">undefined</text>')
            continue
        width = abs(gain) / reach * half
        start = middle if gain >= 0 else middle - width
        tone = "good" if gain >= 0 else "bad"
        parts.append(f'<rect x="{start:.1f}" y="{y}" width="{max(width, 1):.1f}" height="18" class="slice {tone}"/>')
        parts.append(f'<text x="{WIDTH - PAD}" y="{y + 14}" class="end small">{few(gain)}</text>')
    return _svg_element(height, f"The gain in each of {len(rows)} slices", parts)


def few(value: float | None) -> str:
    """Format a figure with four digits: more mean nothing in a sample."""
    return "" if value is None else f"{value:.4g}"


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 7)
    first = math.ceil(low / step)
    return [float(f"{place * step:.6g}") for place in range(first, math.floor(high / step) + 1)]


def _inside(x: float, half: float) -> float:
    """Return an x position at which a text of this half width stays on the page."""
    return min(max(x, PAD + half), WIDTH - PAD - half)


def _svg_element(height: float, label: str, parts: Sequence[str]) -> str:
    escaped_label = html.escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escaped_label}"><title>{escaped_label}</title>'
        f"{''.join(parts)}</svg>"
    )


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
