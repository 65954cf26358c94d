"""Whether callers of one model can call another: MLflow signatures compared, column by column. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Signature = Mapping[str, Any]
"""As `logged_models.signature` returns it: "inputs", "outputs" and "params", lists of columns or None."""

_WIDENS = {
    "integer": {"long", "float", "double"},
    "long": {"double"},
    "float": {"double"},
}
"""Accepted types for a column of the key's type: MLflow converts these without loss."""


def missing_signature(signature: Signature | None) -> str:
    """Return which part a signature lacks, such as its outputs; empty when it is complete."""
    parts = [name for name in ("inputs", "outputs") if not (signature or {}).get(name)]
    return f"its signature has no {' and no '.join(parts)}" if parts else ""


def signature_conflict(old: Signature | None, new: Signature | None) -> str:
    """Return why callers of the model with signature `old` could not call the one with `new`; empty when they can."""
    if unknown := missing_signature(new):
        return unknown
    if unknown := missing_signature(old):
        return f"the champion's is unknown: {unknown}"
    assert old is not None
    assert new is not None
    return _inputs(old["inputs"], new["inputs"]) or _outputs(old["outputs"], new["outputs"])


def _inputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    if not all("name" in column for column in [*old, *new]):
        return "" if _types(old) == _types(new) else f"it takes {_types(new)}, the champion {_types(old)}"
    sent = {column["name"]: column for column in old}
    taken = {column["name"]: column for column in new}
    lacking = [name for name, column in taken.items() if column.get("required", True) and name not in sent]
    if lacking:
        return f"it needs {_names(lacking)}, which the champion's callers do not send"
    refused = [name for name in sent if name not in taken]
    if refused:
        return f"it does not take {_names(refused)}, which the champion's callers send"
    for name, column in taken.items():
        if name in sent and not _fits(sent[name], column):
            return f"its input {name!r} is {_type(column)}, the champion's is {_type(sent[name])}"
        if name in sent and column.get("required", True) and not sent[name].get("required", True):
            return f"its input {name!r} must not be missing, the champion's may be"
    return ""


def _outputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    if len(old) != len(new) or [column.get("name") for column in old] != [column.get("name") for column in new]:
        return f"it gives {_types(new)}, the champion {_types(old)}"
    differing = [
        (old_column, new_column)
        for old_column, new_column in zip(old, new, strict=True)
        if not _fits(old_column, new_column, outputs=True)
    ]
    return f"it gives {_type(differing[0][1])}, the champion {_type(differing[0][0])}" if differing else ""


def _fits(old: Mapping[str, Any], new: Mapping[str, Any], *, outputs: bool = False) -> bool:
    old_type, new_type = _type(old), _type(new)
    # A reader of JSON does not tell an integer from a number; a name is something else.
    numbers = {"integer", "long", "float", "double"}
    return (
        old_type == new_type or new_type in _WIDENS.get(old_type, ()) or (outputs and {old_type, new_type} <= numbers)
    )


def _type(column: Mapping[str, Any]) -> str:
    spec = column.get("tensor-spec")
    if spec:
        return f"{spec.get('dtype')}{list(spec.get('shape', ()))}"
    return str(column.get("type"))


def _types(columns: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{column.get('name', '')} {_type(column)}".strip() for column in columns)


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
