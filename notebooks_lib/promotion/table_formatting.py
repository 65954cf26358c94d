"""Tables and values as a notebook or a page shows them. It computes nothing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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


def _row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f"<{tag} style='text-align:left'>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>" if tag == "td" else inner
