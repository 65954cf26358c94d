"""The kernels that a template has forked: it waits for their ends, tells their clients, and ends those left alone.

Standard library only.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

wire = sys.modules["_nbops_wire"]


@dataclass
class _Kernel:
    pid: int
    pidfd: int
    report: int
    client: socket.socket
    client_pidfd: int | None
    memory: str
    told: bytes = b""


class Kernels:
    """Kernels that run, by process id. `learned` is told what an ended one had to import itself, project first."""

    def __init__(self, selector: selectors.BaseSelector, learned: Callable[[str, list[str]], None]) -> None:
        self.running: dict[int, _Kernel] = {}
        self._selector = selector
        self._learned = learned

    def add(self, pid: int, report: int, client: socket.socket, client_pidfd: int | None, memory: str) -> None:
        """Take a new one into care, and hand it to its client."""
        os.set_blocking(report, False)
        kernel = _Kernel(pid, os.pidfd_open(pid), report, client, client_pidfd, memory)
        self.running[pid] = kernel
        self._selector.register(kernel.pidfd, selectors.EVENT_READ, lambda _: self._ended(kernel))
        self._selector.register(report, selectors.EVENT_READ, lambda _: self._hear(kernel))
        if client_pidfd is not None:
            self._selector.register(client_pidfd, selectors.EVENT_READ, lambda _: self._abandoned(kernel))
        try:
            wire.send(client, {"pid": pid}, [kernel.pidfd])
        except OSError:
            self._abandoned(kernel)

    def forget(self) -> None:
        """In a child: close what is the template's."""
        for kernel in self.running.values():
            kernel.client.close()
            for fd in (kernel.pidfd, kernel.report, kernel.client_pidfd):
                if fd is not None and fd >= 0:
                    os.close(fd)
        self.running.clear()

    def _hear(self, kernel: _Kernel) -> bool:
        """Take in what a kernel tells at its end. False when there is no more."""
        try:
            data = os.read(kernel.report, 2**16)
        except BlockingIOError:
            return False
        kernel.told += data
        if not data:
            self._selector.unregister(kernel.report)
            os.close(kernel.report)
            kernel.report = -1
        return bool(data)

    def _ended(self, kernel: _Kernel) -> None:
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(kernel.pid, os.WNOHANG)[1])
        except ChildProcessError:
            code = 255
        try:
            wire.send(kernel.client, {"exit": code})
        except OSError:
            pass  # it does not want to know
        kernel.client.close()
        while kernel.report >= 0 and self._hear(kernel):
            pass
        if kernel.report >= 0:  # a process that the kernel left behind holds it open
            self._selector.unregister(kernel.report)
            os.close(kernel.report)
        self._selector.unregister(kernel.pidfd)
        os.close(kernel.pidfd)
        self._leave(kernel)
        del self.running[kernel.pid]
        try:
            names = [str(name) for name in json.loads(kernel.told)]
        except ValueError:
            names = []  # it was killed before it could say
        self._learned(kernel.memory, names)

    def _abandoned(self, kernel: _Kernel) -> None:
        """Whoever wanted the kernel is gone: so is the kernel, with all that it started."""
        for pid in descendants(kernel.pid):
            _kill(os.kill, pid)
        _kill(os.killpg, kernel.pid)
        _kill(os.kill, kernel.pid)
        self._leave(kernel)

    def _leave(self, kernel: _Kernel) -> None:
        if kernel.client_pidfd is not None:
            self._selector.unregister(kernel.client_pidfd)
            os.close(kernel.client_pidfd)
            kernel.client_pidfd = None


def descendants(pid: int) -> list[int]:
    """What a process has started, and what that has."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return [*found, *(further for child_pid in found for further in descendants(child_pid))]


def pidfd(pid: int) -> int | None:
    """A handle on a process; None when it is gone."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _kill(send: Callable[[int, int], None], pid: int) -> None:
    try:
        send(pid, signal.SIGKILL)
    except OSError:
        pass
