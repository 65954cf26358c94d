"""The checks behind the notebook rules: what is in the cells that should not be, and how the notebook is built.

Each check yields the index of a cell and what was found there. None changes anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from notebooks_lib.notebooks import expressions, mlflow_calls, type_annotations
from notebooks_lib.notebooks.cleaning import Found
from notebooks_lib.notebooks.document import INJECTED_TAG, PARAMETERS_TAG, Notebook, NotebookCell
from notebooks_lib.notebooks.parameter_types import NumberBounds
from notebooks_lib.notebooks.parameters import SECRET_DEFAULT, read_schema

_INSTALL = re.compile(
    r"(?:^|[\s;&|])(?:%{1,2}|!{1,2})?\s*(?:\S*python[\d.]*\S*\s+-m\s+|\{sys\.executable\}\s+-m\s+)?"
    r"(?P<tool>pip[\d.]*|conda|mamba|micromamba|uv|poetry|apt|apt-get|brew|npm)\s+(?:-\S+\s+)*(?:pip\s+)?"
    r"(?:install|add|uninstall)\b"
)
_FOLDERS = "home|Users|root|mnt|media|tmp|opt|srv|var|Volumes|dbfs|kaggle|content|Workspace|databricks"
_MACHINE_PATH = re.compile(
    rf"(?:file://)?(?:/(?:{_FOLDERS})/(?:\S|$)|[A-Za-z]:[\\/][\w.-]{{2}}|\\\\[\w.-]+\\\w|~[\w-]+/\S)"
)
_MAGIC_PATH = re.compile(rf"(?<![\w.:/])(?:/(?:{_FOLDERS})/\w|[A-Za-z]:\\\w)")
_FILTERS = {"warnings.filterwarnings", "warnings.simplefilter"}
_PATH_EDITS = {f"sys.path.{method}" for method in ("append", "insert", "extend", "remove", "pop", "clear")}


def syntax(notebook: Notebook) -> Found:
    """Yield cells that are not Python."""
    for cell in notebook.python_cells:
        if cell.code.tree is None:
            yield cell.index, f"line {cell.code.line}: {cell.code.error}"


def installs(notebook: Notebook) -> Found:
    """Yield commands that change the environment while the notebook runs."""
    for cell in notebook.python_cells:
        for line, text in cell.code.magics:
            if _INSTALL.search(text):
                yield cell.index, f"line {line}: {text.strip()[:60]}"
    for cell, call, path in _calls(notebook):
        if path.startswith("subprocess.") or path in ("os.system", "os.popen", "pip.main", "pip._internal.main"):
            nodes = [node for argument in call.args for node in ast.walk(argument)]
            texts = (node.value for node in nodes if isinstance(node, ast.Constant))
            words = " ".join(text for text in texts if isinstance(text, str))
            if _INSTALL.search(f"pip {words}" if path.startswith("pip.") else words):
                yield cell.index, f"line {call.lineno}: {path} {words[:60]}"


def machine_paths(notebook: Notebook) -> Found:
    """Yield absolute paths that other machines do not have."""
    for cell in notebook.python_cells:
        for node in _nodes(cell):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MACHINE_PATH.match(node.value):
                yield cell.index, f"line {node.lineno}: {node.value.splitlines()[0][:60]!r}"
        for line, text in cell.code.magics:
            if _MAGIC_PATH.search(text):
                yield cell.index, f"line {line}: {text.strip()[:60]}"


def tracking_uris(notebook: Notebook) -> Found:
    """Yield cells that send runs to another store."""
    for call in mlflow_calls.tracking_uri_calls(notebook, {}):
        yield call.cell, f"line {call.line}: {call.function}" + (f" {call.value!r}" if call.value else "")


def warning_filters(notebook: Notebook) -> Found:
    """Yield filters that hide warnings, except those within `catch_warnings`, which end with its block."""
    imported = _imported(notebook)
    within = {
        id(node)
        for cell in notebook.python_cells
        for block in _nodes(cell)
        if isinstance(block, ast.With | ast.AsyncWith)
        and any(
            isinstance(item.context_expr, ast.Call)
            and expressions.imported_path(item.context_expr.func, imported) == "warnings.catch_warnings"
            for item in block.items
        )
        for node in ast.walk(block)
    }
    for cell, node, path in _calls(notebook):
        if path in _FILTERS and id(node) not in within:
            yield cell.index, f"line {node.lineno}: {path}"


def path_edits(notebook: Notebook) -> Found:
    """Yield edits of sys.path."""
    for cell, call, path in _calls(notebook):
        if path in _PATH_EDITS or path == "site.addsitedir":
            yield cell.index, f"line {call.lineno}: {path}"
    imported = _imported(notebook)
    for cell in notebook.python_cells:
        for node in _nodes(cell):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AugAssign) else targets
            for target in targets:
                owner = target.value if isinstance(target, ast.Subscript) else target
                if expressions.imported_path(owner, imported) == "sys.path":
                    yield cell.index, f"line {owner.lineno}: sys.path is assigned"


def reassigned(notebook: Notebook) -> Found:
    """Yield names that an earlier cell has assigned. Only plain statements count: no loops, no branches, no `_names`.

    A name that each cell assigns before it reads it (`fig, ax = ...`) means the same in any order. A parameter is
    reported in any case, because its given value would be lost.
    """
    owners: dict[str, int] = {}
    cells = [cell for cell in notebook.python_cells if INJECTED_TAG not in cell.tags]
    awaited = {name for cell in cells for name in _read_first(cell)}
    awaited |= {parameter.name for parameter in read_schema(notebook).parameters}
    for cell in cells:
        for name in dict.fromkeys(_assigned(cell)):
            if name in owners and owners[name] != cell.index and name in awaited:
                yield cell.index, f"{name!r} is assigned in cell {owners[name]} already"
            owners.setdefault(name, cell.index)


def _read_first(cell: NotebookCell) -> Iterator[str]:
    """Yield names that a cell reads before it has assigned them, so that their value depends on other cells."""
    own: set[str] = set()
    for statement in cell.code.tree.body if cell.code.tree else ():
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id not in own and not isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id not in own:
                yield node.target.id
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            own.update(node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and _stored(node))


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _assigned(cell: NotebookCell) -> Iterator[str]:
    for statement in cell.code.tree.body if cell.code.tree else ():
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.AnnAssign) and statement.value):
            targets = [statement.target]
        for target in targets:
            # Only names that are bound: in `frame["a"] = 1`, `frame` is no Store.
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_"):
                    yield node.id


def _calls(notebook: Notebook) -> Iterator[tuple[NotebookCell, ast.Call, str]]:
    imported = _imported(notebook)
    for cell in notebook.python_cells:
        for node in _nodes(cell):
            if isinstance(node, ast.Call):
                yield cell, node, expressions.imported_path(node.func, imported)


def _imported(notebook: Notebook) -> dict[str, str]:
    return expressions.imported_names(cell.code.tree for cell in notebook.python_cells if cell.code.tree)


def _nodes(cell: NotebookCell) -> Iterator[ast.AST]:
    return ast.walk(cell.code.tree) if cell.code.tree else iter(())


_LIKE_A_RANGE = re.compile(r"[<>]|\d\s*(\.\.|-|–|to\b|,)\s*\d")
LONGEST_CELL = 15
LONGEST_FUNCTION = 5
MOST_CODE_CELLS_IN_A_ROW = 2


def parameters_cell(notebook: Notebook) -> Found:
    """Yield what is wrong with the parameters cell of a Python notebook: missing, repeated, or not the first code."""
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
    """Yield parameters without an annotation."""
    for parameter in read_schema(notebook).parameters:
        if not parameter.annotation:
            yield _place(notebook), f"parameter {parameter.name!r} has no annotation"


def literals(notebook: Notebook) -> Found:
    """Yield parameters whose default is not a literal."""
    for parameter in read_schema(notebook).parameters:
        if parameter.required:
            yield _place(notebook), f"parameter {parameter.name!r} has no default"
        elif parameter.computed:
            yield _place(notebook), f"parameter {parameter.name!r} is computed: {parameter.default_source[:60]}"


def ranges(notebook: Notebook) -> Found:
    """Yield texts in an annotation that look like a range but are not understood, so that nothing is checked."""
    for parameter in read_schema(notebook).parameters:
        for text in _remarks(parameter.annotation):
            if _LIKE_A_RANGE.search(text) and type_annotations.read_bounds(text) == NumberBounds():
                yield _place(notebook), f"parameter {parameter.name!r}: the range {text!r} is not understood"


def _remarks(annotation: str) -> list[str]:
    """Return the texts among the metadata of an Annotated."""
    try:
        tree = ast.parse(annotation, mode="eval")
    except SyntaxError:
        return []
    annotated = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_annotated(node)]
    parts = [part for node in annotated if isinstance(node.slice, ast.Tuple) for part in node.slice.elts[1:]]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _is_annotated(node: ast.Subscript) -> bool:
    return expressions.dotted(node.value).rpartition(".")[2] == "Annotated"


def defaults(notebook: Notebook) -> Found:
    """Yield defaults that would be refused as given values."""
    parameters = read_schema(notebook)
    for parameter in parameters.parameters:
        if parameter.secret and parameter.name not in parameters.secrets:
            yield _place(notebook), f"parameter {parameter.name!r}: {SECRET_DEFAULT}"
        elif not (parameter.secret or parameter.computed or parameter.required):
            problem = parameter.problem(parameter.default)
            if problem:
                yield _place(notebook), f"default of parameter {problem}"


def title(notebook: Notebook) -> Found:
    """Yield a missing title, and each further heading of level 1."""
    titles = [(index, text) for index, level, text in notebook.headings if level == 1]
    if not titles:
        yield 0, "no title: no heading of level 1"
    for index, text in titles[1:]:
        yield index, f"a second heading of level 1: {text!r}; the title is {titles[0][1]!r}"


def prose(notebook: Notebook) -> Found:
    """Yield code cells that no text leads up to."""
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
    """Yield code cells of too many lines; blank lines and the parameters cell do not count."""
    for cell in notebook.code_cells:
        lines = sum(1 for line in cell.source.split("\n") if line.strip())
        if lines > LONGEST_CELL and PARAMETERS_TAG not in cell.tags:
            yield cell.index, f"{lines} lines of code, {LONGEST_CELL} at most"


def definitions(notebook: Notebook) -> Found:
    """Yield classes, and functions that are long enough to need tests."""
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
