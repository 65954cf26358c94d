"""Finds environment variables that a notebook sets before it imports something: libraries may read them at import."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from notebooks_lib.notebooks import imports
from notebooks_lib.notebooks.document import Notebook

READ_LATER = ("MLFLOW_TRACKING_", "MLFLOW_EXPERIMENT_", "MLFLOW_RUN_", "MLFLOW_REGISTRY_", "NBOPS_", "AZURE_", "AWS_")
"""Beginnings of variables that are read when they are needed, never at import."""
IMPORT = (ast.Import, ast.ImportFrom)
ANY = "variables"
"""Stands for names that only the running notebook knows."""


def set_before_imports(notebook: Notebook) -> dict[str, int]:
    """Variable -> index of the first cell that sets it, for those that a later import could read.

    Functions and modules that the notebook calls are not looked into.
    """
    trees = [(cell.index, cell.code.tree) for cell in notebook.cells if cell.code.tree is not None]
    imported = imports.names(tree for _, tree in trees)
    lines = ((index, node.lineno) for index, tree in trees for node in ast.walk(tree) if isinstance(node, IMPORT))
    last = max(lines, default=(-1, 0))
    found: dict[str, int] = {}
    for index, tree in trees:
        for node in ast.walk(tree):
            if (index, getattr(node, "lineno", 0)) < last:
                for name in _set_by(node, imported):
                    if not name.startswith(READ_LATER):
                        found.setdefault(name, index)
    return found


def _set_by(node: ast.AST, imported: dict[str, str]) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Subscript) and imports.path(target.value, imported) == "os.environ":
            yield _text(target.slice)
        elif imports.path(target, imported) == "os.environ" and isinstance(node, ast.AugAssign):
            yield from _keys(node.value)  # os.environ |= {...}
    if isinstance(node, ast.Call):
        called = imports.path(node.func, imported)
        if called in ("os.environ.setdefault", "os.putenv"):
            yield _text(node.args[0]) if node.args else ANY
        elif called == "os.environ.update":
            for argument in node.args:
                yield from _keys(argument)
            yield from (keyword.arg or ANY for keyword in node.keywords)


def _keys(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Dict):
        yield from (ANY if key is None else _text(key) for key in node.keys)
    else:
        yield ANY


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ANY
