"""What modules find while a template imports them: streams that become the kernel's own, and IPython's shell.

No function is replaced: a module may keep whatever it finds. Standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any, ClassVar


class _Closed(io.StringIO):
    """What a kernel's stream says of itself, before there is a kernel."""

    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True  # says ipykernel's OutStream

    def write(self, text: str) -> int:
        """Into the template's log: there is no notebook to show it in."""
        assert sys.__stderr__ is not None
        return sys.__stderr__.write(text)


class Stream:
    """Stands for sys.stdout or sys.stderr during imports, where handlers of loggers keep it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._target: Any = _Closed()

    def bind(self, target: Any) -> None:
        """In the kernel: be this stream from now on."""
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class _Shell:
    """Stands for IPython's shell: modules ask whether this is a kernel, and it is going to be one."""

    config: ClassVar[dict[str, object]] = {"IPKernelApp": {}}
    kernel = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return sys.modules["ipykernel.zmqshell"].ZMQInteractiveShell


@contextlib.contextmanager
def standing_in(streams: tuple[Any, Any]) -> Iterator[None]:
    """For the time of imports."""
    import IPython
    from IPython.core.interactiveshell import InteractiveShell

    own = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    InteractiveShell._instance = _Shell()
    builtins.get_ipython = IPython.get_ipython  # type: ignore[attr-defined]  # as while a cell runs
    try:
        yield
    finally:
        del builtins.get_ipython  # type: ignore[attr-defined]
        del InteractiveShell._instance  # the base class's is None
        sys.stdout, sys.stderr = own
