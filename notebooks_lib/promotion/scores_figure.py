"""The figure of a decision: the scores of champion and challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.promotion.evidence import Evidence, Side
from notebooks_lib.promotion.table_formatting import HIDDEN, shown

FIGURE_INCHES = 8.0
"""Width in inches."""


def scores_figure(evidence: Evidence) -> Figure:
    """Plot the metric of each model on the holdout and, if the metric has losses of rows, their spread."""
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
        rows = f"loss of each of {sides[0].rows} holdout rows, behind {evidence.metric} (triangle: the mean)"
        axes.set_xlabel(rows, parse_math=False)
    else:
        axes.barh(range(1, len(sides) + 1), [side.score or 0.0 for side in sides], height=0.5)
        axes.set_xlabel(f"{evidence.metric} on {sides[0].rows} holdout rows", parse_math=False)
    if sides:
        labels = [_score_label(side, evidence.metric) for side in sides]
        axes.set_yticks(range(1, len(sides) + 1), labels, parse_math=False)  # names of runs may hold a $
        title = f"Champion and challenger{'s' if evidence.rivals else ''} on the holdout of {evidence.ref}"
        axes.set_title(title, parse_math=False)
    figure.tight_layout()
    plt.close(figure)  # else a notebook shows it twice
    return figure


def _score_label(side: Side, metric: str) -> str:
    return f"{side.label}\n{metric} {shown(side.score)}"
