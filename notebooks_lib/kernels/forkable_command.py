"""The command of a kernelspec: whether a fork can replace it, and by which interpreter."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

LAUNCHERS = ("ipykernel_launcher", "ipykernel")
PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
OPTIONS = re.compile(r"-[bBdEIOPqRsSuv]+$")


def split_command(command: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Split a kernel command into the interpreter with its options, and the kernel's arguments.

    None if it is not an ordinary ipykernel: only a Python and its options may stand before `-m ipykernel…`, because a
    fork cannot repeat what a wrapper sets (`env A=1 python`, `nice`, `uv run`).
    """
    words = list(command)
    if not words or not PYTHON.match(Path(words[0]).name):
        return None
    place = 1
    while place < len(words) and words[place] != "-m":
        if words[place] in ("-X", "-W"):
            place += 1
        elif not OPTIONS.match(words[place]) and not words[place].startswith(("-X", "-W")):
            return None
        place += 1
    if words[place + 1 : place + 2] not in ([launcher] for launcher in LAUNCHERS):
        return None
    return words[:place], words[place + 2 :]


def find_interpreter(name: str, path: str | None) -> str | None:
    """Return the path of an interpreter, which is searched in `path`.

    None for a script, such as pyenv's, which may set anything.
    """
    file_path = shutil.which(name, path=path)
    try:
        with open(file_path or name, "rb") as file:  # noqa: PTH123
            return os.fspath(file_path) if file_path and file.read(4) == b"\x7fELF" else None
    except OSError:
        return None
