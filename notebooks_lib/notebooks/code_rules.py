"""Rules about what the code of a notebook depends on: installs, paths, warnings, order of cells, process state."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.document import INJECTED_TAG, Notebook, NotebookCell
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule
from notebooks_lib.notebooks.parameter_schema import read_schema

_INSTALL = re.compile(
    r"(?:^|[\s;&|])(?:%{1,2}|!{1,2})?\s*(?:\S*python[\d.]*\S*\s+-m\s+|\{sys\.executable\}\s+-m\s+)?"
    r"(?P<tool>pip[\d.]*|conda|mamba|micromamba|uv|poetry|apt|apt-get|brew|npm)\s+(?:-\S+\s+)*(?:pip\s+)?"
    r"(?:install|add|uninstall)\b"
)
_FOLDERS = "home|Users|root|mnt|media|Volumes|dbfs|kaggle|content|Workspace|databricks"
_MACHINE_PATH = re.compile(
    rf"(?:file://)?(?:/(?:{_FOLDERS})/(?:\S|$)|[A-Za-z]:[\\/][\w.-]{{2}}|\\\\[\w.-]+\\\w|~[\w-]+/\S)"
)
_MAGIC_PATH = re.compile(rf"(?<![\w.:/])(?:/(?:{_FOLDERS})/\w|[A-Za-z]:\\\w)")
_FILTERS = {"warnings.filterwarnings", "warnings.simplefilter"}
_PATH_EDITS = {f"sys.path.{method}" for method in ("append", "insert", "extend", "remove", "pop", "clear")}
_CHANGES_FOLDER = re.compile(r"\s*%(?:cd|pushd|popd)\b")
_NEWER_SYNTAX = re.compile(
    r"\s*type\s+\w+[\s\[].*=|\s*(?:async\s+)?(?:def|class)\s+\w+\[|\s*except\s+[^(:]+,|.*\bt['\"]"
)
"""What Python 3.12 to 3.14 brought: aliases and parameters of types, `except` without brackets, t-strings."""


def syntax(notebook: Notebook) -> Findings:
    """Yield cells that cannot be read as Python.

    Syntax of a newer Python is not reported if the notebook was run by one.
    """
    newer = _recorded_python(notebook) > sys.version_info[:2]
    for cell in notebook.python_cells:
        if cell.code.tree is None and not (newer and _may_be_newer_syntax(cell)):
            # A notebook of Python 2 is one fault, not as many as it prints.
            cause = "print" if cell.code.error.startswith("Missing parentheses in call to 'print'") else ""
            yield Finding(cell.index, cell.code.error, cell.code.line, cause)


def _recorded_python(notebook: Notebook) -> tuple[int, ...]:
    """Return the version of Python that last ran the notebook, such as (3, 13); empty if it is not recorded."""
    metadata = notebook.raw.get("metadata")
    language = metadata.get("language_info") if isinstance(metadata, dict) else None
    version = language.get("version") if isinstance(language, dict) else None
    match = re.match(r"(\d+)\.(\d+)", version) if isinstance(version, str) else None
    return (int(match[1]), int(match[2])) if match else ()


def _may_be_newer_syntax(cell: NotebookCell) -> bool:
    line = cell.source.split("\n")[cell.code.line - 1 : cell.code.line]
    return cell.code.error.startswith("f-string") or any(map(_NEWER_SYNTAX.match, line))


def installs(notebook: Notebook) -> Findings:
    """Yield commands that change the environment while the notebook runs."""
    for cell in notebook.python_cells:
        for line, text in cell.code.magics:
            if _INSTALL.search(text):
                yield Finding(cell.index, f"{text.strip()[:60]}", line)
    for cell, call, path in notebook.calls:
        if path.startswith("subprocess.") or path in ("os.system", "os.popen", "pip.main", "pip._internal.main"):
            nodes = [node for argument in call.args for node in ast.walk(argument)]
            texts = (node.value for node in nodes if isinstance(node, ast.Constant))
            words = " ".join(text for text in texts if isinstance(text, str))
            if _INSTALL.search(f"pip {words}" if path.startswith("pip.") else words):
                yield Finding(cell.index, f"{path} {words[:60]}", call.lineno)


def machine_paths(notebook: Notebook) -> Findings:
    """Yield absolute paths that other machines do not have."""
    for cell in notebook.python_cells:
        for node in cell.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MACHINE_PATH.match(node.value):
                yield Finding(cell.index, f"{node.value.splitlines()[0][:60]!r}", node.lineno, node.value)
        for line, text in cell.code.magics:
            if _MAGIC_PATH.search(text):
                yield Finding(cell.index, f"{text.strip()[:60]}", line)


def warning_filters(notebook: Notebook) -> Findings:
    """Yield filters that hide warnings.

    Filters within `catch_warnings` are allowed, because they end with its block.
    """
    imported = notebook.imported
    within = {
        id(node)
        for cell in notebook.python_cells
        for block in cell.nodes
        if isinstance(block, ast.With | ast.AsyncWith)
        and any(
            isinstance(item.context_expr, ast.Call)
            and expressions.imported_path(item.context_expr.func, imported) == "warnings.catch_warnings"
            for item in block.items
        )
        for node in ast.walk(block)
    }
    for cell, node, path in notebook.calls:
        if path in _FILTERS and id(node) not in within:
            yield Finding(cell.index, path, node.lineno)


def path_edits(notebook: Notebook) -> Findings:
    """Yield edits of sys.path."""
    for cell, call, path in notebook.calls:
        if path in _PATH_EDITS or path == "site.addsitedir":
            yield Finding(cell.index, path, call.lineno)
    imported = notebook.imported
    for cell in notebook.python_cells:
        for node in cell.nodes:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AugAssign) else targets
            for target in targets:
                owner = target.value if isinstance(target, ast.Subscript) else target
                if expressions.imported_path(owner, imported) == "sys.path":
                    yield Finding(cell.index, "sys.path is assigned", owner.lineno)


def reassigned(notebook: Notebook) -> Findings:
    """Yield names that an earlier cell has assigned, except `_names`. Assignments in loops and branches do not count.

    A name that each cell assigns before reading it (`fig, ax = ...`) means the same in any order, and is allowed.
    Parameters have a rule of their own.
    """
    owners: dict[str, int] = {}
    cells = [cell for cell in notebook.python_cells if INJECTED_TAG not in cell.tags]
    awaited = {name for cell in cells for name in _read_first(cell)}
    awaited -= {parameter.name for parameter in read_schema(notebook).parameters}
    for cell in cells:
        for name in dict.fromkeys(_assigned(cell)):
            if name in owners and owners[name] != cell.index and name in awaited:
                yield Finding(cell.index, f"{name!r} is assigned in cell {owners[name]} already", cause=name)
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


def folder_changes(notebook: Notebook) -> Findings:
    """Yield changes of the working directory."""
    for cell in notebook.python_cells:
        for line, text in cell.code.magics:
            if _CHANGES_FOLDER.match(text):
                yield Finding(cell.index, text.strip()[:60], line)
    for cell, call, path in notebook.calls:
        if path in ("os.chdir", "os.fchdir"):
            yield Finding(cell.index, path, call.lineno)


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB010",
        "a command that installs",
        "It changes the environment of everyone on the machine, and a run cannot be repeated.",
        "Add the package to pyproject.toml and the lock.",
        installs,
        bad="%pip install lightgbm",
        good="""\
import lightgbm
lightgbm.__version__
""",
        convention=True,
    ),
    NotebookRule(
        "NB011",
        "an absolute path of one machine",
        "It exists nowhere else.",
        "Load a dataset by name, or use a path from the notebook's folder.",
        machine_paths,
        bad='path = "/home/me/sales.csv"',
        good='path = "data/sales.csv"',
    ),
    NotebookRule(
        "NB014",
        "a cell that is not Python",
        "The run would fail there, after all the work before it.",
        "Mend the line.",
        syntax,
        bad="print 'done'",
        good="print('done')",
    ),
    NotebookRule(
        "NB016",
        "a warning filter",
        "It hides the warning that matters, too.",
        "Mend the cause, or filter it in the library beside a comment with the reason.",
        warning_filters,
        bad="""\
import warnings
warnings.filterwarnings("ignore")
""",
        good="""\
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    print()
""",
        convention=True,
    ),
    NotebookRule(
        "NB017",
        "an edit of sys.path",
        "It works in one folder only, and hides which module is imported.",
        "Put the module in the notebook's folder or in the installed library.",
        path_edits,
        bad="""\
import sys
sys.path.append("../src")
""",
        good="""\
import helpers
helpers.__name__
""",
        convention=True,
    ),
    NotebookRule(
        "NB018",
        "a name that two cells assign",
        "What a cell does then depends on the order in which cells were run.",
        "Give the second value a name of its own; a name for one cell only begins with `_`.",
        reassigned,
        bad="""\
# %%
frame = [3, 1, 2]
# %% [markdown]
Sorted:
# %%
frame = sorted(frame)
""",
        good="""\
# %%
frame = [3, 1, 2]
# %% [markdown]
Sorted:
# %%
ordered = sorted(frame)
""",
        convention=True,
    ),
    NotebookRule(
        "NB024",
        "a change of the working folder",
        "Paths then mean something else in every later cell, and again when the cell is rerun.",
        "Use paths from the notebook's folder.",
        folder_changes,
        bad="""\
import os
os.chdir("data")
""",
        good="""\
from pathlib import Path
Path("data").exists()
""",
    ),
)
