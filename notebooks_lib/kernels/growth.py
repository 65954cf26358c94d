"""How a template learns: a copy of it imports what kernels had to import themselves, and takes its place.

So no import can do a template harm: one that hangs, crashes, starts a thread or prints costs a copy, and is left to the
kernels from then on. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

HANG = 30.0
"""Seconds that one module may take."""
PATIENCE = 10.0
"""Seconds for which kernels wait for modules that are being imported; they would cost them the same."""


class Growth:
    """A successor, as the template sees it that waits for it."""

    def __init__(self, pid: int, heard: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.heard = heard
        os.set_blocking(heard, False)
        self.importing = ""
        self.unfit: dict[str, str] = {}
        self.ready = False
        self.hung = False
        self._rest = b""
        self._since = time.monotonic()
        self._until = self._since + PATIENCE

    def hear(self) -> bool:
        """Take in what it says; False when it says no more."""
        try:
            data = os.read(self.heard, 2**16)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said: dict[str, Any] = json.loads(line)
            self._since = time.monotonic()
            self.importing = said.get("importing", self.importing)
            self.unfit |= said.get("unfit", {})
            self.ready = self.ready or bool(said.get("ready"))
        return bool(data)

    def late(self) -> bool:
        """Whether kernels need not wait for it any longer. One that hangs is ended."""
        now = time.monotonic()
        if now - self._since > HANG and not self.ready and not self.hung:
            self.hung = True
            self.end()
        return now > self._until

    def end(self) -> None:
        """SIGKILL."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except OSError:
            pass

    def close(self) -> dict[str, str]:
        """Reap it; what is to be left to the kernels from now on, and why."""
        try:
            status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            status = 0
        os.close(self.pidfd)
        os.close(self.heard)
        if self.unfit or self.ready or not self.importing:
            return self.unfit
        if self.hung:
            return {self.importing: f"its import takes more than {HANG:g} s"}
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGTERM):
            return {}  # whoever sent that meant the process, or memory ran out
        return {self.importing: "a process that imported it ended"}
