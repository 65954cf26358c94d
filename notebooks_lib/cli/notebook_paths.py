"""The notebooks that a command is given, or those of this project."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from notebooks_lib import errors, project_root

FOLDERS = ("experimentation", "production")
_SKIPPED = {".git", ".ipynb_checkpoints", ".nbops", ".venv", "node_modules", "site-packages"}


class GivenPath(click.Path):
    """A path on the command line. An empty one, as of a variable that is not set, does not mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Fails, as a usage error, when it is empty."""
        if value == "":
            self.fail("found an empty path; `.` is the current folder", param, ctx)
        return super().convert(value, param, ctx)


def find_notebooks(paths: Sequence[Path], *, anywhere: bool = False) -> list[Path]:
    """Return the notebooks in files and folders: absolute paths, sorted, each once. By default those of this project.

    With `anywhere`, and neither paths nor a project's folders, those below the current folder. Raises UsageError for a
    path that does not exist, and when no path is given and no notebook is found.
    """
    if paths:
        return sorted(set(_notebooks(paths)))
    root = project_root.find_root(Path.cwd())
    folders = [folder for name in FOLDERS if (folder := root / name).is_dir()]
    if folders and (project_root.is_project(root) or not anywhere):
        return sorted(set(_notebooks(folders)))
    notebooks = sorted(set(_notebooks([root]))) if anywhere else []
    if not notebooks:
        no_folder = "no notebooks" if anywhere else f"no {' or '.join(FOLDERS)} folder"
        name_them = "go where they are, or name them" if anywhere else "name the notebooks, or `.` for all"
        raise errors.UsageError(f"{root}: found {no_folder}; {name_them}")
    return notebooks


def resolve_to_write(file: Path) -> Path:
    """Return the file that a notebook's path leads to; a link stays a link when that file is written.

    A committed link must not decide what is written elsewhere: raises NotebookError for a file outside the repository
    that holds the path, or without a repository, outside its project.
    """
    target, folders = file.resolve(), file.absolute().parents
    project = next((folder for folder in folders if project_root.is_project(folder)), folders[0])
    root = next((folder for folder in folders if (folder / ".git").exists()), project).resolve()
    if not target.is_relative_to(root):
        raise errors.NotebookError(f"{file}: leads to {target}, outside of {root}; to clean that file, name it")
    return target


def _notebooks(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                folders[:] = [name for name in folders if name not in _SKIPPED]
                yield from (Path(folder, name).absolute() for name in files if name.endswith(".ipynb"))
        elif path.exists() or path.is_symlink():  # what is no file is reported where it is read
            yield path.absolute()
        else:
            names = [file.name for file in path.parent.glob("*.ipynb")]
            raise errors.UsageError(f"{path.parent}: {errors.unknown('notebook', path.name, names)}")
