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
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

protocol = sys.modules["_nbops_protocol"]


class ClientRequest:
    """A wish for a kernel, or a question, as it came in: with its connection and the kernel's streams."""

    def __init__(self, connection: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
        self.connection, self.request, self.fds = connection, request, fds
        self.since = time.monotonic()

    def answer(self, message: dict[str, Any]) -> None:
        """Send the last word, if anybody still listens."""
        try:
            protocol.send(self.connection, message)
        except OSError:
            pass
        self.forget()

    def forget(self) -> None:
        """Close all that came with it."""
        self.connection.close()
        _close(self.fds)


class Forked(BaseException):
    """Raised in the child, so that nothing of the template is left on its stack."""

    def __init__(self, template: int, asked: ClientRequest, report: int, client_pidfd: int | None) -> None:
        self.template = template
        self.connection, self.request, self.fds = asked.connection, asked.request, asked.fds
        self.report = report
        self.client_pidfd = client_pidfd


@dataclass
class _Kernel:
    pid: int
    pidfd: int
    report: int
    client: socket.socket
    client_pidfd: int | None
    memory: str
    told: bytes = b""


class ForkedKernels:
    """Kernels that run, by process id. `learned` is told what one had to import itself, project first."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        learned: Callable[[str, list[str]], None],
        ended: Callable[[], None],
    ) -> None:
        self.running: dict[int, _Kernel] = {}
        self._selector = selector
        self._learned = learned
        self._told_end = ended

    def fork(self, asked: ClientRequest, forget: Callable[[], None]) -> str | None:
        """Fork the kernel that is asked for, and hand it to its client; why not, if it cannot be.

        Raises Forked in the child, after `forget` has closed what is the template's.
        """
        client_pidfd = None if asked.request["independent"] else _pidfd(protocol.peer(asked.connection)[0])
        template = os.pidfd_open(os.getpid())
        report, written = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            _close([report, written, template, *([client_pidfd] if client_pidfd is not None else [])])
            return f"no process can be forked: {error.strerror}"
        if pid == 0:
            try:
                os.close(report)
                forget()
            except BaseException:  # noqa: BLE001  # whatever it is: a child must never go on as a second template
                traceback.print_exc()
                os._exit(1)
            raise Forked(template, asked, written, client_pidfd)
        _close([written, template, *asked.fds])
        self._add(pid, report, asked.connection, client_pidfd, asked.request["memory"])
        return None

    def _add(self, pid: int, report: int, client: socket.socket, client_pidfd: int | None, memory: str) -> None:
        os.set_blocking(report, False)
        kernel = _Kernel(pid, os.pidfd_open(pid), report, client, client_pidfd, memory)
        self.running[pid] = kernel
        self._selector.register(kernel.pidfd, selectors.EVENT_READ, lambda _: self._ended(kernel))
        self._selector.register(report, selectors.EVENT_READ, lambda _: self._hear(kernel))
        if client_pidfd is not None:
            self._selector.register(client_pidfd, selectors.EVENT_READ, lambda _: self._abandoned(kernel))
        try:
            protocol.send(client, {"pid": pid}, [kernel.pidfd])
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
        """Take in what a kernel says that it has imported, a line of JSON at a time. False when there is no more."""
        try:
            data = os.read(kernel.report, 2**16)
        except BlockingIOError:
            return False
        *lines, kernel.told = (kernel.told + data).split(b"\n")
        for line in lines:
            try:
                self._learned(kernel.memory, [str(name) for name in json.loads(line)])
            except (ValueError, TypeError):
                pass  # cells can write there, too
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
            protocol.send(kernel.client, {"exit": code})
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
        self._told_end()

    def _abandoned(self, kernel: _Kernel) -> None:
        """Whoever wanted the kernel is gone: so is the kernel, with all that it started."""
        for pid in _descendants(kernel.pid):
            _kill(os.kill, pid)
        _kill(os.killpg, kernel.pid)
        _kill(os.kill, kernel.pid)
        self._leave(kernel)

    def _leave(self, kernel: _Kernel) -> None:
        if kernel.client_pidfd is not None:
            self._selector.unregister(kernel.client_pidfd)
            os.close(kernel.client_pidfd)
            kernel.client_pidfd = None


def _descendants(pid: int) -> list[int]:
    """What a process has started, and what that has."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return [*found, *(further for child_pid in found for further in _descendants(child_pid))]


def _pidfd(pid: int) -> int | None:
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


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
