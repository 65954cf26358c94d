"""Finds what a notebook file in git should not hold or lack: outputs, counts, ids, kernel names. It mends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook

Found = Iterator[tuple[int, str]]
"""Index of the cell, and what was found there."""
TRACES = ("executionInfo", "outputId", "ExecuteTime", "execution")
"""What Colab and extensions of Jupyter note in a cell's metadata: who ran it, and when."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def outputs(notebook: Notebook) -> Found:
    """Cells that hold outputs without saying so."""
    for cell in notebook.code_cells:
        held = notebook.raw["cells"][cell.index].get("outputs")
        if isinstance(held, list) and held and KEEP_OUTPUT_TAG not in cell.tags:
            yield cell.index, f"{len(held)} output(s)"
    for cell in notebook.cells:
        metadata = notebook.raw["cells"][cell.index].get("metadata")
        if left := [key for key in TRACES if isinstance(metadata, dict) and key in metadata]:
            yield cell.index, f"traces of a run in its metadata: {', '.join(left)}"
    yield from widgets(notebook)


def widgets(notebook: Notebook) -> Found:
    """The state of widgets, which holds what they have shown, where no output that is kept needs it."""
    metadata = notebook.raw.get("metadata")
    if not isinstance(metadata, dict) or "widgets" not in metadata:
        return
    kept = [notebook.raw["cells"][cell.index].get("outputs") for cell in notebook.cells if KEEP_OUTPUT_TAG in cell.tags]
    if WIDGET_VIEW not in json.dumps(kept):
        yield 0, "the state of widgets, with what they have shown"


def counts(notebook: Notebook) -> Found:
    """Execution counts. A cell that keeps its output keeps its count: nbval compares no cell without one."""
    for cell in notebook.code_cells:
        count = notebook.raw["cells"][cell.index].get("execution_count")
        if count is not None and KEEP_OUTPUT_TAG not in cell.tags:
            yield cell.index, f"execution count {count}"


def ids(notebook: Notebook) -> Found:
    """Cells without an id of their own."""
    minor = notebook.raw.get("nbformat_minor")
    if not isinstance(minor, int) or minor < 5:
        yield 0, f"notebook format 4.{minor} has no cell ids, 4.5 is needed"
        return
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.id is None:
            yield cell.index, "no cell id"
        elif cell.id in seen:
            yield cell.index, f"cell id {cell.id!r} is also that of cell {seen[cell.id]}"
        else:
            seen[cell.id] = cell.index


def kernel(notebook: Notebook) -> Found:
    """A kernel that other machines may not have; another language has none that all have."""
    if not notebook.is_python:
        return
    metadata = notebook.raw.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = spec.get("name") if isinstance(spec, dict) else None
    if name != "python3":
        yield 0, f"kernel name {name!r}, 'python3' is needed" if name else "no kernel name, 'python3' is needed"
