"""What an import, or any other work in a template, has left behind that a fork cannot carry. Standard library only."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

POOLS = {"pyarrow"}
"""Packages whose native threads survive a fork, beside those that threadpoolctl knows."""


class Leftovers:
    """Made before the work; `found` tells after it."""

    def __init__(self) -> None:
        self._files, self._threads, self._tasks = _open_files(), threading.active_count(), _tasks()

    def found(self, package: str) -> str | None:
        """What the work of a package has left, in words; None when nothing."""
        if _more_than(self._threads):
            return "it leaves a thread behind"
        if _open_files() - self._files and (gc.collect(), _open_files() - self._files)[1]:
            return "it leaves a file or a socket open"
        if _tasks() > max(self._tasks, _pools()) and package not in POOLS:
            return "it leaves a native thread behind"
        return None


def _more_than(threads: int) -> bool:
    """Whether a Python thread has come to stay; one that is about to end is waited for."""
    until = time.monotonic() + 0.3
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.02)
    return threading.active_count() > threads


def _tasks() -> int:
    """Threads of the operating system, native ones included."""
    return len(os.listdir("/proc/self/task"))


def _pools() -> int:
    """How many threads this process may have without harm: pools of BLAS and Arrow know how to go through a fork."""
    import threadpoolctl

    pools: list[int] = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    return 1 + sum(number - 1 for number in pools) + (len(POOLS & sys.modules.keys()))


def _open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))
