"""Plugins that a package loads while it is imported, and that are not in the table: they wait for the fork.

Packages find plugins by entry points. One that belongs to the user's code must not be imported in a template, where it
would grow stale and would not see the kernel's environment; each kernel loads it at its start. Standard library only.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

early: list[str] = []
"""Plugins that a package did not only load in the template, but used."""


class Deferred:
    """Stands for what an entry point leads to: a class or a function."""

    def __init__(self, entry: importlib.metadata.EntryPoint, load: Callable[[Any], Any]) -> None:
        self._entry = entry
        self._load = load
        self._made: list[_Made] = []
        self._real: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._real is not None:
            return self._real(*arguments, **named)
        self._made.append(_Made(self, arguments, named))
        return self._made[-1]

    def __getattr__(self, name: str) -> Any:
        if self._real is None:
            early.append(f"{self._entry.value}.{name}")
            raise AttributeError(name)
        return getattr(self._real, name)

    def resolve(self) -> None:
        """In the kernel: do now what was put off."""
        self._real = self._load(self._entry)
        for made in self._made:
            made._real = self._real(*made._arguments, **made._named)


class _Made:
    """Stands for an instance that was wanted in the template."""

    def __init__(self, of: Deferred, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._of, self._arguments, self._named = of, arguments, named
        self._real: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._real is None:
            early.append(f"{self._of._entry.value}().{name}")
            raise AttributeError(name)
        return getattr(self._real, name)
