"""One second process for all kernels of this one, which ends them if this one is killed without a word."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading

from notebooks_lib.running import reaper


class Guard:
    """Knows which kernels there are; its process is started with the first one and ends with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._kernels: dict[str, int | None] = {}

    def start(self, marker: str) -> None:
        """Take a kernel into care, before it starts."""
        with self._lock:
            if sys.platform != "win32":
                self._ready()
            self._kernels[marker] = None
            self._say(f"start {marker}")

    def group(self, marker: str, pgid: int) -> None:
        """Its process group, once it is known."""
        with self._lock:
            self._kernels[marker] = pgid
            self._say(f"pgid {marker} {pgid}")

    def done(self, marker: str) -> None:
        """Nothing of the kernel is left."""
        with self._lock:
            self._kernels.pop(marker, None)
            self._say(f"done {marker}")

    def _ready(self) -> None:
        if self._owner != os.getpid():  # a fork of the runner: the other one's kernels are not ours
            self._process, self._kernels, self._owner = None, {}, os.getpid()
        if self._process is not None and self._process.poll() is None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C or a kill of our process group must not reach it
            cwd="/",
        )
        atexit.register(self._end, self._process)
        for marker, pgid in self._kernels.items():  # those that a killed one knew
            self._say(f"start {marker}")
            if pgid is not None:
                self._say(f"pgid {marker} {pgid}")

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        """At the end of this process; it ends by itself, and with it what was left of any kernel."""
        if process.stdin is not None:
            process.stdin.close()
        process.wait(10)

    def _say(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except OSError:
                pass  # it is gone; the kernels are still ours to end


GUARD = Guard()
