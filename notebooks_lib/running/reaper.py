"""Runs as a process of its own: when the runner is gone without a word, it ends every process of its kernels.

Standard library only and started by path with -I -S, so that it is up in some ten milliseconds. It reads lines from its
standard input; end of input with kernels that were not done means that the runner was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def marked(marker: bytes) -> list[int]:
    """Processes whose first environment holds `marker`, however far they went from the kernel (Linux only)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # gone meanwhile, or not ours
    return found


def descendants(pids: list[int]) -> list[int]:
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


def end(marker: bytes, groups: list[int]) -> None:
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
        left = [pid for pid in marked(marker) if pid != os.getpid()]
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
        for pid in descendants(groups):
            kill(pid)
        end(marker.encode(), groups)


if __name__ == "__main__":
    main()
