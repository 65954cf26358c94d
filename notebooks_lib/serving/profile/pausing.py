"""Limit a child process without special rights: pause it when its CPU time is used up, kill it when its memory is.

The kernel's own limits are better (`limits.ControlGroup`); this works where they are not available, in any container on
Linux. Like cpu.max it gives a quota of CPU time in each period and stops the process for the rest of the period.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

PERIOD = 0.1
"""Seconds, as the kernel's own period."""
SHORTEST = 0.0005
"""Shortest time between two looks, in seconds, when the quota is nearly used up."""
MEMORY_EVERY = 0.005
"""Seconds between two looks at the memory: growth in between is not held back."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all threads together, to the nanosecond. Raises OSError when it is gone."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) answers


class CpuPauses:
    """Hold process `pid` to `cpus` from `start` to `stop`. It must be our child, on no more than ceil(cpus) cores."""

    def __init__(self, pid: int, cpus: float, cores: int) -> None:
        self._pid = pid
        self._cpus = cpus
        self._cores = cores
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauses", daemon=True)

    def start(self) -> None:
        """Begin to limit it."""
        self._thread.start()

    def stop(self) -> None:
        """Let it run freely again."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):  # it has ended
            self._hold()

    def _hold(self) -> None:
        quota = self._cpus * PERIOD
        quota_left, used, paused = quota, cpu_seconds(self._pid), False
        refill = time.monotonic() + PERIOD
        try:
            while not self._ending.is_set():
                now = time.monotonic()
                if now >= refill:
                    quota_left = quota + min(
                        quota_left, 0.0
                    )  # what was used too much is owed, what was not used is lost
                    refill = max(refill + PERIOD, now)
                spent = cpu_seconds(self._pid)
                quota_left, used = quota_left - (spent - used), spent
                if (quota_left <= 0) != paused:
                    paused = quota_left <= 0
                    os.kill(self._pid, signal.SIGSTOP if paused else signal.SIGCONT)
                soonest = refill - now if paused else min(refill - now, quota_left / self._cores)
                self._ending.wait(max(soonest, SHORTEST))
        finally:
            with suppress(OSError):
                os.kill(self._pid, signal.SIGCONT)


class MemoryWatch:
    """Kill process `pid` once it holds more than `limit` bytes of memory; `killed` says that it did."""

    def __init__(self, pid: int, limit: int) -> None:
        self._pid = pid
        self._limit = limit
        self._page = os.sysconf("SC_PAGESIZE")
        self._ending = threading.Event()
        self.killed = False
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        statm = Path(f"/proc/{self._pid}/statm")
        with suppress(OSError, IndexError), statm.open("rb", buffering=0) as file:
            while not self._ending.wait(MEMORY_EVERY):
                file.seek(0)
                if int(file.read().split()[1]) * self._page > self._limit:
                    os.kill(self._pid, signal.SIGKILL)
                    self.killed = True
                    return


def peak(pid: int) -> int:
    """Return the peak memory of a process (VmHWM), shared libraries included; 0 when it is gone."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def waited(pid: int) -> float:
    """Return the seconds for which its threads were ready to run and did not, all together; 0 where unknown."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended meanwhile
            total += int(task.read_text().split()[1])
    return total / 1e9


def alone(pid: int) -> bool:
    """Whether a process has no children, which would run outside of its limits."""
    import psutil

    try:
        return not psutil.Process(pid).children()
    except psutil.Error:
        return True
