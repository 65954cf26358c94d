"""The modules of the table that a project's kernels use: reported by each kernel, kept in one small JSON file.

A kernel reports after each request, so that one which is killed has reported, too. Standard library only.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import types
from collections.abc import Callable, Iterable

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


class ImportReport:
    """Made when the kernel has what the template had; `send` says what has come since."""

    def __init__(self, fd: int, known: frozenset[str], learnable: Callable[[Iterable[str]], list[str]]) -> None:
        self._fd = fd
        os.set_blocking(fd, False)  # a template that does not listen is no reason to wait
        self._known = known
        self._learnable = learnable
        self._modules = len(sys.modules)
        self._told: set[str] = set()
        self._unsent = b""

    def send(self, *, all_of_it: bool = False) -> None:
        """Tell what was imported since the last time, and which of the modules that were there cells have used."""
        count = len(sys.modules) - self._modules
        if all_of_it or count < 0:
            new = [name for name in list(sys.modules) if name not in self._known]
        else:  # the last ones: to look at all of them would copy their memory from the template
            new = list(itertools.islice(reversed(sys.modules), count))[::-1]
        self._modules = len(sys.modules)
        used = sorted(self.used(*new))
        names = [name for name in self._learnable([*new, *used]) if name not in self._told]
        self._told.update(names)
        if names:
            self._unsent += json.dumps(names).encode() + b"\n"
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            pass  # the rest goes with the next
        except OSError:
            self._unsent = b""  # the template is gone

    @staticmethod
    def used(*modules: str) -> set[str]:
        """The modules from which cells, and these modules, have taken something."""
        spaces = [vars(sys.modules[name]) for name in ("__main__", *modules) if name in sys.modules]
        return {_home(value) for names in spaces for value in list(names.values())}


def _home(value: object) -> str:
    """The module that something comes from; nothing of the user's is asked for it."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    known = (type, types.FunctionType, types.BuiltinFunctionType)
    home = value.__module__ if isinstance(value, known) else type(value).__module__
    return home if isinstance(home, str) else ""
