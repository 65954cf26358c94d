"""Limit a child process without special rights: pause it when its CPU time is used up, kill it when its memory is.

The kernel's own limits are better (`resource_limits.ControlGroup`); this works where they are not available, in any
container on Linux. Like cpu.max it gives a quota of CPU time in each period, and stops the process for the rest of it.
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
"""Seconds between two looks at the CPU time when the quota is nearly used up."""
MEMORY_EVERY = 0.005
"""Seconds between two looks at the memory: growth in between is not held back."""


class _Watcher(threading.Thread):
    """A thread that watches a process until `stop` or until the process has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.stopping = threading.Event()

    def stop(self) -> None:
        """Stop watching, and wait for the thread."""
        self.stopping.set()
        if self.is_alive():
            self.join()


class CpuPauses(_Watcher):
    """Limits a child process to `cpus` CPUs by pausing it. The process must be bound to `cores`: `cpus`, rounded up."""

    def __init__(self, pid: int, cpus: float, cores: int) -> None:
        super().__init__(pid)
        self._cpus = cpus
        self._cores = cores

    def run(self) -> None:
        """Pause the process whenever its CPU time is used up, until `stop` is called. Then leave it running."""
        quota = self._cpus * PERIOD
        try:
            balance, used, paused = quota, cpu_seconds(self.pid), False
            refill = time.monotonic() + PERIOD
            while not self.stopping.is_set():
                now = time.monotonic()
                if now >= refill:
                    balance = quota + min(balance, 0.0)  # overuse is owed, what was not used is lost
                    refill = max(refill + PERIOD, now)
                spent = cpu_seconds(self.pid)
                balance, used = balance - (spent - used), spent
                if (balance <= 0) != paused:
                    paused = balance <= 0
                    os.kill(self.pid, signal.SIGSTOP if paused else signal.SIGCONT)
                soonest = refill - now if paused else min(refill - now, balance / self._cores)
                self.stopping.wait(max(soonest, SHORTEST))
        except OSError:  # it has ended
            return
        finally:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGCONT)


class MemoryWatch(_Watcher):
    """Kills a process when it uses more than `limit` bytes of memory. It watches from `start` to `stop`."""

    def __init__(self, pid: int, limit: int) -> None:
        super().__init__(pid)
        self._limit = limit
        self.killed = False

    def run(self) -> None:
        """Check the memory of the process until it has ended or been killed, or `stop` is called."""
        page = os.sysconf("SC_PAGESIZE")
        statm = Path(f"/proc/{self.pid}/statm")
        with suppress(OSError, IndexError), statm.open("rb", buffering=0) as file:
            while not self.stopping.wait(MEMORY_EVERY):
                file.seek(0)
                if int(file.read().split()[1]) * page > self._limit:
                    os.kill(self.pid, signal.SIGKILL)
                    self.killed = True
                    return


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process in seconds, all threads together. Raises OSError when it has ended."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) computes it


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process in bytes (VmHWM), shared libraries included; 0 when it has ended."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def seconds_waited(pid: int) -> float:
    """Return how many seconds the threads of a process waited for a CPU, in total; 0 if unknown."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended meanwhile
            total += int(task.read_text().split()[1])
    return total / 1e9
