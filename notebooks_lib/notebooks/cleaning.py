"""What a notebook file in git should not hold, or lacks: found for the rules, mended by `nbops check --fix`.

Values in, values out; files are left alone.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook

Found = Iterator[tuple[int, str]]
"""Pairs: index of a cell, and what was found there."""
TRACES = ("executionInfo", "outputId", "ExecuteTime", "execution")
"""What Colab and Jupyter extensions write into a cell's metadata: who ran it, and when."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def find_outputs(notebook: Notebook) -> Found:
    """Yield cells with outputs that are not tagged `keep_output`, and other traces of a run."""
    for cell in notebook.code_cells:
        outputs = notebook.raw["cells"][cell.index].get("outputs")
        if isinstance(outputs, list) and outputs and KEEP_OUTPUT_TAG not in cell.tags:
            yield cell.index, f"{len(outputs)} output(s)"
    for cell in notebook.cells:
        metadata = notebook.raw["cells"][cell.index].get("metadata")
        if traces := [key for key in TRACES if isinstance(metadata, dict) and key in metadata]:
            yield cell.index, f"traces of a run in its metadata: {', '.join(traces)}"
    yield from find_widgets(notebook)


def find_widgets(notebook: Notebook) -> Found:
    """Yield the state of widgets, which holds what they showed, unless a kept output needs it."""
    metadata = notebook.raw.get("metadata")
    if not isinstance(metadata, dict) or "widgets" not in metadata:
        return
    kept = [notebook.raw["cells"][cell.index].get("outputs") for cell in notebook.cells if KEEP_OUTPUT_TAG in cell.tags]
    if WIDGET_VIEW not in json.dumps(kept):
        yield 0, "the state of widgets, with what they have shown"


def find_counts(notebook: Notebook) -> Found:
    """Yield execution counts. A cell that keeps its output keeps its count, which nbval needs to compare it."""
    for cell in notebook.code_cells:
        count = notebook.raw["cells"][cell.index].get("execution_count")
        if count is not None and KEEP_OUTPUT_TAG not in cell.tags:
            yield cell.index, f"execution count {count}"


def find_missing_ids(notebook: Notebook) -> Found:
    """Yield cells without an id, or with the id of another cell."""
    minor = notebook.raw.get("nbformat_minor")
    if not isinstance(minor, int) or minor < 5:
        yield 0, f"notebook format 4.{minor} has no cell ids, 4.5 is needed"
        return
    owners: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.id is None:
            yield cell.index, "no cell id"
        elif cell.id in owners:
            yield cell.index, f"cell id {cell.id!r} is also that of cell {owners[cell.id]}"
        else:
            owners[cell.id] = cell.index


def find_odd_kernel(notebook: Notebook) -> Found:
    """Yield the kernel name of a Python notebook that is not `python3`: other machines may not have that kernel."""
    if not notebook.is_python:
        return
    metadata = notebook.raw.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = spec.get("name") if isinstance(spec, dict) else None
    if name != "python3":
        yield 0, f"kernel name {name!r}, 'python3' is needed" if name else "no kernel name, 'python3' is needed"


KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def clean(notebook: Notebook) -> dict[str, Any]:
    """Return the notebook's JSON without outputs and counts, with an id for each cell and the kernel `python3`.

    Existing ids stay, so that diffs show only what changed; a missing one is made from the cell's index and text. Cells
    tagged `keep_output` keep their outputs. A notebook of another language keeps its kernel.
    """
    raw: dict[str, Any] = copy.deepcopy(dict(notebook.raw))
    metadata = raw.get("metadata")
    metadata = raw["metadata"] = metadata if isinstance(metadata, dict) else {}
    if any(True for _ in find_widgets(notebook)):
        del metadata["widgets"]
    ids: set[str] = set()
    for cell, parsed in zip(raw["cells"], notebook.cells, strict=True):
        if parsed.kind == "code" and KEEP_OUTPUT_TAG not in parsed.tags:
            cell["outputs"] = []
            cell["execution_count"] = None
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        for key in TRACES:
            cell["metadata"].pop(key, None)
        if parsed.id is None or parsed.id in ids:
            cell["id"] = make_id(parsed.index, parsed.source)
        ids.add(cell["id"])
    minor = raw.get("nbformat_minor")
    raw["nbformat_minor"] = max(5, minor if isinstance(minor, int) else 0)
    if notebook.is_python and any(True for _ in find_odd_kernel(notebook)):
        metadata["kernelspec"] = dict(KERNEL)
    return raw


def format_like(before: str, notebook: Mapping[str, Any]) -> str:
    """Write the notebook as text in the form that its file had: indent, line ends and last newline."""
    first = re.match(r"\s*\{(\r?\n)?([ \t]*)", before)
    indent = first[2] if first and first[1] else None
    text = json.dumps(notebook, indent=indent, ensure_ascii=False)
    # A lone surrogate cannot be encoded in UTF-8: in a file it can only be an escape.
    text = re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
    text += "\n" if before.endswith("\n") else ""
    return text.replace("\n", "\r\n") if first and first[1] == "\r\n" else text


def make_id(index: int, source: str) -> str:
    """Return an id for a cell that has none, the same each time."""
    return hashlib.sha256(f"{index}\n{source}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
