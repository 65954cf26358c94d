"""The modules that a project's kernels have imported: reported by each kernel, kept in one small JSON file.

A kernel reports after each request, so that what a killed kernel used is known as well. Standard library only.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import types
from collections.abc import Callable, Iterable

MODULES = 20_000
"""At most this many are kept, so that a notebook which imports without end cannot fill the disk."""


def read_history(path: str) -> list[str]:
    """Return the modules that the project's kernels have imported, in order; an empty list when there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return [str(name) for name in json.load(file)["modules"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # it is learned again


def add_to_history(path: str, modules: list[str]) -> None:
    """Add modules to the history file, all or none. A file that cannot be written is ignored: only speed is lost."""
    recorded = read_history(path)
    merged = list(dict.fromkeys(recorded + modules))[-MODULES:]
    if merged == recorded:
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
    """Reports to the template which modules a kernel has imported or used since the last report."""

    def __init__(self, fd: int, known: frozenset[str], learnable: Callable[[Iterable[str]], list[str]]) -> None:
        self._fd = fd
        os.set_blocking(fd, False)  # never wait for a template that does not read
        self._known = known
        self._learnable = learnable
        self._modules = len(sys.modules)
        self._reported: set[str] = set()
        self._unsent = b""

    def send(self, *, all_of_it: bool = False) -> None:
        """Report the modules imported since the last call, and the preloaded modules that cells have used since.

        With `all_of_it`, look at every imported module instead of the newest ones.
        """
        count = len(sys.modules) - self._modules
        if all_of_it or count < 0:
            new = [name for name in list(sys.modules) if name not in self._known]
        else:  # to look at all of them would copy their memory from the template
            new = list(itertools.islice(reversed(sys.modules), count))[::-1]
        self._modules = len(sys.modules)
        used = sorted(self.used(*new))
        names = [name for name in self._learnable([*new, *used]) if name not in self._reported]
        self._reported.update(names)
        if names:
            self._unsent += json.dumps(names).encode() + b"\n"
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            pass  # the rest goes with the next report
        except OSError:
            self._unsent = b""  # the template is gone

    @staticmethod
    def used(*modules: str) -> set[str]:
        """Return the names of the modules that define what the cells and `modules` have in their namespaces."""
        spaces = [vars(sys.modules[name]) for name in ("__main__", *modules) if name in sys.modules]
        return {_home(value) for names in spaces for value in list(names.values())}


def _home(value: object) -> str:
    """Return the module in which a value's type or function was defined, without running code of the user's."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    definitions = (type, types.FunctionType, types.BuiltinFunctionType)
    home = value.__module__ if isinstance(value, definitions) else type(value).__module__
    return home if isinstance(home, str) else ""
