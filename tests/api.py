"""Writes docs/api.md from the docstrings of what `notebooks_lib` exports: `python -m tests.api`, or `--check` it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import notebooks_lib
from tests import prose

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
INTRODUCTION = """# What notebooks and scripts import

```python
from notebooks_lib import datasets, tracking
```

Only the names on this page are kept from version to version; everything else in `notebooks_lib` may move. Nothing is
imported before it is used. The page is made from the docstrings: `make api`.
"""


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for name in sorted(notebooks_lib.__all__, key=str.lower):
        parts += _described(name, getattr(notebooks_lib, name), level=2)
    return prose.wrapped("\n".join(parts))


def _described(name: str, value: Any, level: int) -> Iterator[str]:
    """Yield a heading, the signature, the docstring and the fields, then the same for the public parts."""
    yield f"{'#' * level} {name}\n"
    if inspect.isroutine(value) or (inspect.isclass(value) and _is_called(value)):
        yield f"```python\n{name.rpartition('.')[2]}{_signature(value)}\n```\n"
    if text := inspect.getdoc(value):
        yield text + "\n"
    if dataclasses.is_dataclass(value):
        notes = _field_notes(value)  # type: ignore[arg-type]
        for field in dataclasses.fields(value):
            if not field.name.startswith("_"):
                yield f"- `{field.name}: {field.type}`{': ' if field.name in notes else ''}{notes.get(field.name, '')}"
        yield ""
    for key, part in _parts(value).items():
        function = part.__func__ if isinstance(part, classmethod | staticmethod) else part
        if isinstance(function, property):
            yield f"{'#' * (level + 1)} {name}.{key}\n\n{inspect.getdoc(function) or ''}\n"
        elif inspect.isroutine(function) or (level == 2 and inspect.isclass(function)):
            yield from _described(f"{name}.{key}", function, level + 1)


def _is_called(value: type) -> bool:
    """Whether users make such objects themselves: values are only returned to them."""
    return "__init__" in vars(value) and not dataclasses.is_dataclass(value)


def _parts(value: Any) -> dict[str, Any]:
    """Return the public members of a module or a class."""
    if isinstance(value, ModuleType):
        return {key: getattr(value, key) for key in sorted(value.__all__, key=str.lower) if key != "DIRECTIONS"}
    fields = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    members = vars(value) if inspect.isclass(value) else {}
    return {key: part for key, part in members.items() if not key.startswith("_") and key not in fields}


def _field_notes(value: type) -> dict[str, str]:
    """Return the docstring below each field of a class."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(note.value.value.split())
        for field, note in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
    }


def _signature(value: Any) -> str:
    """Return the signature without `self`, one parameter a line where it is long."""
    signature = inspect.signature(value)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    result = "" if signature.return_annotation is signature.empty else f" -> {_plain(signature.return_annotation)}"
    words, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        words.append(_parameter(parameter))
    line = f"({', '.join(words)}){result}"
    return line if len(line) <= 90 else "(\n" + "".join(f"    {word},\n" for word in words) + f"){result}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_plain(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def _plain(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.strip("'\"") if text[:1] == text[-1:] else text


def main() -> int:
    """Write the page; with `--check` say whether it is up to date."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        print("docs/api.md is not what the docstrings say: make api", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
