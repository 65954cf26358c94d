"""Placeholders for what modules look for while a template imports them: streams, IPython's shell, and plugins.

Streams become the kernel's own after the fork. No function is replaced, because a module may keep whatever it finds.
Plugins that packages find by entry points and that are not in the table wait for the fork: imported in a template, they
would grow stale and would not see the kernel's environment. Standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.metadata
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar


class _Closed(io.StringIO):
    """The answers of a kernel's stream, before there is a kernel."""

    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True  # as ipykernel's OutStream

    def write(self, text: str) -> int:
        """Write the text to the template's log, because there is no notebook that could show it."""
        assert sys.__stderr__ is not None
        return sys.__stderr__.write(text)


class PlaceholderStream:
    """Placeholder for sys.stdout or sys.stderr during imports, where handlers of loggers keep it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._target: Any = _Closed()

    def bind(self, target: Any) -> None:
        """Pass everything written here to the stream `target` from now on; called in the kernel."""
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class _Shell:
    """Placeholder for IPython's shell, for modules that ask whether they run in a kernel."""

    config: ClassVar[dict[str, object]] = {"IPKernelApp": {}}
    kernel = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return sys.modules["ipykernel.zmqshell"].ZMQInteractiveShell


@contextlib.contextmanager
def installed_placeholders(streams: tuple[Any, Any]) -> Iterator[None]:
    """Put the placeholders in place while modules are imported."""
    import IPython
    from IPython.core.interactiveshell import InteractiveShell

    original = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    InteractiveShell._instance = _Shell()
    builtins.get_ipython = IPython.get_ipython  # type: ignore[attr-defined]  # as while a cell runs
    try:
        yield
    finally:
        del builtins.get_ipython  # type: ignore[attr-defined]
        del InteractiveShell._instance  # the base class's is None
        sys.stdout, sys.stderr = original


early: list[str] = []
"""Plugins that a package has used in the template, not only loaded."""


class DeferredPlugin:
    """Placeholder for the class or function of an entry point, which is loaded only in the kernel."""

    def __init__(self, entry: importlib.metadata.EntryPoint, load: Callable[[Any], Any]) -> None:
        self._entry = entry
        self._load = load
        self._made: list[_DeferredInstance] = []
        self._real: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return an instance of the plugin; before the fork, a placeholder for one."""
        if self._real is not None:
            return self._real(*arguments, **named)
        self._made.append(_DeferredInstance(self, arguments, named))
        return self._made[-1]

    def __getattr__(self, name: str) -> Any:
        if self._real is None:
            early.append(f"{self._entry.value}.{name}")
            raise AttributeError(name)
        return getattr(self._real, name)

    def resolve(self) -> None:
        """Load the plugin, and create the instances that packages asked for before the fork; called in the kernel."""
        self._real = self._load(self._entry)
        for instance in self._made:
            instance._real = self._real(*instance._arguments, **instance._named)


class _DeferredInstance:
    """Placeholder for an instance that a package created in the template."""

    def __init__(self, of: DeferredPlugin, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._of, self._arguments, self._named = of, arguments, named
        self._real: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._real is None:
            early.append(f"{self._of._entry.value}().{name}")
            raise AttributeError(name)
        return getattr(self._real, name)
