"""A process just forked: takes off what it inherited from the template, and waits for its client.

Imports only what the template has imported already.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

protocol = sys.modules["_nbops_protocol"]
FOLDERS = {"multiprocessing.process": "ORIGINAL_DIR", "rich": "_IMPORT_CWD"}
"""Variables in which modules keep the folder in which they were imported."""
MARK = b"NBOPS_KERNEL="
PATIENCE = 30.0
"""Seconds that the client has to take its kernel."""
GRACE = 0.5
"""The same, when the template is gone."""


def find_shadowing(request: dict[str, Any], imported: frozenset[str], settings: set[str]) -> str | None:
    """Return a file of the kernel's that hides an installed module or holds settings for its import, or None.

    An ordinary kernel imports a file in its folder or on PYTHONPATH before an installed module of that name, and some
    packages read their `settings` there. A forked kernel has the installed module already.
    """
    entries = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    for folder in [request["cwd"], *(os.path.join(request["cwd"], entry) for entry in entries if entry)]:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            stem = name.split(".")[0]
            package = os.path.join(folder, name, "__init__.py")
            if stem in imported and (name.endswith((".py", ".so")) or os.path.isfile(package)):
                return f"{os.path.join(folder, name)} stands before an installed package of that name"
            if folder == request["cwd"] and name in settings:
                return f"{os.path.join(folder, name)} has settings that are read at import"
    return None


def reset_signals_and_limits() -> None:
    """Handle all signals as a fresh interpreter does, and lift the limits on time and memory."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))


class ChildKernel:
    """The forked process, with what it takes over from the template."""

    def __init__(self, forked: Any, preload: Any, signals: dict[int, object]) -> None:
        self._connection: socket.socket = forked.connection
        self._template: int = forked.template
        self._request: dict[str, Any] = forked.message
        self._fds: list[int] = forked.fds
        self._signals = signals
        self._preload = preload

    def become(self) -> None:
        """Reset inherited state: session, streams, environment, working directory, signals, limits, random seeds."""
        os.setsid()
        for target, fd in enumerate(self._fds[:3]):
            os.dup2(fd, target, inheritable=True)
        for fd in self._fds:
            os.close(fd)
        for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
            old = getattr(sys, f"__{name}__")
            stream = open(fd, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        _show_in_proc(self._request)
        os.environ.clear()
        os.environ.update(self._request["env"])
        for key, value in self._preload.environment.items():
            if key in self._preload.at_start or key not in os.environ:  # a variable of the user's wins
                os.environ[key] = value
        os.umask(self._request["umask"])
        os.chdir(self._request["cwd"])
        _limit(self._request["limits"])
        for number, handler in self._signals.items():
            if number in self._request["ignored"]:
                handler = signal.SIG_IGN
            if handler is not None and number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, handler)  # type: ignore[arg-type]
        self._reseed()
        for module, name in FOLDERS.items():
            if module in sys.modules:
                setattr(sys.modules[module], name, self._request["cwd"])
        import logging
        import tempfile

        tempfile.tempdir = None
        logging._startTime = time.time()  # type: ignore[attr-defined]
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
        self._preload.pools.finish(os.environ)
        gc.enable()

    def wait_for_client(self) -> None:
        """Return once the client has taken this process as its kernel; else end the process.

        The template may have died before it could tell the client, or the client may have given up. Another kernel may
        then use the same connection file.
        """
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(self._template, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(PATIENCE * 1000)]
        if self._connection.fileno() not in ready:  # an answer may be on its way all the same
            poll.unregister(self._template)
            ready = [fd for fd, _ in poll.poll(GRACE * 1000)]
        try:
            if not ready:
                os._exit(1)
            protocol.receive(self._connection)
        except (OSError, EOFError):
            os._exit(1)
        self._connection.close()
        os.close(self._template)

    def _reseed(self) -> None:
        """Give this kernel random states of its own; `random` does so itself at a fork."""
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()
        if "multiprocessing.process" in sys.modules:
            process: Any = sys.modules["multiprocessing.process"]
            process.current_process().authkey = os.urandom(32)


def _show_in_proc(request: dict[str, Any]) -> None:
    """Put the kernel's mark and command where /proc shows a process's first environment and arguments.

    A fork shares both with its parent. People find kernels by the command, and the runner finds orphans by the mark.
    """
    wanted = request["env"].get(MARK.decode().rstrip("="), "").encode()
    try:
        with open("/proc/self/environ", "rb") as file:
            place = file.read().find(MARK)
        with open("/proc/self/stat", "rb") as file:
            first, last, environment = map(int, file.read().rpartition(b")")[2].split()[45:48])
    except (OSError, ValueError, IndexError):
        return
    import ctypes

    command = b"\0".join(os.fsencode(word) for word in request["command"]) + b"\0"
    if 0 < first < last:
        command = command[: last - first - 1].ljust(last - first, b"\0")
        ctypes.memmove(first, command, len(command))
    if place >= 0 and len(wanted) == 32:
        ctypes.memmove(environment + place + len(MARK), wanted, len(wanted))


def _limit(limits: list[tuple[int, list[int]]]) -> None:
    for number, wanted in limits:
        soft, hard = wanted
        if resource.getrlimit(number) != (soft, hard):
            resource.setrlimit(number, (soft, hard))
