"""Tables, a figure and values as a notebook or a page shows them. It computes nothing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from notebooks_lib.promotion.evidence import Evidence, Side

FIGURE_INCHES = 8.0
"""Width in inches."""

HIDDEN = "the budget of this holdout is more than ten uses: its estimates are not shown, they would wear it out"


@dataclass(frozen=True, repr=False)
class ReportTable:
    """Rows of values under a header; numbers are shown with six digits."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @classmethod
    def of(cls, header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> ReportTable:
        """Return a table with these rows; values are turned into text."""
        return cls(tuple(header), tuple(tuple(map(shown, row)) for row in rows), caption)

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.header, *self.rows)
        ]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    def _repr_html_(self) -> str:
        head = _row(self.header, "th")
        body = "".join(_row(row, "td") for row in self.rows)
        caption = f"<p>{html.escape(self.caption)}</p>" if self.caption else ""
        return f"{caption}<table><tr>{head}</tr>{body}</table>"


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


def shown(value: object) -> str:
    """Format a value for display; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str:
    """Format a share in percent; empty for None."""
    return "" if share is None else f"{100 * share:.4g} %"


def few(value: float | None) -> str:
    """Format a figure with four significant digits."""
    return "" if value is None else f"{value:.4g}"


def distinct_percents(share: float, limit: float) -> tuple[str, str]:
    """Format two shares in percent, with enough digits that they look different."""
    for digits in range(4):
        texts = f"{100 * share:.{digits}f} %", f"{100 * limit:.{digits}f} %"
        if texts[0] != texts[1] or share == limit:
            break
    return texts


def _score_label(side: Side, metric: str) -> str:
    return f"{side.label}\n{metric} {shown(side.score)}"


def _row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f"<{tag} style='text-align:left'>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>" if tag == "td" else inner
