"""The request that was logged with a model as its example, and a short one made from it. It asks no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROWS = 1
"""Rows that are kept: they show the form and are short enough to print."""


def logged(folder: Path, model: Any) -> dict[str, Any] | None:
    """What lies in the model's folder; None when it was logged without an example, or it is damaged."""
    info = getattr(model.metadata, "saved_input_example_info", None) or {}
    name = info.get("serving_input_path")
    if not name:
        return None
    try:
        payload = json.loads((folder / str(name)).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return payload if isinstance(payload, dict) else None


def first_rows(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The same request with its first row only, where rows can be told."""
    return {key: _cut(key, value) for key, value in payload.items()}


def _cut(key: str, value: Any) -> Any:
    if key == "dataframe_split":
        return {part: v[:ROWS] if part in ("index", "data") else v for part, v in value.items()}
    if key in ("dataframe_records", "instances", "inputs") and isinstance(value, list):
        return value[:ROWS]
    if key == "inputs" and isinstance(value, dict) and all(isinstance(v, list) for v in value.values()):
        return {name: column[:ROWS] for name, column in value.items()}
    return value
