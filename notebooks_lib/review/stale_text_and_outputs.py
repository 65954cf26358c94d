"""Text and outputs in the file that no longer fit the code of a notebook, and outputs that changed. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest

from notebooks_lib import safe_text
from notebooks_lib.notebooks.cell_outputs import read_outputs, read_text
from notebooks_lib.notebooks.document import KEEP_OUTPUT_TAG, Notebook, NotebookCell
from notebooks_lib.notebooks.notebook_diff import CellChange, NotebookDiff

_SPAN = re.compile(r"(?<!`)`([^`\n]{1,80})`(?!`)")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_LONGEST = 60
"""Characters of a line of output that are shown."""


def find_stale_text(
    diff: NotebookDiff, base_run: Notebook | None = None, head_run: Notebook | None = None
) -> tuple[str, ...]:
    """Return a line for each text that mentions a removed name, and for each kept output that no longer fits the code.

    Also a line for each other output in the file that changed, or one if none did although code above them did.
    `base_run` and `head_run` are the executed notebooks of base and head.
    """
    if not diff.base.is_python or not diff.head.is_python:
        return ()
    return (*_stale_words(diff), *_stale_outputs(diff, base_run, head_run), *_stored_outputs(diff))


def _stale_words(diff: NotebookDiff) -> Iterator[str]:
    gone = _variables(diff.base) - _variables(diff.head) - _mentioned(diff.head)
    for change in diff.cells:
        if change.base and change.head and change.head.kind == change.base.kind == "markdown":
            words = [word for word in _in_backticks(change.head) if word in gone and word in _in_backticks(change.base)]
            if words:
                yield f"text in {change.head.label} still mentions {', '.join(f'`{word}`' for word in words)}"


def _stale_outputs(diff: NotebookDiff, base_run: Notebook | None, head_run: Notebook | None) -> Iterator[str]:
    for change in diff.cells:
        if change.base is None or change.head is None or KEEP_OUTPUT_TAG not in change.head.tags:
            continue
        outputs = read_outputs(diff.head, change.head)
        if not outputs or outputs != read_outputs(diff.base, change.base):
            continue
        if "edited" in change.kinds:
            yield f"the kept output of {change.head.label} is older than its code"
        elif base_run and head_run and _differs(diff, change, base_run, head_run):
            yield f"the kept output of {change.head.label} is not what its code gives now"


def _stored_outputs(diff: NotebookDiff) -> Iterator[str]:
    """Yield what happened to outputs without the tag, as where notebooks are committed with all their outputs."""
    changed = _edited(diff)
    edited = [cell.index for cell in diff.head.python_cells if cell.index in changed]
    unchanged = []
    for change in diff.cells:
        base, head = change.base, change.head
        if not base or not head or KEEP_OUTPUT_TAG in head.tags or not read_outputs(diff.head, head):
            continue
        if read_outputs(diff.base, base) == read_outputs(diff.head, head):
            unchanged += [head] if edited and head.index >= edited[0] else []
            continue
        edited = []  # it ran again: what is as before is so after a run
        texts = (read_text(diff.base, base).splitlines(), read_text(diff.head, head).splitlines())
        if lines := next((pair for pair in zip_longest(*texts, fillvalue="") if pair[0] != pair[1]), None):
            before, after = (_quoted(line) for line in lines)
            yield f"the output of {head.label} in the file is {after}, before {before}"
    if edited and unchanged:
        yield f"no output in the file changed, from {unchanged[0].label} on, though code did: they may be older than it"


def _edited(diff: NotebookDiff) -> set[int]:
    """Return the indices in the head of the cells whose code is new or does something else than before."""
    pairs = [(change.base, change.head) for change in diff.cells]
    return {head.index for base, head in pairs if head and (not base or _meaning(base) != _meaning(head))}


def _meaning(cell: NotebookCell) -> str:
    """Return what a cell's code says, without comments and layout."""
    return ast.dump(cell.code.tree) if cell.code.tree else cell.source


def _quoted(line: str) -> str:
    """Return a line of output in backticks, shortened."""
    text = safe_text.masked(line).replace("`", "'").strip()
    return f"`{text[:_LONGEST]}{'…' if len(text) > _LONGEST else ''}`" if text else "empty"


def _differs(diff: NotebookDiff, change: CellChange, base_run: Notebook, head_run: Notebook) -> bool:
    """Return whether a kept text was right before and is not now; one that was never right may vary by itself."""
    assert change.base is not None
    assert change.head is not None
    if len(base_run.cells) != len(diff.base.cells) or len(head_run.cells) != len(diff.head.cells):
        return False
    kept_text = read_text(diff.head, change.head)
    before = read_text(base_run, base_run.cells[change.base.index])
    return kept_text == before != read_text(head_run, head_run.cells[change.head.index])


def _variables(notebook: Notebook) -> set[str]:
    """Return the names that the code assigns, imports, defines or reads."""
    names: set[str] = set()
    for cell in notebook.python_cells:
        for node in cell.nodes:
            match node:
                case ast.Name(id=name) | ast.arg(arg=name):
                    names.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.alias(name=name, asname=asname):
                    names |= {asname or name.partition(".")[0]}
    return names


def _mentioned(notebook: Notebook) -> set[str]:
    """Return the words in attributes and strings: columns, metrics and methods are spoken of too."""
    words: set[str] = set()
    for cell in notebook.python_cells:
        for node in cell.nodes:
            match node:
                case ast.Attribute(attr=name):
                    words.add(name)
                case ast.Constant(value=str(text)):
                    words.update(_IDENTIFIER.findall(text))
    return words


def _in_backticks(cell: NotebookCell) -> list[str]:
    """Return the identifiers in code spans of a text, each once."""
    return list(dict.fromkeys(word for span in _SPAN.findall(cell.source) for word in _IDENTIFIER.findall(span)))
