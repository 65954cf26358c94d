"""Writes docs/rules.md from the tables of rules: `python -m tests.rules`, or `--check` it. Reads their examples."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from notebooks_lib.notebooks import document, notebook_rules
from notebooks_lib.notebooks.document import Notebook
from tests import prose
from tests.notebooks import building

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
INTRODUCTION = """# The rules of `nbops check`

How to run it, and how to exempt a cell: [notebooks](notebooks.md#the-rules-of-nbops-check). How often each rule speaks on
public notebooks, and how often it is wrong: [rules on public notebooks](rules-on-public-notebooks.md). This page is made
from the tables of rules: `make api`.

A **fault** goes wrong in any notebook: the run fails, says something that is not so, cannot be repeated elsewhere, or gives a
secret away. Faults are reported everywhere. A **convention** is how notebooks of a project like this one are written; it is
reported in a project (production/settings.toml, or `[tool.nbops]` in pyproject.toml), and elsewhere with `--select ALL`.
`--select` and `[check] select` take `ALL`, `FAULTS`, and beginnings of codes, such as `NB0` and `F821`.

Examples with more than one cell are in the percent format: `# %%` begins a cell, with its tags or its other keys; `# %%%`
says where the notebook stands, or its metadata.
"""
_CELL = re.compile(r"^# %%(?!%) ?(.*)\n", re.MULTILINE)
_FILE = re.compile(r"# %%% (.*)\n")


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for rule in notebook_rules.all_rules():
        family = ".." if len(rule.code) == 2 else ""
        kind = "Convention" if rule.convention else "Fault"
        parts.append(f"## {rule.code}{family}: {rule.what}\n\n*{kind}.* {rule.why} {rule.fix}\n")
        parts += [
            f"{title}\n\n```python\n{text.rstrip()}\n```\n"
            for title, text in (("Reported:", rule.bad), ("Not reported:", rule.good))
        ]
    return prose.wrapped("\n".join(parts))


def example(text: str, folder: Path) -> Notebook:
    """Write an example as a notebook, and read it."""
    path, metadata = folder / "example.ipynb", None
    if match := _FILE.match(text):
        text = text[match.end() :]
        if match[1].startswith("{"):
            metadata = json.loads(match[1])
        else:
            path = folder / match[1]
    parts = _CELL.split(text)
    cells = [_cell(head, source) for head, source in zip(parts[1::2], parts[2::2], strict=True)]
    cells = [*([building.code(parts[0].rstrip("\n"))] if parts[0].strip() else []), *cells]
    return document.read(building.write(path, *cells, **({"metadata": metadata} if metadata else {})))


def _cell(head: str, source: str) -> dict[str, Any]:
    source = source.rstrip("\n")
    if head == "[markdown]":
        return building.md(source)
    if head.startswith("{"):
        return {**building.code(source), **json.loads(head)}
    return building.code(source, *head.split())


def main() -> int:
    """Write the page; with `--check` say whether it is up to date."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        print("docs/rules.md is not what the tables of rules say: make api", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
