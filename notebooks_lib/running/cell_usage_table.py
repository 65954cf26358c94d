"""Time and memory of each cell of an executed notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


def record_memory(cell: Any, peak_mb: float) -> None:
    """Write the peak memory of the kernel during a cell, in MiB, into the cell's metadata."""
    cell.metadata["nbops"] = {"peak_memory_mb": peak_mb}


@dataclass(frozen=True)
class CellUsage:
    """Time and memory of one code cell of an executed notebook, as in the artifact cells.json."""

    cell: int
    """Index in the executed notebook, from 0."""
    seconds: float | None
    peak_memory_mb: float | None
    status: str | None
    """papermill's: "pending", "completed" or "failed"."""
    line: str


def read_cell_usage(notebook: Any) -> list[CellUsage]:
    """Return time and memory of all code cells, in order; None for a value that was not measured."""
    figures = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            timing = cell.metadata.get("papermill", {})
            peak = cell.metadata.get("nbops", {}).get("peak_memory_mb")
            figures.append(
                CellUsage(index, timing.get("duration"), peak, timing.get("status"), first_line(cell.source))
            )
    return figures


def first_line(source: str) -> str:
    """Return the first line of a cell that is not blank."""
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:200]
