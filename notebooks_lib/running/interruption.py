"""Why and how a running notebook is stopped: time limits, requests, Ctrl-C and a polite kill of the runner.

The kernel is interrupted first and killed later, so that the run is still ended properly.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Literal

from notebooks_lib.running.kernel_process import KernelProcess

StopReason = Literal["timeout", "cell timeout", "interrupt", "pruned"]
CHECK_EVERY = 0.1
MEASURE_EVERY = 1.0
GRACE = 3.0
"""Seconds that a cell has to end after an interrupt, before its kernel is killed."""


class Watchdog:
    """Watches the time limits and stop requests of one notebook. `stopped` becomes the reason to stop the notebook."""

    def __init__(
        self,
        kernel: KernelProcess,
        *,
        timeout: float | None,
        cell_timeout: float | None,
        stop_reason: Callable[[], StopReason | None],
    ) -> None:
        self._kernel = kernel
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._cell_timeout = cell_timeout
        self._cell_deadline: float | None = None
        self.stopped: StopReason | None = None
        self._stop_reason = stop_reason

    def cell_begins(self) -> None:
        """Start the time limit of a cell."""
        if self._cell_timeout is not None:
            self._cell_deadline = time.monotonic() + self._cell_timeout

    def cell_ends(self) -> None:
        """End the time limit of the cell, and check a last time whether there is a reason to stop."""
        self._cell_deadline = None
        self._check()

    async def watch(self) -> None:
        """Check until there is a reason to stop; then interrupt the cell, and kill the kernel GRACE seconds later."""
        measured = 0.0
        while self.stopped is None:
            if time.monotonic() - measured >= MEASURE_EVERY:
                self._kernel.measure()
                measured = time.monotonic()
            self._check()
            await asyncio.sleep(CHECK_EVERY)
        self._kernel.measure()
        await self._kernel.manager.interrupt_kernel()
        await asyncio.sleep(GRACE)
        self._kernel.kill()

    def _check(self) -> None:
        if self.stopped is not None:
            return
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self.stopped = "timeout"
        elif self._cell_deadline is not None and now >= self._cell_deadline:
            self.stopped = "cell timeout"
        else:
            self.stopped = self._stop_reason()


SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # the terminal was closed, or the connection to it lost
    SIGNALS.append(signal.SIGHUP)
PATIENCE = 2
"""Signals that are only noted; the next one raises KeyboardInterrupt."""
BURST = 0.2
"""Seconds within which signals count as one: Linux tells of a killed parent once for each of its threads."""


@contextlib.contextmanager
def catch_signals() -> Iterator[Callable[[], StopReason | None]]:
    """Record SIGINT, SIGTERM and SIGHUP within the block instead of obeying them.

    The yielded function returns "interrupt" after one. After PATIENCE signals, raise KeyboardInterrupt, so that a
    store that hangs cannot block the exit. Signals in a burst count as one. Outside the main thread nothing is changed,
    because Python delivers signals to the main thread only.
    """
    signals: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if signals and now - signals[-1] < BURST:
            return
        signals.append(now)
        if len(signals) > PATIENCE:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: "interrupt" if signals else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
