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
    """Cells that are not Python."""
    for cell in notebook.python_cells:
        if cell.code.tree is None:
            yield cell.index, f"line {cell.code.line}: {cell.code.error}"


def installs(notebook: Notebook) -> Found:
    """Commands that change the environment while the notebook runs."""
    for cell in notebook.python_cells:
        for line, text in cell.code.magics:
            if _INSTALL.search(text):
                yield cell.index, f"line {line}: {text.strip()[:60]}"
    for cell, call, path in _calls(notebook):
        if path.startswith("subprocess.") or path in ("os.system", "os.popen", "pip.main", "pip._internal.main"):
            nodes = [node for argument in call.args for node in ast.walk(argument)]
            words = " ".join(one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str))
            if _INSTALL.search(f"pip {words}" if path.startswith("pip.") else words):
                yield cell.index, f"line {call.lineno}: {path} {words[:60]}"


def machine_paths(notebook: Notebook) -> Found:
    """Absolute paths that other machines do not have."""
    for cell in notebook.python_cells:
        for node in _nodes(cell):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MACHINE_PATH.match(node.value):
                yield cell.index, f"line {node.lineno}: {node.value.splitlines()[0][:60]!r}"
        for line, text in cell.code.magics:
            if _MAGIC_PATH.search(text):
                yield cell.index, f"line {line}: {text.strip()[:60]}"


def tracking_uris(notebook: Notebook) -> Found:
    """Places that send runs to a store of their own."""
    for call in mlflow_calls.tracking_uri_calls(notebook, {}):
        yield call.cell, f"line {call.line}: {call.function}" + (f" {call.value!r}" if call.value else "")


def warning_filters(notebook: Notebook) -> Found:
    """Filters that hide warnings; one within `catch_warnings` ends with its block."""
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
    """Edits of sys.path."""
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
    """Names that an earlier cell has assigned. Only plain statements count: no loops, no branches, no `_names`.

    A name that each cell assigns before it reads it (`fig, ax = ...`) is the same in any order; a parameter is not,
    for what is given for it would be lost.
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
    """Names that a cell reads before it has certainly assigned them: what they are then depends on other cells."""
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
            # Only names that are bound: `frame["a"] = 1` has no Store of `frame`.
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
    for parameter in read_schema(notebook).parameters:
        if not parameter.annotation:
            yield _place(notebook), f"parameter {parameter.name!r} has no annotation"


def literals(notebook: Notebook) -> Found:
    """Parameters whose default is known only when the notebook runs."""
    for parameter in read_schema(notebook).parameters:
        if parameter.required:
            yield _place(notebook), f"parameter {parameter.name!r} has no default"
        elif parameter.computed:
            yield _place(notebook), f"parameter {parameter.name!r} is computed: {parameter.default_source[:60]}"


def ranges(notebook: Notebook) -> Found:
    """Remarks in an annotation that look like a range but are not read as one, so that nothing is checked."""
    for parameter in read_schema(notebook).parameters:
        for text in _remarks(parameter.annotation):
            if _LIKE_A_RANGE.search(text) and type_annotations.read_bounds(text) == NumberBounds():
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
    return expressions.dotted(node.value).rpartition(".")[2] == "Annotated"


def defaults(notebook: Notebook) -> Found:
    """Defaults that would be refused if they were given."""
    checked = read_schema(notebook)
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
