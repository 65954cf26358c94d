"""Supervise the kernels that a template has forked: report exit codes to clients, and end kernels without a client.

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

protocol = sys.modules["_nbops_template_protocol"]


class ClientRequest:
    """A client's request, for a kernel or for the status, with the client's connection and streams."""

    def __init__(self, connection: socket.socket, message: dict[str, Any], fds: list[int]) -> None:
        self.connection, self.fds = connection, fds
        self.op: str = message.get("op", "status")
        self.memory: str = message.get("memory", "")
        self.kernel: Any = protocol.decode(protocol.ForkRequest, message) if self.op == "fork" else None
        self.since = time.monotonic()

    def answer(self, message: dict[str, Any]) -> None:
        """Send the answer, if the client still listens, and close everything."""
        try:
            protocol.send_message(self.connection, message)
        except OSError:
            pass
        self.forget()

    def forget(self) -> None:
        """Close the connection and the streams without an answer."""
        self.connection.close()
        _close(self.fds)


class Forked(BaseException):
    """Raised in the child process, so that its stack keeps no frame of the template."""

    def __init__(self, template: int, request: ClientRequest, report: int, client_pidfd: int | None) -> None:
        self.template = template
        self.connection, self.kernel, self.fds = request.connection, request.kernel, request.fds
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
    unread: bytes = b""


class KernelSupervisor:
    """Supervises the running kernels, by process id.

    When a kernel reports the modules that it has imported, `on_report` is called with them and the path of its
    project's import history.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        on_report: Callable[[str, list[str]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.running: dict[int, _Kernel] = {}
        self._selector = selector
        self._on_report = on_report
        self._on_end = on_end

    def fork(self, request: ClientRequest, forget: Callable[[], None]) -> str | None:
        """Fork a kernel for a client. Return None, or the reason why no process could be forked.

        Raises Forked in the child, after `forget` has closed the template's descriptors.
        """
        client_pidfd = None if request.kernel.independent else _pidfd(protocol.peer_identity(request.connection)[0])
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
            except BaseException:  # noqa: BLE001  # a child must never go on as a second template
                traceback.print_exc()
                os._exit(1)
            raise Forked(template, request, written, client_pidfd)
        _close([written, template, *request.fds])
        self._add(pid, report, request.connection, client_pidfd, request.memory)
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
            protocol.send_message(client, {"pid": pid}, [kernel.pidfd])
        except OSError:
            self._abandoned(kernel)

    def forget(self) -> None:
        """Close the template's descriptors; called in a child."""
        for kernel in self.running.values():
            kernel.client.close()
            for fd in (kernel.pidfd, kernel.report, kernel.client_pidfd):
                if fd is not None and fd >= 0:
                    os.close(fd)
        self.running.clear()

    def _hear(self, kernel: _Kernel) -> bool:
        """Read which modules a kernel reports, one line of JSON each time. Return False at the end."""
        try:
            data = os.read(kernel.report, 2**16)
        except BlockingIOError:
            return False
        *lines, kernel.unread = (kernel.unread + data).split(b"\n")
        for line in lines:
            try:
                self._on_report(kernel.memory, [str(name) for name in json.loads(line)])
            except (ValueError, TypeError):
                pass  # a cell wrote into the pipe
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
            protocol.send_message(kernel.client, {"exit": code})
        except OSError:
            pass  # the client is gone
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
        self._on_end()

    def _abandoned(self, kernel: _Kernel) -> None:
        """End a kernel whose client is gone, with all that it started."""
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
    """Return the children of a process, and theirs."""
    children = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return [*children, *(pid for child in children for pid in _descendants(child))]


def _pidfd(pid: int) -> int | None:
    """Return a pidfd of a process, or None when it is gone."""
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
