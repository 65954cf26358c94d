"""Whether Jupyter takes a notebook for a valid one, by the schema of nbformat."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

KINDS = ("code", "markdown", "raw")
MINOR = 5
"""Of the newest format 4.x, whose schema is read."""


def find_problem(raw: Mapping[str, Any]) -> str:
    """Return the first thing in a notebook's JSON that the format does not allow, in one line; empty if there is none.

    It quotes no content, which may be long or a secret, except the kind of a cell.
    """
    for index, cell in enumerate(raw["cells"]):
        if cell["cell_type"] not in KINDS:
            return f"cell {index}: its `cell_type` is {cell['cell_type'][:20]!r}, not {', '.join(KINDS[:-1])} or raw"
    if _is_valid(raw):
        return ""
    from nbformat import validator  # four times slower than all the rest, and only needed to name the place

    error = next(iter(validator.iter_validate(raw)), None)
    if error is None:
        return ""
    return f"{_place([*error.absolute_path])}: not as the notebook format has it ({_rule(error)})"


def _is_valid(raw: Mapping[str, Any]) -> bool:
    """Return whether a notebook follows the newest format that nbformat knows; True for a newer one."""
    import fastjsonschema

    if raw["nbformat_minor"] > MINOR:
        return True
    try:
        _schema()(raw)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@cache
def _schema() -> Callable[[Mapping[str, Any]], object]:
    import fastjsonschema

    package = importlib.util.find_spec("nbformat")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "v4" / f"nbformat.v4.{MINOR}.schema.json"
    validate: Callable[[Mapping[str, Any]], object] = fastjsonschema.compile(
        json.loads(file.read_text("utf-8")), use_default=False
    )
    return validate


def _place(path: Sequence[str | int]) -> str:
    cell = f"cell {path[1]}" if path[:1] == ["cells"] and len(path) > 1 else ""
    rest = ".".join(map(str, path[2:] if cell else path))
    return ", ".join(filter(None, (cell, f"`{rest}`" if rest else ""))) or "the file"


def _rule(error: Any) -> str:
    """Return the rule of the schema that is broken, such as "type: array"."""
    value = error.validator_value
    values = value if isinstance(value, list) else [value]
    known = all(isinstance(one, str | int) and not isinstance(one, bool) for one in values)
    return f"{error.validator}: {', '.join(map(str, values))}" if known else str(error.validator)
