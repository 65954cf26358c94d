"""The number of BLAS and OpenMP threads in a kernel, as its environment says, though they were loaded before the fork.

The number is set in the template, right before it forks. Set afterwards, OpenBLAS would start its threads at once, and
they would spin for a while. A fork ends them, and a kernel starts them again when it needs more than one.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

VARIABLES = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
}
"""Read by native libraries when they are loaded; after that only threadpoolctl reaches them (docs/design trap 15)."""


class ThreadPools:
    """The native thread pools of this process, and those of kernels forked from it."""

    def __init__(self) -> None:
        self._threadpoolctl: Any = None
        """A copy of this process's own, which no kernel sees."""
        self._libraries: list[Any] = []
        self._own: dict[str, int] = {}
        """The number that each library chose when it was loaded."""

    def look(self) -> None:
        """Find the libraries that are loaded now."""
        if self._threadpoolctl is None:
            self._threadpoolctl = _import_privately("threadpoolctl")
        self._libraries = self._threadpoolctl.ThreadpoolController().lib_controllers
        for library in self._libraries:
            self._own.setdefault(library.filepath, library.num_threads)

    def limit(self, environment: Mapping[str, str]) -> None:
        """In the template, right before a fork: set the numbers that the kernel is to have."""
        wanted = _wanted(environment)
        for library in self._libraries:
            number = wanted.get(library.user_api, self._own[library.filepath])
            if number != library.num_threads:
                library.set_num_threads(number)

    def finish(self, environment: Mapping[str, str]) -> None:
        """In the kernel: set what a fork does not carry over."""
        openmp = _wanted(environment).get("openmp")
        libraries = [library for library in self._libraries if library.user_api == "openmp"]
        if libraries and openmp is not None:
            _limit_threads(libraries, openmp)
        number = environment.get("NUMEXPR_NUM_THREADS", "")
        if "numexpr" in sys.modules and number.isdigit():
            sys.modules["numexpr"].set_num_threads(max(1, int(number)))
        if "pyarrow" in sys.modules and openmp is not None:  # which reads the variable when it is loaded
            sys.modules["pyarrow"].set_cpu_count(openmp)


def _import_privately(name: str) -> Any:
    """Import a module without a trace: not in `sys.modules`, and no variable that it sets (KMP_DUPLICATE_LIB_OK).

    A kernel that imports it, by itself or for scikit-learn, gets another copy, and the variable with it.
    """
    imported, variables = name in sys.modules, set(os.environ)
    module = importlib.import_module(name)
    if not imported:
        del sys.modules[name]
    for variable in set(os.environ) - variables:
        del os.environ[variable]
    return module


def _wanted(environment: Mapping[str, str]) -> dict[str, int]:
    wanted = {}
    for api, variables in VARIABLES.items():
        for variable in variables:
            number = environment.get(variable, "").partition(",")[0]
            if number.isdigit():
                wanted[api] = max(1, int(number))
                break
    return wanted


def _limit_threads(libraries: list[Any], number: int) -> None:
    """Limit threads that cells start: OpenMP keeps the number per thread, and theirs would be from before the fork."""
    run: Callable[[threading.Thread], None] = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def limited(thread: threading.Thread) -> None:
        for library in libraries:
            library.set_num_threads(number)
        run(thread)

    threading.Thread._bootstrap_inner = limited  # type: ignore[attr-defined]
