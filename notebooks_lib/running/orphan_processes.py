"""End the kernels of a runner that was killed, with everything they have started: the work of a second process.

It runs this file by path with -I -S, and the standard library only, so that it starts in some tens of milliseconds. It
reads lines from its standard input; when they end while kernels are running, the runner was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
import atexit
import threading


def find_marked(marker: bytes) -> list[int]:
    """Return the processes that were started with `marker` in their environment (Linux only)."""
    processes = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in entry.read_bytes().split(b"\0"):
                processes.append(int(entry.parent.name))
        except OSError:
            continue  # it has ended, or is another user's
    return processes


def find_descendants(pids: list[int]) -> list[int]:
    """Return the children of these processes, and all further descendants whose parents still run (Linux only)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    descendants: list[int] = []
    wave = pids
    while wave:
        wave = [pid for pid, parent in parents.items() if parent in wave and pid not in descendants]
        descendants += wave
    return descendants


def kill(pid: int) -> None:
    """Send SIGKILL to a process, if it still runs."""
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def kill_all(marker: bytes, groups: list[int]) -> None:
    """Kill the process groups and all processes with the marker, until none is left.

    A child with another environment and session is found only while its kernel runs, by `find_descendants`. A child
    whose parent has ended is found by the marker. A process with neither is not found.
    """
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            pass  # already gone
    for _ in range(20):  # a process may have forked meanwhile
        remaining = [pid for pid in find_marked(marker) if pid != os.getpid()]
        if not remaining:
            return
        for pid in remaining:
            kill(pid)
        time.sleep(0.05)


def main() -> None:
    """Read lines "start MARKER", "pgid MARKER N", "done MARKER".

    When the input ends, kill the kernels that are not done.
    """
    kernels: dict[str, list[int]] = {}
    for line in sys.stdin:
        word, marker, *value = line.split()
        if word == "start":
            kernels[marker] = []
        elif word == "pgid":
            kernels[marker].append(int(value[0]))
        elif word == "done":
            kernels.pop(marker, None)
    for marker, groups in kernels.items():
        for pid in find_descendants(groups):
            kill(pid)
        kill_all(marker.encode(), groups)


class OrphanGuard:
    """Reports this process's kernels to a guard process, which runs this file and is started with the first kernel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._kernels: dict[str, int | None] = {}

    def start(self, marker: str) -> None:
        """Register a kernel before it starts."""
        with self._lock:
            if sys.platform != "win32":
                self._ensure_process()
            self._kernels[marker] = None
            self._send(f"start {marker}")

    def group(self, marker: str, pgid: int) -> None:
        """Report a kernel's process group, once it is known."""
        with self._lock:
            self._kernels[marker] = pgid
            self._send(f"pgid {marker} {pgid}")

    def done(self, marker: str) -> None:
        """Unregister a kernel that has ended with all its processes."""
        with self._lock:
            self._kernels.pop(marker, None)
            self._send(f"done {marker}")

    def _ensure_process(self) -> None:
        if self._owner != os.getpid():  # a fork of the runner, which does not own the other one's kernels
            self._process, self._kernels, self._owner = None, {}, os.getpid()
        if self._process is not None and self._process.poll() is None:
            return
        import subprocess  # not imported in the second process, which is to start fast

        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C or a kill of our process group must not reach it
            cwd="/",
        )
        atexit.register(self._end, self._process)
        for marker, pgid in self._kernels.items():  # those that an earlier, killed process knew
            self._send(f"start {marker}")
            if pgid is not None:
                self._send(f"pgid {marker} {pgid}")

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        """Let the second process end, at the exit of this one; it kills what is left of any kernel."""
        if process.stdin is not None:
            process.stdin.close()
        process.wait(10)

    def _send(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except OSError:
                pass  # it has ended; this process still ends its kernels itself


GUARD = OrphanGuard()


if __name__ == "__main__":
    main()
