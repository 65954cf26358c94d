"""Find what a notebook sets for an import that a warm kernel has done already: it runs in a cold kernel then.

A warm kernel has its libraries imported, so what a notebook does for an import comes too late there
(docs/decisions/0020-warm-kernels.md).
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.project_modules import ProjectModules

READ_LATER = ("MLFLOW_TRACKING_", "MLFLOW_EXPERIMENT_", "MLFLOW_RUN_", "MLFLOW_REGISTRY_", "NBOPS_", "AZURE_", "AWS_")
"""Prefixes of variables that libraries read when they need them, never at import."""
ANY = "variables"
"""Shown in place of names that only the running notebook knows."""
_INSTALLS = re.compile(
    r"\s*[%!]+.*\b(pip|pip3|conda|mamba|uv|poetry)\b.*\b(install|add|sync|upgrade|uninstall|remove)\b"
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def find_early_settings(notebook: Notebook, modules: ProjectModules) -> list[str]:
    """Return reasons against a warm kernel: settings in the code that must precede an import. Often there are none.

    Inspected are the cells, and the code that the project's `modules` run at import. Functions that are called and
    files of variables (.env) are not inspected.
    """
    trees = [(cell.index, cell.code.tree) for cell in notebook.cells if cell.code.tree is not None]
    imported = expressions.imported_names(tree for _, tree in trees)
    lines = [
        (index, node.lineno)
        for index, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    last = max(lines, default=(-1, 0))
    reasons = {
        f"cell {index} {effect}"
        for index, tree in trees
        for node in ast.walk(tree)
        if (index, getattr(node, "lineno", 0)) < last
        for effect in _effects(node, imported, notebook.path.parent)
    }
    reasons |= {
        f"cell {cell.index} installs packages"
        for cell in notebook.cells
        for _, line in cell.code.magics
        if cell.index <= last[0] and _INSTALLS.match(line)
    }
    for name, tree in modules.trees():
        reasons |= {f"{name} {effect}" for effect in _effects_of_module(tree, (modules.root / name).parent)}
    return sorted(reasons)


def _effects_of_module(tree: ast.Module, folder: Path) -> Iterator[str]:
    imported = expressions.imported_names([tree])
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield from _effects(node, imported, folder)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, _FUNCTIONS)]


def _effects(node: ast.AST, imported: dict[str, str], folder: Path) -> Iterator[str]:
    for name in _variables_set(node, imported):
        if not name.startswith(READ_LATER):
            yield f"sets {name} before an import, which may read it"
    if not isinstance(node, ast.Call):
        return
    called = expressions.imported_path(node.func, imported)
    if called == "sys.path.insert" and len(node.args) > 1 and _hides(node.args[1], folder):
        yield "puts a folder before the installed packages, which may hide one"
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    words = {text for text in texts if isinstance(text, str)}
    if called.startswith(("subprocess.", "os.system")) and any("pip" in word for word in words):
        yield "installs packages"


def _hides(path: ast.expr, folder: Path) -> bool:
    """Return whether a folder holds a module named like an installed one; True where the folder is not a literal."""
    if not isinstance(path, ast.Constant) or not isinstance(path.value, str):
        return True
    return bool(_names(folder / path.value) & _names(Path(sysconfig.get_path("purelib"))))


def _names(folder: Path) -> set[str]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return set()
    return {
        path.name.split(".")[0]
        for path in entries
        if path.suffix in (".py", ".so") or (path.is_dir() and not path.name.endswith((".dist-info", "__pycache__")))
    }


def _variables_set(node: ast.AST, imported: dict[str, str]) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Subscript) and expressions.imported_path(target.value, imported) == "os.environ":
            yield _text(target.slice)
        elif expressions.imported_path(target, imported) == "os.environ" and isinstance(node, ast.AugAssign):
            yield from _keys(node.value)  # os.environ |= {...}
    if isinstance(node, ast.Call):
        called = expressions.imported_path(node.func, imported)
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
