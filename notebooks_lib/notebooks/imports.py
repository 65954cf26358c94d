"""Says what a name in a cell stands for, by the notebook's own import statements; it imports nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from notebooks_lib.notebooks.constants import dotted


def names(trees: Iterable[ast.Module]) -> dict[str, str]:
    """What each imported name stands for: `mf` -> "mlflow", `set_experiment` -> "mlflow.set_experiment"."""
    found: dict[str, str] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def path(node: ast.AST, imported: Mapping[str, str]) -> str:
    """The full dotted path of a name or attribute; empty if it does not start at an import."""
    first, dot, rest = dotted(node).partition(".")
    return imported[first] + dot + rest if first in imported else ""
