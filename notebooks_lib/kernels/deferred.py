"""Plugins of a project's own that a third party loads when it is imported: in a template they wait for the fork.

Packages find plugins by entry points. One that belongs to the user's code must not be imported in a template, where it
would grow stale and would not see the kernel's environment; each kernel loads it at its start. Standard library only.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any


class Deferred:
    """Stands for what an entry point leads to: a class or a function."""

    def __init__(self, entry: importlib.metadata.EntryPoint, load: Callable[[Any], Any]) -> None:
        self._entry = entry
        self._load = load
        self._made: list[_Made] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        made = _Made(lambda: self._load(self._entry)(*arguments, **named))
        self._made.append(made)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(self._entry), name)

    def resolve(self) -> None:
        """In the kernel: do now what was put off."""
        self._load(self._entry)
        for made in self._made:
            made._resolve()


class _Made:
    """Stands for an instance that was wanted in the template."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._real: Any = None

    def _resolve(self) -> Any:
        if self._real is None:
            self._real = self._make()
        return self._real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolve(), name)
