"""What a kernelspec's command says: a Python, its options, and ipykernel; or something that a fork cannot stand for."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

LAUNCHERS = ("ipykernel_launcher", "ipykernel")
PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
OPTIONS = re.compile(r"-[bBdEIOPqRsSuv]+$")


def split(command: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Interpreter with its options, and the arguments of the kernel; None when it is no ordinary ipykernel.

    Before `-m ipykernel…` stands a Python with its options alone: what a wrapper sets (`env A=1 python`, `nice`,
    `uv run`), only the wrapper knows.
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


def program(name: str, path: str | None) -> str | None:
    """The file of an interpreter; None when it is a script (pyenv's, a module's), for that sets what we cannot see."""
    found = shutil.which(name, path=path)
    try:
        with open(found or name, "rb") as file:  # noqa: PTH123
            return os.fspath(found) if found and file.read(4) == b"\x7fELF" else None
    except OSError:
        return None
