"""Hold a server process to a number of CPUs and a size of memory: by cgroup v2, else by pauses or affinity."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import psutil

from notebooks_lib.serving.profile import unprivileged_limits
from notebooks_lib.serving.profile.profile_plan import GIB

CpuBy = Literal["cgroup", "pauses", "affinity", "nothing"]
MemoryBy = Literal["cgroup", "watch", "nothing"]

MEANS = {
    "cgroup": "cgroup v2 (cpu.max, memory.max)",
    "pauses": "by pauses: its CPU time is read, and it is stopped (SIGSTOP) for the rest of each 100 ms once used up",
    "affinity": "by affinity: bound to as many cores",
    "watch": "watched: its memory is read every 5 ms, and it is killed when it holds more",
    "nothing": "not enforced",
}


def whole_cores(cpus: float) -> int:
    """Return the number of whole cores that `cpus` CPUs need."""
    return max(1, math.ceil(cpus))


def assign_cores(cpus: float) -> tuple[list[int], list[int]]:
    """Return the cores for the server, and those for its client: the remaining ones, or the same if none remain."""
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[: whole_cores(cpus)], allowed[whole_cores(cpus) :] or allowed


class LimitedProcess:
    """A child process under limits. Memory is limited at once, CPU when `limit_cpu` is called."""

    def __init__(self, pid: int, cpus: float, memory_gib: float, number: int) -> None:
        self._pid = pid
        self._cpus = cpus
        self._watchers: list[unprivileged_limits.CpuPauses | unprivileged_limits.MemoryWatch] = []
        self.cpu_by: CpuBy = "nothing"
        self.memory_by: MemoryBy = "nothing"
        size = int(memory_gib * GIB)
        self._group = make_group(number) if sys.platform == "linux" else None
        if self._group is not None and not self._group.add(pid):
            self._group.remove()
            self._group = None
        if self._group is not None and self._group.limit_memory(size):
            self.memory_by = "cgroup"
        elif sys.platform == "linux":
            self._watch(unprivileged_limits.MemoryWatch(pid, size))
            self.memory_by = "watch"
        server_cores, _ = assign_cores(cpus)
        if server_cores:
            os.sched_setaffinity(pid, server_cores)
        self._bound = bool(server_cores) and os.sched_getaffinity(pid) == set(server_cores)

    def __enter__(self) -> LimitedProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove the limits. The process must have ended, or its group stays."""
        self.let_go()
        if self._group is not None:
            self._group.remove()

    def _watch(self, watcher: unprivileged_limits.CpuPauses | unprivileged_limits.MemoryWatch) -> None:
        watcher.start()
        self._watchers.append(watcher)

    def let_go(self) -> None:
        """Stop sending signals to the process."""
        for watcher in self._watchers:
            watcher.stop()

    def limit_cpu(self) -> None:
        """Limit the CPU of the process from now on."""
        if self._group is not None and self._group.limit_cpu(self._cpus):
            self.cpu_by = "cgroup"
        elif self._bound and self._cpus == whole_cores(self._cpus):
            self.cpu_by = "affinity"
        elif self._bound:
            self._watch(unprivileged_limits.CpuPauses(self._pid, self._cpus, whole_cores(self._cpus)))
            self.cpu_by = "pauses"

    def alone(self) -> bool:
        """Return True if the limits also hold for processes that the model has started, or if it started none.

        Only a control group limits such processes. If the result is False, `memory_by`, and `cpu_by` unless it is
        "affinity", become "nothing".
        """
        if self._group is not None or not self._has_children():
            return True
        self.memory_by = "nothing"
        if self.cpu_by == "pauses":
            self.cpu_by = "nothing"
        return False

    def _has_children(self) -> bool:
        with suppress(psutil.Error):
            return bool(psutil.Process(self._pid).children())
        return False

    @property
    def killed(self) -> bool:
        """True if the process was killed because it exceeded its memory limit."""
        by_watch = any(
            isinstance(watcher, unprivileged_limits.MemoryWatch) and watcher.killed for watcher in self._watchers
        )
        return by_watch or (self._group is not None and self._group.killed)

    @property
    def seconds(self) -> float:
        """Return the CPU time that the process has used, in seconds. Raises OSError when it is unknown."""
        return self._group.seconds if self._group is not None else unprivileged_limits.cpu_seconds(self._pid)

    @property
    def waited(self) -> float:
        """Return how many seconds the threads of the process have waited for a CPU, in total."""
        return unprivileged_limits.seconds_waited(self._pid)

    @property
    def peak(self) -> int:
        """Return the peak memory of the process in bytes; 0 when it has ended or the system does not report it."""
        if self._group is not None and self._has_children():
            return self._group.peak
        return unprivileged_limits.peak_memory(self._pid)


PERIOD_US = 100_000
"""The kernel's default, also of containers."""
_NAME = "nbops-profile-"
_REMOVED_WITHIN = 5.0


class ControlGroup:
    """A Linux control group with limits. Call `remove` when its processes have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, pid: int) -> bool:
        """Add a process, with all processes that it starts later; return whether the kernel accepted it."""
        with suppress(OSError):
            (self._path / "cgroup.procs").write_text(str(pid))
            return True
        return False

    def limit_memory(self, size: int) -> bool:
        """Limit the group's memory to `size` bytes, without swap; return whether the kernel accepted it."""
        with suppress(OSError):
            (self._path / "memory.swap.max").write_text("0")
        page = os.sysconf("SC_PAGESIZE")
        return self._set("memory.max", str(size // page * page))

    def limit_cpu(self, cpus: float) -> bool:
        """Limit the group to `cpus` CPUs; return whether the kernel accepted it."""
        return self._set("cpu.max", f"{round(cpus * PERIOD_US)} {PERIOD_US}")

    @property
    def killed(self) -> bool:
        """True if the kernel has killed a process of the group because of the memory limit."""
        return self._number("memory.events", r"^oom_kill (\d+)$") > 0

    @property
    def peak(self) -> int:
        """Return the group's peak memory in bytes, page cache included; 0 if the kernel does not report it."""
        return self._number("memory.peak", r"^(\d+)$")

    @property
    def seconds(self) -> float:
        """Return the CPU time that the group has used, in seconds."""
        return self._number("cpu.stat", r"^usage_usec (\d+)$") / 1e6

    def remove(self) -> None:
        """Remove the group once its processes have ended."""
        deadline = time.monotonic() + _REMOVED_WITHIN
        while self._path.exists() and time.monotonic() < deadline:
            try:
                self._path.rmdir()
            except OSError:  # a process of the group is still ending
                time.sleep(0.02)

    def _set(self, name: str, value: str) -> bool:
        with suppress(OSError):
            (self._path / name).write_text(value)
            return (self._path / name).read_text().split() == value.split()
        return False

    def _number(self, name: str, pattern: str) -> int:
        with suppress(OSError, ValueError):
            match = re.search(pattern, (self._path / name).read_text(), re.MULTILINE)
            return int(match[1]) if match else 0
        return 0


def make_group(
    number: int, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> ControlGroup | None:
    """Make a control group beside that of this process; None where that is not allowed or has no effect.

    Groups that a killed profile left behind are removed first.
    """
    parent = _parent_group(root, own)
    if parent is None:
        return None
    for leftover in parent.glob(f"{_NAME}*"):
        if not psutil.pid_exists(int(leftover.name.removeprefix(_NAME).partition("-")[0])):
            with suppress(OSError):
                leftover.rmdir()
    path = parent / f"{_NAME}{os.getpid()}-{number}"
    try:
        path.mkdir()
    except OSError:
        return None
    return ControlGroup(path)


def _parent_group(root: Path, own: Path) -> Path | None:
    """Return the folder to make a group in: its groups have both controllers, and this user may write to it."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        here = root / line.removeprefix("0::").strip().lstrip("/")
        parent = here.parent if here != root else root
        controllers = (parent / "cgroup.subtree_control").read_text().split()
    except (OSError, StopIteration):
        return None
    writable = os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
    return parent if writable and {"cpu", "memory"} <= set(controllers) else None
