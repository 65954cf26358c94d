"""Requests of a wanted number of rows, made from one request by repeating its rows. It checks no schema."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

from notebooks_lib.errors import UsageError

_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs", "input_data")


def batch(payload: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The same request with so many rows. Raises UsageError when its rows cannot be told apart."""
    key = _format(payload)
    value = payload[key]
    if key == "dataframe_split" or (key == "input_data" and isinstance(value, Mapping) and "data" in value):
        return {**payload, key: {**_without_index(value), "data": _repeat(value.get("data"), rows)}}
    if isinstance(value, Mapping) and value and all(isinstance(column, list) for column in value.values()):
        return {**payload, key: {name: _repeat(column, rows) for name, column in value.items()}}
    return {**payload, key: _repeat(value, rows)}


def _format(payload: Mapping[str, Any]) -> str:
    found = [key for key in _FORMATS if key in payload]
    if len(found) != 1:
        raise UsageError(
            f"the request has the keys {', '.join(payload) or '(none)'}; expected one of {', '.join(_FORMATS)}"
        )
    return found[0]


def _without_index(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in table.items() if name != "index"}


def _repeat(rows: Any, number: int) -> list[Any]:
    if not isinstance(rows, list) or not rows:
        raise UsageError("the request's rows are not a list, so no batches can be made of them; give --batch 1")
    return list(islice(cycle(rows), number))
