"""How many processor cores this process may use: its affinity, and the CPU quota of its container."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cores(root: Path = CGROUP) -> float:
    """Return how many cores this process may use, also a fraction. `root` is where cgroups are mounted."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(float(affinity), cpu_quota(root))


def max_workers(root: Path = CGROUP) -> int:
    """Return how many processes or threads can be busy at once; at least 1."""
    return max(1, math.floor(available_cores(root)))


def cpu_quota(root: Path = CGROUP) -> float:
    """Return the container's CPU quota in cores, read from cgroup v2, else v1; infinity without a quota."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((root / name).read_text() for name in names).split()
            if int(words[0]) > 0:
                return int(words[0]) / int(words[1])
        except (OSError, ValueError, IndexError, ZeroDivisionError):
            continue
    return math.inf
