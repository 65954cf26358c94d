"""Writes docs/api.md from the docstrings of what `notebooks_lib` exports: `python -m tests.api`, or `--check` it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
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


RETURNED = {
    "Candidates": "promotion.candidate_screening",
    "Decision": "promotion.decision",
    "Direction": "metrics.metric",
    "Evidence": "promotion.evidence",
    "LeaveOutMethod": "metrics.metric",
    "Losses": "metrics.metric",
    "ModelInfo": "models.logged_models",
    "Release": "release.promotion_pipeline",
    "ReportTable": "promotion.table_formatting",
    "Score": "metrics.metric",
    "Settings": "settings.project",
    "Store": "tracking.store",
    "Task": "metrics.metric",
    "Version": "models.registry",
}
"""Types that signatures name and the front door does not offer -> their modules."""
FOREIGN = {"Any", "DataFrame", "Figure", "Mapping", "None", "Path", "Sequence", "True"}


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for name in sorted(notebooks_lib.__all__, key=str.lower):
        parts += _described(name, getattr(notebooks_lib, name), level=2)
    text = "\n".join(parts)
    undescribed = sorted(_types_in(text) - FOREIGN - set(re.findall(r"^#+ (?:\w+\.)*(\w+)$", text, re.MULTILINE)))
    assert undescribed == sorted(RETURNED)
    lines = [f"- `{name}`: {_in_one_line(name, RETURNED[name])}" for name in undescribed]
    return prose.wrapped("\n".join((text, "## Types that the signatures name\n", *lines)) + "\n")


def _types_in(text: str) -> set[str]:
    """Return the names of types in the signatures and fields on the page."""
    signatures = re.findall(r"^```python\n(.*?)^```$|^- `(\w+: [^`]*)`", text.removeprefix(INTRODUCTION), re.M | re.S)
    return set(re.findall(r"\b[A-Z]\w+", " ".join(map("".join, signatures))))


def _in_one_line(name: str, module: str) -> str:
    """Return the first sentence of the docstring of a class, or of the text below the alias of a type."""
    tree = ast.parse(Path(notebooks_lib.__file__).parent.joinpath(f"{module.replace('.', '/')}.py").read_text("utf-8"))
    for node, note in pairwise([*tree.body, ast.Pass()]):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n\n")[0]
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            assert isinstance(note, ast.Expr)
            assert isinstance(note.value, ast.Constant)
            return str(note.value.value)
    raise AssertionError(f"{module} has no {name}")


def _described(name: str, value: Any, level: int) -> Iterator[str]:
    """Yield a heading, the signature, the docstring and the fields, then the same for the public parts."""
    yield f"{'#' * level} {name}\n"
    if inspect.isroutine(value) or (inspect.isclass(value) and _is_called(value)):
        yield f"```python\n{name.rpartition('.')[2]}{_signature(value)}\n```\n"
    if text := inspect.getdoc(value):
        yield text + "\n"
    if inspect.isclass(value) and _is_called(value) and (text := vars(value)["__init__"].__doc__):
        yield inspect.cleandoc(text) + "\n"
    yield from _constants(value)
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
        elif inspect.isclass(function) and key in notebooks_lib.__all__:
            yield f"{'#' * (level + 1)} {name}.{key}\n\nSee [{key}](#{key.lower()}).\n"
        elif inspect.isroutine(function) or (level == 2 and inspect.isclass(function)):
            yield from _described(f"{name}.{key}", function, level + 1)


def _constants(value: Any) -> Iterator[str]:
    """Yield a line for each text that a class names, with the comment that stands beside it."""
    members = vars(value) if inspect.isclass(value) else {}
    names = [key for key, part in members.items() if key.isupper() and isinstance(part, str)]
    for key in names:
        note = re.search(rf"^    {key} = [^#\n]*# (.*)$", inspect.getsource(value), re.MULTILINE)
        yield f'- `{key} = "{getattr(value, key)}"`' + (f": {note[1]}" if note else "")
    if names:
        yield ""


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
