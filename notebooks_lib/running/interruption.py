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

from notebooks_lib.running.kernel import Kernel

StopReason = Literal["timeout", "cell timeout", "interrupt", "pruned"]
LOOK_EVERY = 0.1
MEASURE_EVERY = 1.0
GRACE = 3.0
"""Seconds that a cell has to end after an interrupt, before its kernel is killed."""


class Watchdog:
    """`stopped` says why the notebook was told to stop, if it was; once said it stays."""

    def __init__(self, kernel: Kernel, *, timeout: float | None, cell_timeout: float | None) -> None:
        self._kernel = kernel
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._cell_timeout = cell_timeout
        self._cell_deadline: float | None = None
        self.stopped: StopReason | None = None
        self.wanted: Callable[[], StopReason | None] = lambda: None
        """Asked at every look; whoever wants the notebook stopped answers why."""

    def cell_begins(self) -> None:
        """A cell's own time starts now."""
        if self._cell_timeout is not None:
            self._cell_deadline = time.monotonic() + self._cell_timeout

    def cell_ends(self) -> None:
        """No cell is running."""
        self._cell_deadline = None
        self._look()

    async def watch(self) -> None:
        """Look until told to stop; then see to it that the cell ends."""
        measured = 0.0
        while self.stopped is None:
            if time.monotonic() - measured >= MEASURE_EVERY:
                self._kernel.measure()
                measured = time.monotonic()
            self._look()
            await asyncio.sleep(LOOK_EVERY)
        self._kernel.measure()
        await self._kernel.manager.interrupt_kernel()
        await asyncio.sleep(GRACE)
        self._kernel.kill()

    def _look(self) -> None:
        if self.stopped is not None:
            return
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self.stopped = "timeout"
        elif self._cell_deadline is not None and now >= self._cell_deadline:
            self.stopped = "cell timeout"
        else:
            self.stopped = self.wanted()


SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # the terminal was closed, or the connection to it lost
    SIGNALS.append(signal.SIGHUP)
PATIENCE = 2


@contextlib.contextmanager
def catch_signals() -> Iterator[Callable[[], StopReason | None]]:
    """Within the block SIGINT, SIGTERM and SIGHUP are only noted; the value given says "interrupt" once one came.

    Whoever insists, by asking more than PATIENCE times, gets KeyboardInterrupt: a store that hangs must not hold them.
    Outside the main thread signals cannot be caught, and arrive there only: nothing is changed.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > PATIENCE:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: "interrupt" if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
