"""Draws champion and challengers on one axis. It computes nothing that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.promotion.decision import Evidence, Side
from notebooks_lib.promotion.tables import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE = 8.0
"""Inches."""

HIDDEN = "the budget of this holdout is more than ten uses: its estimates are not shown, they would wear it out"


def draw(evidence: Evidence) -> Figure:
    """The metric of each on the holdout and, where the metric has them, the spread of the figures of single rows."""
    import matplotlib.pyplot as plt

    sides = [side for side in evidence.sides if side.score is not None]
    sides = sides if evidence.shows else []
    spread = bool(sides) and all(side.losses for side in sides)
    figure, axes = plt.subplots(figsize=(WIDE, 1.2 + 0.7 * max(len(sides), 1)))
    if not sides:
        nothing = "the best candidate is the champion itself" if evidence.itself else "the holdout was not read"
        nothing = "there is no candidate" if evidence.nobody else nothing
        nothing = nothing if evidence.shows else HIDDEN
        axes.text(0.5, 0.5, nothing, ha="center", va="center")
        axes.set_axis_off()
    elif spread:
        axes.boxplot([list(side.losses) for side in sides], orientation="horizontal", showmeans=True, widths=0.6)
        axes.set_xlabel(f"loss of each of {sides[0].rows} holdout rows, behind {evidence.metric} (triangle: the mean)")
    else:
        axes.barh(range(1, len(sides) + 1), [side.score or 0.0 for side in sides], height=0.5)
        axes.set_xlabel(f"{evidence.metric} on {sides[0].rows} holdout rows")
    if sides:
        axes.set_yticks(range(1, len(sides) + 1), [_name(side, evidence.metric) for side in sides])
        axes.set_title(f"Champion and challenger{'s' if evidence.rivals else ''} on the holdout of {evidence.ref}")
    figure.tight_layout()
    plt.close(figure)  # else a notebook shows it twice
    return figure


def _name(side: Side, metric: str) -> str:
    return f"{side.label}\n{metric} {shown(side.score)}"
