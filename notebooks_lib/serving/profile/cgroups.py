"""Limits by cgroup v2, where this process may make a group that holds both CPU and memory. It starts nothing."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

PERIOD_US = 100_000
"""The kernel's default, and what containers get."""
_NAME = "nbops-profile-"
_GONE_WITHIN = 5.0


class Group:
    """A group of processes with limits; `remove` it when they have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, pid: int) -> None:
        """Put a process in, with all that it starts from then on. Raises OSError."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def limit_memory(self, size: int) -> bool:
        """Whether the kernel took the limit in bytes. Swap is not given beside it."""
        with suppress(OSError):
            (self._path / "memory.swap.max").write_text("0")
        page = os.sysconf("SC_PAGESIZE")
        return self._set("memory.max", str(size // page * page))

    def limit_cpu(self, cpus: float) -> bool:
        """Whether the kernel took the limit."""
        return self._set("cpu.max", f"{round(cpus * PERIOD_US)} {PERIOD_US}")

    @property
    def killed(self) -> bool:
        """Whether the kernel has killed a process of the group for memory."""
        return self._count("memory.events", "oom_kill") > 0

    @property
    def peak(self) -> int:
        """Most bytes that the group has held, files in the page cache included; 0 where the kernel does not say."""
        try:
            return int((self._path / "memory.peak").read_text())
        except (OSError, ValueError):
            return 0

    @property
    def seconds(self) -> float:
        """CPU time that the group has used."""
        return self._count("cpu.stat", "usage_usec") / 1e6

    def remove(self) -> None:
        """Take the group away, once its processes are gone."""
        deadline = time.monotonic() + _GONE_WITHIN
        while time.monotonic() < deadline:
            try:
                self._path.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # a process in it is still ending
                time.sleep(0.02)
            else:
                return

    def _set(self, name: str, value: str) -> bool:
        try:
            (self._path / name).write_text(value)
            return (self._path / name).read_text().split() == value.split()
        except OSError:
            return False

    def _count(self, name: str, key: str) -> int:
        with suppress(OSError, ValueError):
            match = re.search(rf"^{key} (\d+)$", (self._path / name).read_text(), re.MULTILINE)
            return int(match[1]) if match else 0
        return 0


def make(number: int, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Group | None:
    """A new group beside the one of this process; None where that is not allowed, or would not limit.

    Groups that a profile left behind when it was killed are taken away first.
    """
    parent = _parent(root, own)
    if parent is None:
        return None
    for left in parent.glob(f"{_NAME}*"):
        if not Path(f"/proc/{left.name.removeprefix(_NAME).partition('-')[0]}").exists():
            with suppress(OSError):
                left.rmdir()
    path = parent / f"{_NAME}{os.getpid()}-{number}"
    try:
        path.mkdir()
    except OSError:
        return None
    return Group(path)


def _parent(root: Path, own: Path) -> Path | None:
    """The folder to make a group in: one whose groups are given both controllers, and that we may write to."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        here = root / line.removeprefix("0::").strip().lstrip("/")
        parent = here.parent if here != root else root
        given = (parent / "cgroup.subtree_control").read_text().split()
    except (OSError, StopIteration):
        return None
    allowed = os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
    return parent if allowed and {"cpu", "memory"} <= set(given) else None
