"""The notebooks that a command is given, or those of this project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from notebooks_lib import errors, project_root

FOLDERS = ("experimentation", "production")
_SKIPPED = {".ipynb_checkpoints", ".nbops", ".venv", "node_modules"}


def find_notebooks(paths: Sequence[Path]) -> list[Path]:
    """Return the notebooks in files and folders, absolute, sorted and each once; without paths, those of this project.

    Raises UsageError for a path that is not there.
    """
    return sorted(set(_notebooks(paths or _folders_of_project())))


def _folders_of_project() -> list[Path]:
    root = project_root.find_root(Path.cwd())
    folders = [folder for name in FOLDERS if (folder := root / name).is_dir()]
    if not folders:
        raise errors.UsageError(f"{root}: found no {' or '.join(FOLDERS)} folder; name the notebooks, or `.` for all")
    return folders


def _notebooks(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            files = (file for file in path.rglob("*.ipynb") if not _SKIPPED.intersection(file.relative_to(path).parts))
            yield from (file.absolute() for file in files)
        elif path.is_file():
            yield path.absolute()
        else:
            names = [file.name for file in path.parent.glob("*.ipynb")]
            raise errors.UsageError(f"{path.parent}: {errors.unknown('notebook', path.name, names)}")
