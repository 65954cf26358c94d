"""The installed packages that a notebook's code imports, with their versions. It imports none of them."""

from __future__ import annotations

import ast
import importlib.metadata
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from notebooks_lib import regular_file
from notebooks_lib.models.requirements import distributions_of
from notebooks_lib.notebooks import expressions, project_modules
from notebooks_lib.notebooks.document import Notebook

LIBRARY = Path(__file__).resolve().parents[1]


def used_packages(notebook: Notebook, root: Path) -> dict[str, str]:
    """Return package -> version for what the cells and the project's modules import; `python` is included.

    Modules of nbops are left out, because they import nearly everything that is installed.
    """
    imported = expressions.imported_names(_trees(notebook, root.resolve()))
    versions = {name: importlib.metadata.version(name) for name in distributions_of(imported.values())}
    return {"python": platform.python_version(), **versions}


def _trees(notebook: Notebook, root: Path) -> Iterator[ast.Module]:
    yield from (cell.code.tree for cell in notebook.python_cells if cell.code.tree)
    for name, _ in project_modules.find_modules(notebook, root):
        path = root / name
        if not path.is_relative_to(LIBRARY):
            with suppress(OSError, SyntaxError, ValueError):
                yield ast.parse(regular_file.read_bytes(path))
