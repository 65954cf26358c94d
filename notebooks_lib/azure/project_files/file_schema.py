"""Holds the values of a file against Azure's schema, without the SDK, whose import alone takes seconds.

`file_schemas.json` is derived from the pinned SDK (tests/azure/file_schemas.py); a test holds that it still fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from notebooks_lib import errors
from notebooks_lib.azure.project_files.file_faults import KeyPath, unknown_key

Kind = Literal[
    "environment",
    "compute",
    "job",
    "pipeline",
    "endpoint",
    "deployment",
    "batch_endpoint",
    "batch_deployment",
    "schedule",
    "monitor",
]
_KINDS = {
    "integer": ("a whole number", "write {begin}{number}, for example"),
    "number": ("a number", "write {begin}0.5, for example"),
    "boolean": ("true or false", "write {begin}true, for example"),
    "string": ("a text", 'write {begin}"{text}"'),
    "object": ("a mapping", "write keys and values below {key}:, each indented by two spaces"),
    "array": ("a list", "write each item below {key}:, in a line that begins with `- `"),
}
_NUMBERS = {"timeout": 3600, "idle_time_before_scale_down": 120, "port": 8080, "ssh_port": 22, "dashboard_port": 8265}
_NUMBERS |= {"request_timeout_ms": 5000, "max_queue_wait_ms": 500, "target_utilization_percentage": 70}
"""Numbers for an example, where 2 makes no sense."""


def faults(
    kind: Kind, values: dict[str, Any], *, written: dict[str, Any], decided: Collection[str] = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Yield the path and the text of each fault.

    A text shows a value as it is `written`, not what was filled in, and proposes no key that nbops has `decided`.
    """
    for error in _validator(kind).iter_errors(values):
        path: KeyPath = tuple(error.absolute_path)
        yield from _explained(path, error, _at(path, written, error.instance), decided)


def _at(path: KeyPath, values: Any, default: object) -> object:
    for step in path:
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return default
    return values


def _explained(path: KeyPath, error: Any, written: object, decided: Collection[str]) -> Iterator[tuple[KeyPath, str]]:
    value, schema = error.instance, error.schema
    if error.validator == "additionalProperties":
        for key in value.keys() - schema["properties"].keys():
            known = [
                name for name, rule in schema["properties"].items() if name != "$schema" and not rule.get("readOnly")
            ]
            known = known if path else [name for name in known if name not in decided]
            yield (*path, key), unknown_key(key, known, set() if path else _parents(schema, key))
    elif error.validator == "readOnly":
        yield path, "is set by Azure and cannot be set in a file: remove it"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in value and error.message.startswith(repr(key)):
                rule = schema.get("properties", {}).get(key, {})
                yield (*path, key), f"is missing: write {key}: {' or '.join(rule.get('enum', ())) or '…'}"
    elif error.validator == "enum":
        yield path, _out_of_set(written, error.validator_value)
    else:
        yield path, _wrong_type(path, written, error.validator_value)


def _out_of_set(value: object, allowed: list[str]) -> str:
    if value is None:
        return f"has no value: write {' or '.join(allowed)}, or take the line out"
    if str(value).lower() in allowed:
        return f'{_named(value)} is no text here: write it in quotes, "{str(value).lower()}"'
    nearest = errors.nearest(value, allowed) if isinstance(value, str) else None
    hint = f", did you mean {nearest}?" if nearest else ""
    return f"{_named(value)} is none of {', '.join(allowed)}{hint}"


def _wrong_type(path: KeyPath, value: object, wanted: str | list[str]) -> str:
    kinds = [_KINDS[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted) if kind != "null"]
    key = next((step for step in reversed(path) if isinstance(step, str)), "key")
    text = _named(value) if isinstance(value, int | float) else "…"
    begin = "- " if path and isinstance(path[-1], int) else f"{key}: "
    what = " or ".join(kind for kind, _ in kinds)
    how = kinds[0][1].format(key=key, begin=begin, text=text, number=_NUMBERS.get(key, 2))
    if value is None:
        return f"has no value: {how}, or take the line out"
    return f"{_named(value)} is not {what}: {how}"


def _named(value: object) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a mapping"
    text = "no value" if value is None else json.dumps(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…'"


def _parents(schema: dict[str, Any], key: str) -> set[str]:
    """Return the keys of the top level that have a key of this name below them: its line lost its indentation."""
    return {
        name
        for name, rule in schema["properties"].items()
        for form in (rule, *(each["then"] for each in rule.get("allOf", ())))
        if key in form.get("properties", {}) and not form["properties"][key].get("readOnly")
    }


@cache
def _validator(kind: Kind) -> Any:
    import jsonschema

    schema = json.loads(Path(__file__).with_name("file_schemas.json").read_text("utf-8"))[kind]
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "boolean": _is_boolean})
    rules = {"enum": _enum, "readOnly": _read_only}
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, rules, type_checker=types)(schema)


def _is_integer(_: object, value: object) -> bool:
    """Return whether Azure takes a value as a whole number; also a text of digits, as a variable fills in."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"-?\d{1,18}", value))
    return isinstance(value, int) and not isinstance(value, bool)


def _is_boolean(_: object, value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false"))


def _enum(_: Any, allowed: list[str], value: object, schema: dict[str, Any]) -> Iterator[Any]:
    """Yield an error unless a value is in the set, in whatever case; `camelCase` takes LowPriority for low_priority."""
    from jsonschema import ValidationError

    spelled = value.lower() if isinstance(value, str) else None
    if schema.get("camelCase") and isinstance(value, str):
        snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"([^,])([A-Z][a-z]+)", r"\1_\2", value))
        spelled = re.sub(r",\s*_?", ",", snake).lower()
    if spelled not in allowed:
        yield ValidationError("not in the set")


def _read_only(_: Any, read_only: bool, value: object, schema: dict[str, Any]) -> Iterator[Any]:  # noqa: FBT001
    from jsonschema import ValidationError

    if read_only and value is not None:
        yield ValidationError("read-only")
