"""Finds code that does not belong in a cell: installs, machine paths, filters, other stores, names assigned again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from notebooks_lib.notebooks import imports, mlflow_use
from notebooks_lib.notebooks.document import Cell, Notebook
from notebooks_lib.notebooks.hygiene import Found

_INSTALL = re.compile(
    r"(?:^|[\s;&|])(?:%{1,2}|!{1,2})?\s*(?:\S*python[\d.]*\S*\s+-m\s+|\{sys\.executable\}\s+-m\s+)?"
    r"(?P<tool>pip[\d.]*|conda|mamba|micromamba|uv|poetry|apt|apt-get|brew|npm)\s+(?:-\S+\s+)*(?:pip\s+)?"
    r"(?:install|add|uninstall)\b"
)
_FOLDERS = "home|Users|root|mnt|media|tmp|opt|srv|var|Volumes|dbfs|kaggle"
_MACHINE_PATH = re.compile(
    rf"(?:file://)?(?:/(?:{_FOLDERS})/(?:\S|$)|[A-Za-z]:[\\/][\w.-]{{2}}|\\\\[\w.-]+\\\w|~[\w-]*/\S)"
)
_MAGIC_PATH = re.compile(rf"(?<![\w.:/])(?:/(?:{_FOLDERS})/\w|[A-Za-z]:\\\w|~/\w)")
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
    """Filters that hide warnings."""
    for cell, node, path in _calls(notebook):
        if path in _FILTERS:
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
    """Names that an earlier cell has assigned. Only plain statements count: no loops, no branches, no `_names`."""
    owners: dict[str, int] = {}
    for cell in notebook.python_cells:
        for name in dict.fromkeys(_assigned(cell)):
            if name in owners and owners[name] != cell.index:
                yield cell.index, f"{name!r} is assigned in cell {owners[name]} already"
            owners.setdefault(name, cell.index)


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
