"""Parameter values as users give them, by `-p name=value` and in files, and their conversion to checked values."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import expressions, parameter_types
from notebooks_lib.notebooks.parameter_schema import Schema, missing_secrets


def from_command_line(
    pairs: Sequence[str],
    files: Sequence[Path],
    schema: Schema,
    *,
    notebook: str = "",
    environ: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Return the checked values of "name=value" texts (`pairs`) and of YAML or JSON files.

    Texts take precedence over files, and later files over earlier ones. If `environ` is given, it must hold the
    secrets. Raises ParameterError, which names the `notebook`, with all problems.
    """
    values: dict[str, object] = {}
    problems: list[str] = []
    for file in files:
        try:
            content = load_file(Path(file))
            for name, value in content.items():
                parameter = schema.find(str(name))
                values[str(name)] = settle(value, parameter.kind if parameter else parameter_types.ParameterType())
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            problems.append(f"{file}: {reason}")
        except RecursionError:
            problems.append(f"{file}: a value holds itself, or is nested too deeply")
    named: set[str] = set()
    refused: set[str] = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            problems.append(f"-p {pair}: found no name=value; write it as -p name=value")
            continue
        if name in named:
            problems.append(f"{name}: found more than one -p for it, allowed one")
            continue
        named.add(name)
        parameter = schema.find(name)
        try:
            values[name] = parameter.kind.read(text) if parameter else text
        except parameter_types.Mismatch as mismatch:
            problems.append(f"{name}{mismatch.path}: {mismatch}")
            values.pop(name, None)
            refused.add(name)
    values, more = schema.examine(values, refused=refused)
    more += missing_secrets(schema, environ) if environ is not None else []
    if problems or more:
        raise errors.ParameterError(notebook or schema.notebook or "notebook", [*problems, *more])
    return values


def assignments(values: Mapping[str, object]) -> str:
    """Return lines of Python that assign these values to their names, each as a literal of the same type."""
    return "\n".join(f"{name} = {expressions.write_literal(value)}" for name, value in values.items())


class _Ambiguous(str):
    """A bare YAML word that is text in one version of YAML and a bool or number in another: `no`, `1e-3`."""

    other: object


def settle(value: object, kind: parameter_types.ParameterType) -> object:
    """Convert a value from YAML to the parameter's type where YAML is ambiguous, as for `no` or `1e5`."""
    if isinstance(value, _Ambiguous):
        text = str.__str__(value)
        try:
            kind.check(text)
        except parameter_types.Mismatch:
            return value.other
        return value.other if type(kind) is parameter_types.ParameterType else text
    if isinstance(value, list):
        return [settle(item, kind.inner()) for item in value]
    if isinstance(value, dict):
        return {
            str.__str__(key) if isinstance(key, str) else key: settle(item, kind.inner()) for key, item in value.items()
        }
    return value


def load_file(path: Path) -> dict[object, object]:
    """Return the content of a YAML or JSON file.

    Raises OSError when it cannot be read, ValueError when it is not valid or holds a key twice.
    """
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix.lower() == ".json":
        content = json.loads(text, object_pairs_hook=_once)
    else:
        import yaml

        try:
            content = yaml.load(text, Loader=_loader())
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}: " if mark else ""
            raise ValueError(where + " ".join(str(getattr(error, "problem", None) or error).split())) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"found a {type(content).__name__}, allowed a mapping of names to values")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"key {key!r} stands twice")
        table[key] = value
    return table


@functools.cache
def _loader() -> Any:
    """Return a YAML loader without the surprises of YAML 1.1: 1e-3 is a number; 010, 12:30 and dates are text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012

    def boolean(loader: Any, node: Any) -> object:
        word = node.value.lower()
        if word not in ("true", "false", "yes", "no", "on", "off"):
            raise yaml.constructor.ConstructorError(None, None, f"found no bool: {word!r}", node.start_mark)
        value = word in ("true", "yes", "on")
        return value if word in ("true", "false") else ambiguous(node.value, value)

    def integer(loader: Any, node: Any) -> object:
        value = int(node.value.replace("_", ""), 0)
        return value if parameter_types.plain_number(node.value) else ambiguous(node.value, value)

    def real(loader: Any, node: Any) -> object:
        value = float(node.value.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
        return ambiguous(node.value, value) if re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", node.value) else value

    def ambiguous(text: str, value: object) -> _Ambiguous:
        word = _Ambiguous(text)
        word.other = value
        return word

    def mapping(loader: Any, node: Any) -> Any:
        keys: set[object] = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key.value, str) else None
            if name in keys and name is not None:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            keys.add(name)
        return loader.construct_yaml_map(node)

    tag = "tag:yaml.org,2002:"
    for name, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)", list("tTfFyYnNoO")),
        ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+", list("-+0123456789")),
        (
            "float",
            r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+.0123456789"),
        ),
        ("merge", r"<<", ["<"]),
    ):
        Loader.add_implicit_resolver(tag + name, re.compile(rf"^(?:{pattern})$"), first)
    Loader.add_constructor(tag + "bool", boolean)
    Loader.add_constructor(tag + "int", integer)
    Loader.add_constructor(tag + "float", real)
    Loader.add_constructor(tag + "map", mapping)
    return Loader
