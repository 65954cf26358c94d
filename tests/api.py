"""Writes docs/api.md from the docstrings of what `notebooks_lib` exports: `python -m tests.api`, or `--check` it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import notebooks_lib

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
    return "\n".join(parts)


def _described(name: str, value: Any, level: int) -> Iterator[str]:
    """Yield a heading, the signature and the docstring, then the same for the public parts."""
    yield f"{'#' * level} {name}\n"
    if inspect.isroutine(value):
        yield f"```python\n{name.rpartition('.')[2]}{_signature(value)}\n```\n"
    elif inspect.isclass(value) and "__init__" in vars(value):
        yield f"```python\n{name}{_signature(value)}\n```\n"
    if text := inspect.getdoc(value):
        yield re.sub(r"^( +)", r"\1", text, flags=re.MULTILINE) + "\n"
    parts = vars(value) if inspect.isclass(value) else {}
    if isinstance(value, ModuleType):
        names = getattr(value, "__all__", None) or [
            key for key, part in vars(value).items() if getattr(part, "__module__", "") == value.__name__
        ]
        parts = {key: getattr(value, key) for key in sorted(names, key=str.lower)}
    for key, part in parts.items():
        function = part.__func__ if isinstance(part, classmethod | staticmethod) else part
        function = function.fget if isinstance(function, property) else function
        if key.startswith("_") or not (inspect.isroutine(function) or (level == 2 and inspect.isclass(function))):
            continue
        yield from _described(f"{name}.{key}", function, level + 1)


def _signature(value: Any) -> str:
    """Return the signature with one parameter a line where it is long."""
    signature = inspect.signature(value)
    text = str(signature).replace("'", "")
    if len(text) <= 90:
        return text
    parameters = list(signature.parameters.values())
    lines, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("    *,")
            starred = True
        lines.append("    " + str(parameter).replace("'", "") + ",")
    result = str(signature.return_annotation).replace("'", "")
    return (
        "(\n" + "\n".join(lines) + "\n)" + ("" if signature.return_annotation is signature.empty else f" -> {result}")
    )


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
