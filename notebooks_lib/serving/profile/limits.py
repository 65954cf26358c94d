"""Holds a server process to so much CPU and memory by the best means there are here, and says which. Starts nothing."""

from __future__ import annotations

import math
import os
import sys
from types import TracebackType
from typing import Literal

from notebooks_lib.serving.profile import cgroups, pausing
from notebooks_lib.serving.profile.grid import GIB

CpuBy = Literal["cgroup", "pauses", "affinity", "nothing"]
MemoryBy = Literal["cgroup", "watch", "nothing"]

MEANS = {
    "cgroup": "cgroup v2 (cpu.max, memory.max)",
    "pauses": "by pauses: its CPU time is read, and it is stopped (SIGSTOP) for the rest of each 100 ms once used up",
    "affinity": "by affinity: bound to as many cores",
    "watch": "watched: its memory is read every 5 ms, and it is killed when it holds more",
    "nothing": "not enforced",
}


def cores(cpus: float) -> int:
    """Cores of the smallest machine with so many CPUs."""
    return max(1, math.ceil(cpus))


def places(cpus: float) -> tuple[list[int], list[int]]:
    """The cores for the server, and those for who drives it: the others, or the same where there are no others."""
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[: cores(cpus)], allowed[cores(cpus) :] or allowed


class Held:
    """Process `pid`, our child, with its memory limited at once and its CPU from `limit_cpu` on."""

    def __init__(self, pid: int, cpus: float, memory_gib: float, number: int) -> None:
        self._pid = pid
        self._cpus = cpus
        self._pauses: pausing.Pauses | None = None
        self._watch: pausing.Watch | None = None
        self.cpu_by: CpuBy = "nothing"
        self.memory_by: MemoryBy = "nothing"
        size = int(memory_gib * GIB)
        self._group = cgroups.make(number) if sys.platform == "linux" else None
        if self._group is not None:
            try:
                self._group.add(pid)
            except OSError:
                self._group.remove()
                self._group = None
        if self._group is not None and self._group.limit_memory(size):
            self.memory_by = "cgroup"
        elif sys.platform == "linux":
            self._watch = pausing.Watch(pid, size)
            self.memory_by = "watch"
        mine, _ = places(cpus)
        if mine:
            os.sched_setaffinity(pid, mine)
            self._bound = os.sched_getaffinity(pid) == set(mine)
        else:
            self._bound = False

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take away what held it. The process must have ended, or its group stays."""
        self.let_go()
        if self._group is not None:
            self._group.remove()

    def let_go(self) -> None:
        """Send it no more signals."""
        if self._pauses is not None:
            self._pauses.stop()
        if self._watch is not None:
            self._watch.stop()

    def limit_cpu(self) -> None:
        """From now on it has no more than its CPUs."""
        whole = self._cpus == cores(self._cpus)
        if self._group is not None and self._group.limit_cpu(self._cpus):
            self.cpu_by = "cgroup"
        elif self._bound and whole:
            self.cpu_by = "affinity"
        elif self._bound:
            self._pauses = pausing.Pauses(self._pid, self._cpus, cores(self._cpus))
            self._pauses.start()
            self.cpu_by = "pauses"

    def alone(self) -> bool:
        """Whether the process runs alone. It takes back what was said of the means when it has started others, which
        only a group holds too."""
        if self._group is not None or pausing.alone(self._pid):
            return True
        self.memory_by = "nothing"
        if self.cpu_by == "pauses":
            self.cpu_by = "nothing"
        return False

    @property
    def killed(self) -> bool:
        """Whether it was killed because it wanted more memory."""
        return bool(
            (self._watch is not None and self._watch.killed) or (self._group is not None and self._group.killed)
        )

    @property
    def seconds(self) -> float:
        """CPU time that it has used. Raises OSError when that cannot be said."""
        return self._group.seconds if self._group is not None else pausing.cpu_seconds(self._pid)

    @property
    def waited(self) -> float:
        """Seconds for which its threads were ready to run and did not, all together."""
        return pausing.waited(self._pid)

    @property
    def peak(self) -> int:
        """Most bytes that it has had in memory so far; 0 when it is gone or the system does not say."""
        if self._group is not None and not pausing.alone(self._pid):
            return self._group.peak
        return pausing.peak(self._pid)
