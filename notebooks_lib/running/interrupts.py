"""Turns Ctrl-C and a polite kill of the runner into a request to stop, so that the run is still ended properly."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from notebooks_lib.running.timeouts import StopReason

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # the terminal was closed, or the connection to it lost
    SIGNALS.append(signal.SIGHUP)
PATIENCE = 2


@contextlib.contextmanager
def caught() -> Iterator[Callable[[], StopReason | None]]:
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
