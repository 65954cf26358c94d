"""What modules do while they are imported, besides importing: noted, and kept from the process where it must be.

A template must not print, start a thread or have a front end; and what a module keeps from its import (a stream, a
random state) has to become the kernel's own after the fork. Standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar

FRONT_END = {
    "pandas.core.config_init": "asks only whether this is a kernel",
    "tqdm.autonotebook": "asks only whether this is a kernel",
    "ipywidgets": "asked again in the kernel (child.FINISH)",
    "matplotlib.pyplot": "asks again when its first figure is drawn",
}
"""Modules that ask for IPython's shell when they are imported and for which the answer "a kernel" is enough."""


class _Unread(io.StringIO):
    """What a kernel's stream says of itself, before there is a kernel."""

    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True  # says ipykernel's OutStream


class Stream:
    """Stands for sys.stdout or sys.stderr during imports; handlers of loggers keep it. In the kernel it is bound."""

    def __init__(self, name: str, note: Callable[[str], None]) -> None:
        self.name = name
        self._note: Callable[[str], None] | None = note
        self._target: Any = _Unread()

    def bind(self, target: Any) -> None:
        """From now on be this stream."""
        self._note, self._target = None, target

    def write(self, text: str) -> int:
        """Pass it on; before there is a kernel, only note that there was something."""
        if self._note is not None:
            if text:
                self._note("it prints or warns when it is imported")
            return len(text)
        return int(self._target.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class _Shell:
    """What IPython's `get_ipython` gives while modules are imported: they are told that this is a kernel."""

    config: ClassVar[dict[str, object]] = {"IPKernelApp": {}}
    kernel = None


class Watch:
    """All that was noted so far; `watching()` is entered around imports."""

    def __init__(self) -> None:
        self.unfit: dict[str, str] = {}
        """Module -> why no process that has imported it can be a template."""
        self.files: set[str] = set()
        """Files that imports have read: by another content they would have gone another way."""
        self.random: list[random.Random] = []
        """Generators that were seeded by chance."""
        self.streams = (Stream("stdout", self._note), Stream("stderr", self._note))

    def _note(self, why: str) -> None:
        frame: FrameType | None = sys._getframe(2)
        names = []
        while frame is not None:
            if frame.f_code.co_name == "<module>":
                names.append(str(frame.f_globals.get("__name__", "")))
            frame = frame.f_back
        names = [name for name in names if name and name != "__main__"]
        if why == "it asks for the front end" and names and names[0] in FRONT_END:
            return
        self.unfit.update(dict.fromkeys(names, why))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is done meanwhile; afterwards nothing of the watch is left in any module, its streams excepted."""
        import IPython
        import IPython.core.getipython

        before = set(sys.modules)
        asked = IPython.core.getipython.get_ipython
        start, seed, opened, io_opened = threading.Thread.start, random.Random.seed, builtins.open, io.open
        streams = sys.stdout, sys.stderr

        def get_ipython() -> object:
            self._note("it asks for the front end")
            return _Shell()

        def started(thread: Any) -> None:
            self._note("it starts a thread")
            start(thread)

        def seeded(generator: random.Random, a: Any = None, version: int = 2) -> None:
            if a is None and type(generator) is random.Random:
                self.random.append(generator)
            seed(generator, a, version)

        def open_and_note(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if isinstance(file, str | os.PathLike) and not set(mode) & set("wax+"):
                self._read(os.fspath(file))
            return opened(file, mode, *arguments, **named)

        sys.stdout, sys.stderr = self.streams
        threading.Thread.start = started  # type: ignore[assignment, method-assign]
        random.Random.seed = seeded  # type: ignore[assignment, method-assign]
        builtins.open = io.open = open_and_note
        IPython.core.getipython.get_ipython = IPython.get_ipython = get_ipython
        builtins.get_ipython = get_ipython  # type: ignore[attr-defined]
        try:
            yield
        finally:
            del builtins.get_ipython  # type: ignore[attr-defined]
            builtins.open, io.open = opened, io_opened
            random.Random.seed = seed  # type: ignore[method-assign]
            threading.Thread.start = start  # type: ignore[method-assign]
            sys.stdout, sys.stderr = streams
            originals = {"get_ipython": (get_ipython, asked), "open": (open_and_note, opened)}
            changed = [IPython, IPython.core.getipython]
            changed += [module for name, module in list(sys.modules.items()) if name not in before]
            for module in changed:  # `from IPython import get_ipython` in an imported module
                names = getattr(module, "__dict__", {})
                for name, (ours, theirs) in originals.items():
                    if names.get(name) is ours:
                        names[name] = theirs

    def _read(self, path: str | bytes) -> None:
        passing = ("/proc/", "/sys/", "/dev/", tempfile.gettempdir() + os.sep, *_caches())
        if isinstance(path, str) and os.path.isabs(path) and not path.startswith(passing):
            self.files.add(path)


def _caches() -> tuple[str, ...]:
    """Folders of files that libraries write for themselves."""
    given = os.environ.get("XDG_CACHE_HOME")
    return tuple(folder + os.sep for folder in (given, os.path.expanduser("~/.cache")) if folder)
