"""Azure DevOps' expressions, as far as our pipelines use them. What is not known here is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.ci.github_expressions import Unknown

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([(),])|([A-Za-z_][\w.]*(?:\['[^']+'\])?))")
Look = Callable[[str], str]
FUNCTIONS: Mapping[str, Callable[..., bool]] = {
    "and": lambda *values: all(values),
    "or": lambda *values: any(values),
    "not": lambda value: not value,
    "eq": lambda one, other: one.lower() == other.lower(),
    "ne": lambda one, other: one.lower() != other.lower(),
}
STATUS = ("succeeded", "failed", "canceled")


def evaluate(text: str, look: Look, status: Mapping[str, bool] | None = None) -> Any:
    """Return the value of a condition, or of what stands in `$[ ]`."""
    tokens, position = [], 0
    while text[position:].strip():
        found = TOKEN.match(text, position)
        if not found:
            raise Unknown(f"no expression of ours: {text!r} at {text[position:]!r}")
        tokens.append(found[found.lastindex or 0])
        position = found.end()
    value = _value(tokens, look, status or {}, text)
    if tokens:
        raise Unknown(f"no expression of ours: {text!r}")
    return value


def _value(tokens: list[str], look: Look, status: Mapping[str, bool], text: str) -> Any:
    token = tokens.pop(0)
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if not tokens or tokens[0] != "(":
        return look(token)
    tokens.pop(0)
    values = []
    while tokens and tokens[0] != ")":
        values.append(_value(tokens, look, status, text))
        if tokens and tokens[0] == ",":
            tokens.pop(0)
    if not tokens:
        raise Unknown(f"a bracket is not closed: {text!r}")
    tokens.pop(0)
    if token in STATUS and not values:
        return status[token]
    if token not in FUNCTIONS:
        raise Unknown(f"no function of ours: {token} in {text!r}")
    return FUNCTIONS[token](*values)


def fill_parameters(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a part of a file with the values of its `${{ parameters.NAME }}`, which Azure DevOps fills in first."""
    if isinstance(value, Mapping):
        return {key: fill_parameters(item, parameters) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_parameters(item, parameters) for item in value]
    if not isinstance(value, str):
        return value

    def filled(found: re.Match[str]) -> str:
        name = found[1].strip()
        if not name.startswith("parameters.") or name.removeprefix("parameters.") not in parameters:
            raise Unknown(f"{found[0]} is not known here")
        return str(parameters[name.removeprefix("parameters.")])

    return re.sub(r"\$\{\{(.*?)\}\}", filled, value)


def fill_macros(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the values of its `$(Name)`. Azure DevOps leaves unknown ones as they stand; here they fail."""

    def filled(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise Unknown(f"{found[0]}: no such variable")
        return variables[found[1]]

    return re.sub(r"\$\(([\w.]+)\)", filled, text)
