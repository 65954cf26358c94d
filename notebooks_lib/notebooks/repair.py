"""Adds what a notebook's JSON lacks, as scripts and old programs write it: metadata, outputs, ids, a version. Pure."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_KEYS = {
    "code": {"cell_type", "id", "metadata", "source", "outputs", "execution_count"},
    "markdown": {"cell_type", "id", "metadata", "source", "attachments"},
    "raw": {"cell_type", "id", "metadata", "source", "attachments"},
}


def complete(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in format 4.5 that has every field which nbformat asks for, and no field that a cell may not have.

    Ids that are there stay, or every diff would be noise; a missing one is made from the cell's place and text. What
    is null where a table belongs becomes an empty table, or is left out.
    """
    made = {key: copy.deepcopy(raw[key]) for key in ("cells", "metadata") if key in raw}
    made["metadata"] = metadata = _table(made.get("metadata"))
    for key in ("kernelspec", "language_info"):
        if key in metadata and not isinstance(metadata[key], dict):
            del metadata[key]
    if "name" not in metadata.get("language_info", {"name": ""}):
        del metadata["language_info"]
    seen: set[str] = set()
    made["cells"] = [_cell(index, cell, seen) for index, cell in enumerate(made["cells"])]
    minor = raw.get("nbformat_minor")
    return {**made, "nbformat": 4, "nbformat_minor": max(5, minor if isinstance(minor, int) else 0)}


def _cell(index: int, cell: dict[str, Any], seen: set[str]) -> dict[str, Any]:
    kind = cell["cell_type"]
    cell = {key: value for key, value in cell.items() if key in _KEYS.get(kind, cell)}
    cell["metadata"] = _table(cell.get("metadata"))
    source = cell.get("source", "")
    cell["source"] = source if isinstance(source, str) else "".join(source)
    if not isinstance(cell.get("attachments", {}), dict):
        del cell["attachments"]
    if kind == "code":
        cell["outputs"] = cell["outputs"] if isinstance(cell.get("outputs"), list) else []
        cell.setdefault("execution_count", None)
    if not isinstance(cell.get("id"), str) or not _ID.fullmatch(cell["id"]) or cell["id"] in seen:
        text = f"{index}\n{cell['source']}"
        cell["id"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    seen.add(cell["id"])
    return cell


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
