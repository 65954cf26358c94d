"""Keeps what holds people's data from the other users of a machine: folders and files for their owner only."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER = 0o700
FILE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(path: Path) -> Path:
    """The folder, with those above it; from now on its owner alone may look into it. Raises OSError."""
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    close(path)
    return path


def close(path: Path) -> None:
    """Take a file's or folder's rights away from everybody but its owner, where it is ours to do."""
    with suppress(OSError):  # somebody else's: theirs to decide
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)


def open_to_others(path: Path) -> bool:
    """Whether other users than its owner may read a file, so far as this system knows users."""
    return os.name == "posix" and bool(path.stat().st_mode & _OTHERS)
