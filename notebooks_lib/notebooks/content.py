"""Finds code that does not belong in a cell: installs, machine paths, filters, other stores, names assigned again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from notebooks_lib.notebooks import imports, mlflow_use
from notebooks_lib.notebooks.document import INJECTED_TAG, Cell, Notebook
from notebooks_lib.notebooks.hygiene import Found
from notebooks_lib.notebooks.parameters import schema

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
    for call in mlflow_use.tracking_uri_calls(notebook, {}):
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
            and imports.path(item.context_expr.func, imported) == "warnings.catch_warnings"
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
                if imports.path(owner, imported) == "sys.path":
                    yield cell.index, f"line {owner.lineno}: sys.path is assigned"


def reassigned(notebook: Notebook) -> Found:
    """Names that an earlier cell has assigned. Only plain statements count: no loops, no branches, no `_names`.

    A name that each cell assigns before it reads it (`fig, ax = ...`) is the same in any order; a parameter is not,
    for what is given for it would be lost.
    """
    owners: dict[str, int] = {}
    cells = [cell for cell in notebook.python_cells if INJECTED_TAG not in cell.tags]
    awaited = {name for cell in cells for name in _read_first(cell)}
    awaited |= {parameter.name for parameter in schema(notebook).parameters}
    for cell in cells:
        for name in dict.fromkeys(_assigned(cell)):
            if name in owners and owners[name] != cell.index and name in awaited:
                yield cell.index, f"{name!r} is assigned in cell {owners[name]} already"
            owners.setdefault(name, cell.index)


def _read_first(cell: Cell) -> Iterator[str]:
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


def _assigned(cell: Cell) -> Iterator[str]:
    for statement in cell.code.tree.body if cell.code.tree else ():
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.AnnAssign) and statement.value):
            targets = [statement.target]
        for target in targets:
            # Only names that are bound: `frame["a"] = 1` has no Store of `frame`.
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_"):
                    yield node.id


def _calls(notebook: Notebook) -> Iterator[tuple[Cell, ast.Call, str]]:
    imported = _imported(notebook)
    for cell in notebook.python_cells:
        for node in _nodes(cell):
            if isinstance(node, ast.Call):
                yield cell, node, imports.path(node.func, imported)


def _imported(notebook: Notebook) -> dict[str, str]:
    return imports.names(cell.code.tree for cell in notebook.python_cells if cell.code.tree)


def _nodes(cell: Cell) -> Iterator[ast.AST]:
    return ast.walk(cell.code.tree) if cell.code.tree else iter(())
