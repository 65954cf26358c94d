"""A kernel forked by a template, watched over as `subprocess.Popen` would."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from typing import IO

from notebooks_lib.kernels import template_protocol

UNKNOWN_EXIT = 255
"""Exit code of a kernel whose template had been killed before: only the template can learn the real one."""


REPORT_TIMEOUT = 2.0
"""Seconds after a kernel's end that the template has to report its exit code."""


class ForkedProcess:
    """A forked kernel with the methods of `subprocess.Popen`. It is a child of the template, not of this process.

    It is identified by its pidfd, because its process id may be used again.
    """

    def __init__(self, pid: int, pidfd: int, connection: socket.socket, pipes: dict[str, IO[bytes]]) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = pipes.get("stdin"), pipes.get("stdout"), pipes.get("stderr")
        self._connection = connection
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, as Popen does; None while the process runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"kernel {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone; do nothing when it has ended."""
        if self.returncode is None:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                pass

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                with self._lock:  # the template reports the code once, and several threads may wait for it
                    if self.returncode is None:
                        self.returncode = self._code()
                        self._connection.close()
        return self.returncode

    def _code(self) -> int:
        try:
            self._connection.settimeout(REPORT_TIMEOUT)
            return int(template_protocol.receive_message(self._connection)[0]["exit"])
        except (OSError, EOFError, ValueError, KeyError):
            return UNKNOWN_EXIT

    def __del__(self) -> None:
        os.close(self.pidfd)  # not before: another thread may be about to wait on it
