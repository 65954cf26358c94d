"""Tell a process from a later one with the same number, without the clock, which can be changed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_SAME_START = 2.0
"""Seconds, where only the start time is known; no number is reused that soon."""


def machine() -> str:
    """Return where this process's pid counts: the host's name, and in a job of Azure ML also the job.

    A job runs in a container, whose pids are its own although it may have the name of its host.
    """
    job = os.environ.get("AZUREML_RUN_ID", "")
    return f"{socket.gethostname()}/{job}" if job else socket.gethostname()


def birth(pid: int | None = None) -> str:
    """Return a text that identifies a process even if its pid is used again. Raises OSError if it has ended.

    On Linux it is the boot and the ticks since then, as in "1f0c…/48211"; elsewhere the start time.
    """
    pid = os.getpid() if pid is None else pid
    ticks = _ticks(pid)
    return f"{_boot()}/{ticks}" if ticks else f"{_created(pid):.2f}"


def alive(pid: int, born: str) -> bool:
    """Return True if process `pid` is running and was started at `born`, as `birth` says it.

    So a pid that the system gave to a new process does not count. An empty `born` is not compared.
    """
    try:
        if _is_dead(pid):
            return False
        if not born:
            return True
        # Versions before this format recorded the start time.
        return birth(pid) == born if "/" in born else abs(_created(pid) - float(born)) < _SAME_START
    except (OSError, ValueError):
        return False


def _ticks(pid: int) -> str:
    """Return field 22 of /proc/PID/stat, the start in clock ticks; empty where there is no such file system."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _is_dead(pid: int) -> bool:
    """Return whether it has ended and waits to be reaped. Raises OSError when it is gone altogether."""
    fields = _stat(pid)
    if fields:
        return fields[0] in ("Z", "X")
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error as error:
        raise OSError(str(error)) from error


def _stat(pid: int) -> list[str]:
    """Return the fields from the state on: the name before it may hold blanks and brackets."""
    if not Path("/proc/self/stat").exists():
        return []
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _created(pid: int) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error as error:
        raise OSError(str(error)) from error
