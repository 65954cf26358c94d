"""No process is left behind when the runner is killed without a word: a second process then ends all of its kernels.

That process runs this file by path with -I -S, so that it is up in some tens of milliseconds: standard library only. It
reads lines from its standard input; end of input with kernels that were not done means that the runner was killed.
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
    """Processes whose first environment holds `marker`, however far they went from the kernel (Linux only)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # gone meanwhile, or not ours
    return found


def find_descendants(pids: list[int]) -> list[int]:
    """The processes that these started, and theirs, while their parents live (Linux only)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found: list[int] = []
    wave = pids
    while wave:
        wave = [pid for pid, parent in parents.items() if parent in wave and pid not in found]
        found += wave
    return found


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def kill_all(marker: bytes, groups: list[int]) -> None:
    """Kill the process groups and what carries the marker, until nothing is left.

    A child with another environment in a session of its own is found as a descendant while its kernel lives (ask
    before), one whose parent went first by the marker; only who shook off both is not found.
    """
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            pass  # already gone
    for _ in range(20):  # a process may have forked while it was looked for
        left = [pid for pid in find_marked(marker) if pid != os.getpid()]
        if not left:
            return
        for pid in left:
            kill(pid)
        time.sleep(0.05)


def main() -> None:
    """Note which kernels there are, in lines "start MARKER", "pgid MARKER N" and "done MARKER"; wait for the end."""
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
        import subprocess  # not for the process that runs this file: it shall be up soon

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


GUARD = OrphanGuard()


if __name__ == "__main__":
    main()
