"""What a kernel's debugger finds: the modules and frames that an ordinary kernel would have. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from typing import Any


class Sys:
    """The module `sys`, but with fewer modules."""

    def __init__(self, names: Callable[[], Collection[str]]) -> None:
        self._names = names

    @property
    def modules(self) -> dict[str, Any]:
        """Those that are named, in the order of their import."""
        names = self._names()
        return {name: module for name, module in sys.modules.items() if name in names}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def prepare(kernel: Any, base: Collection[str], known: Collection[str], used: Callable[[], set[str]]) -> None:
    """Show modules that the kernel has imported or used, not all that its template has; no frame of the template."""
    debugger = getattr(kernel, "debugger", None)
    if debugger is None:
        return

    def shown() -> set[str]:
        tops = {name.partition(".")[0] for name in used()}
        names = list(sys.modules)
        return {name for name in names if name in base or name not in known or name.partition(".")[0] in tops}

    sys.modules["ipykernel.debugger"].sys = Sys(shown)  # type: ignore[attr-defined]
    here = os.path.dirname(os.path.abspath(__file__))
    if hasattr(debugger, "kernel_modules"):
        debugger.kernel_modules += [os.path.join(here, name) for name in ("child.py", "template.py")]
