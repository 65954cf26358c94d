"""Which modules of the table the kernels of a project have imported: one small JSON file. Standard library only."""

from __future__ import annotations

import json
import os

MODULES = 20_000
"""A bound, so that a notebook which imports without end cannot fill the disk."""


def read(path: str) -> list[str]:
    """The modules in the order in which they were imported. Empty when there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return [str(name) for name in json.load(file)["modules"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # what cannot be read is learned anew


def add(path: str, modules: list[str]) -> None:
    """Put these beside what is there; whole or not at all. A disk that does not take it loses speed, nothing else."""
    known = read(path)
    merged = list(dict.fromkeys(known + modules))[-MODULES:]
    if merged == known:
        return
    scratch = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(scratch, "w", encoding="utf-8") as file:
            json.dump({"modules": merged}, file, indent=0)
        os.replace(scratch, path)
    except OSError:
        try:
            os.unlink(scratch)
        except OSError:
            pass
