"""Finds where a notebook is not built as people here expect to read it: parameters, title, prose, length of cells."""

from __future__ import annotations

import ast
import re

from notebooks_lib.notebooks import constants, hints
from notebooks_lib.notebooks.document import PARAMETERS_TAG, Notebook
from notebooks_lib.notebooks.hygiene import Found
from notebooks_lib.notebooks.kinds import Bounds
from notebooks_lib.notebooks.parameters import SECRET_DEFAULT, schema

_LIKE_A_RANGE = re.compile(r"[<>]|\d\s*(\.\.|-|–|to\b|,)\s*\d")
LONGEST_CELL = 15
LONGEST_FUNCTION = 5
MOST_CODE_CELLS_IN_A_ROW = 2


def parameters_cell(notebook: Notebook) -> Found:
    """None, several, or not the first code cell; parameters are read from Python only."""
    if not notebook.is_python:
        return
    tagged = [cell for cell in notebook.code_cells if PARAMETERS_TAG in cell.tags]
    first = next((cell for cell in notebook.code_cells if cell.source.strip()), None)
    if not tagged:
        yield (first.index if first else 0), "no code cell is tagged `parameters`"
    elif first is not None and tagged[0].index > first.index:
        yield tagged[0].index, f"the cell tagged `parameters` stands after code (cell {first.index})"
    for cell in tagged[1:]:
        yield cell.index, f"a second cell tagged `parameters`; the first is cell {tagged[0].index}"


def annotated(notebook: Notebook) -> Found:
    """Parameters without an annotation."""
    for parameter in schema(notebook).parameters:
        if not parameter.annotation:
            yield _place(notebook), f"parameter {parameter.name!r} has no annotation"


def literals(notebook: Notebook) -> Found:
    """Parameters whose default is known only when the notebook runs."""
    for parameter in schema(notebook).parameters:
        if parameter.required:
            yield _place(notebook), f"parameter {parameter.name!r} has no default"
        elif parameter.computed:
            yield _place(notebook), f"parameter {parameter.name!r} is computed: {parameter.default_source[:60]}"


def ranges(notebook: Notebook) -> Found:
    """Remarks in an annotation that look like a range but are not read as one, so that nothing is checked."""
    for parameter in schema(notebook).parameters:
        for text in _remarks(parameter.annotation):
            if _LIKE_A_RANGE.search(text) and hints.text_bounds(text) == Bounds():
                yield _place(notebook), f"parameter {parameter.name!r}: the range {text!r} is not understood"


def _remarks(annotation: str) -> list[str]:
    """The texts among the metadata of an Annotated."""
    try:
        tree = ast.parse(annotation, mode="eval")
    except SyntaxError:
        return []
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_annotated(node)]
    parts = [part for node in found if isinstance(node.slice, ast.Tuple) for part in node.slice.elts[1:]]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _is_annotated(node: ast.Subscript) -> bool:
    return constants.dotted(node.value).rpartition(".")[2] == "Annotated"


def defaults(notebook: Notebook) -> Found:
    """Defaults that would be refused if they were given."""
    checked = schema(notebook)
    for parameter in checked.parameters:
        if parameter.secret and parameter.name not in checked.secrets:
            yield _place(notebook), f"parameter {parameter.name!r}: {SECRET_DEFAULT}"
        elif not (parameter.secret or parameter.computed or parameter.required):
            problem = parameter.problem(parameter.default)
            if problem:
                yield _place(notebook), f"default of parameter {problem}"


def title(notebook: Notebook) -> Found:
    """Anything but one H1."""
    titles = [(index, text) for index, level, text in notebook.headings if level == 1]
    if not titles:
        yield 0, "no title: no heading of level 1"
    for index, text in titles[1:]:
        yield index, f"a second heading of level 1: {text!r}; the title is {titles[0][1]!r}"


def prose(notebook: Notebook) -> Found:
    """Code that no text leads up to."""
    row: int | None = None
    for cell in notebook.cells:
        if cell.kind == "markdown" and cell.source.strip():
            row = 0
        elif cell.kind == "code" and cell.source.strip():
            if row is None:
                yield cell.index, "code before any text"
            row = (row or 0) + 1
            if row == MOST_CODE_CELLS_IN_A_ROW + 1:
                yield cell.index, f"code cell number {row} in a row without text"


def cell_length(notebook: Notebook) -> Found:
    """Cells that do not fit in one look; blank lines do not count, nor does the parameters cell."""
    for cell in notebook.code_cells:
        lines = sum(1 for line in cell.source.split("\n") if line.strip())
        if lines > LONGEST_CELL and PARAMETERS_TAG not in cell.tags:
            yield cell.index, f"{lines} lines of code, {LONGEST_CELL} at most"


def definitions(notebook: Notebook) -> Found:
    """Functions that want tests, and classes."""
    for cell in notebook.python_cells:
        for node in ast.walk(cell.code.tree) if cell.code.tree else ():
            if isinstance(node, ast.ClassDef):
                yield cell.index, f"class {node.name}"
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield cell.index, f"function {node.name} of {lines} lines, {LONGEST_FUNCTION} at most"


def _place(notebook: Notebook) -> int:
    cell = notebook.parameters_cell
    return cell.index if cell else 0
