"""End a child process when the process that started it ends, even by SIGKILL. Standard library only."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def exit_with_parent(pid: int, by: int = 9) -> None:
    """End this process when its parent `pid` ends.

    On Linux the kernel sends the signal `by`, even while this process is paused. Elsewhere a thread checks now and
    then, which needs a process that is not paused.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
    elif hasattr(os, "getppid"):
        threading.Thread(target=_watch, args=(pid,), name="starter", daemon=True).start()
    if hasattr(os, "getppid") and os.getppid() != pid:  # it ended before this was set up
        os._exit(1)


def exit_when_stdin_closes() -> None:
    """End this process when its standard input closes.

    The starting process keeps it open; what it sends is discarded.
    """

    def wait() -> None:
        with suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        os._exit(0)

    threading.Thread(target=wait, name="starter", daemon=True).start()


def _watch(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(1)
    os._exit(1)
