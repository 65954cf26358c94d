"""Find the root of a project. It loads no settings, so that commands which need only the folder start at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

from notebooks_lib import regular_file


def find_root(start: Path, fallback: Path | None = None) -> Path:
    """Return the nearest folder, from that of `start` upwards, that holds a project.

    A project has production/settings.toml, or [tool.nbops] in its pyproject.toml. Without one, return `fallback`, else
    the folder of `start`.
    """
    # A linked notebook belongs to the folder of its link, as in JupyterLab.
    folder = start.resolve() if start.is_dir() else start.parent.resolve()
    for candidate in (folder, *folder.parents):
        if is_project(candidate):
            return candidate
    return (fallback or folder).resolve()


def is_project(folder: Path) -> bool:
    """Return whether a folder is marked as a project's root."""
    return (folder / "production" / "settings.toml").is_file() or _has_tool_table(folder)


def _has_tool_table(folder: Path) -> bool:
    try:
        content = tomllib.loads(regular_file.read_text(folder / "pyproject.toml"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError):
        return False
    tool = content.get("tool", {})
    return isinstance(tool, dict) and "nbops" in tool
