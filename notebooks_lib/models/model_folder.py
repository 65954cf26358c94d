"""The folder of a model: its MLmodel file, its flavours, and no file outside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from notebooks_lib.errors import ModelError

MLMODEL = "MLmodel"
PYFUNC = "python_function"

_NO_PATHS = frozenset(("uri", "env", "python_version", "sklearn_version"))
"""Keys of MLmodel whose values are not paths in the folder."""


def check_folder(folder: Path) -> None:
    """Raise ModelError if a model's folder refers to files outside it, which the model's digest would not cover."""
    for path in files_below(folder):
        if path.is_symlink():
            raise ModelError(
                f"{path} is a link to {str(path.readlink())!r}: a model's files lie in its own folder; copy it there"
            )
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is neither a file nor a folder; take it out")
    described = read_mlmodel(folder)
    for key, value in _strings([described.get("flavors"), described.get("saved_input_example_info")]):
        if key not in _NO_PATHS and _leaves(value):
            raise ModelError(f"{folder / MLMODEL}: {key} is {value!r}, out of the model's folder; log the model again")


def library_flavor(folder: Path) -> str:
    """Return a model's flavour as the setting `trusted_flavors` names it: that of its library, else python_function."""
    return next((name for name in read_mlmodel(folder).get("flavors", {}) if name != PYFUNC), PYFUNC)


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return the content of the file MLmodel. Raises ModelError when it cannot be read or names no flavour."""
    import yaml

    try:
        content = yaml.load((folder / MLMODEL).read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder / MLMODEL} cannot be read: {type(error).__name__}") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(conf, dict) for conf in flavors.values()):
        raise ModelError(f"{folder / MLMODEL} describes no flavour; log the model again")
    return dict(content)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield each file and folder below `folder`, without following links."""
    for top, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            yield Path(top) / name


def _strings(value: Any, key: str = "", visited: set[tuple[int, str]] | None = None) -> Iterator[tuple[str, str]]:
    """Yield all texts with their keys; what YAML's aliases repeat once only, for they may repeat it without end."""
    visited = set() if visited is None else visited
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | list) and (id(value), key) not in visited:
        visited.add((id(value), key))
        for name, item in value.items() if isinstance(value, Mapping) else ((key, item) for item in value):
            yield from _strings(item, str(name), visited)


def _leaves(value: str) -> bool:
    """Return whether a text, taken as a path, leads out of its folder."""
    windows = PureWindowsPath(value)
    absolute = PurePosixPath(value).is_absolute() or bool(windows.drive and windows.root)
    return absolute or ".." in (*PurePosixPath(value).parts, *windows.parts)
