"""Reset what a forked kernel inherits from its template: session, streams, environment, signals, limits, threads.

Imports only what the template has imported already.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

protocol = sys.modules["_nbops_template_protocol"]
FOLDERS = {"multiprocessing.process": "ORIGINAL_DIR", "rich": "_IMPORT_CWD"}
"""Variables in which modules keep the folder in which they were imported."""
MARK = b"NBOPS_KERNEL="
PATIENCE = 30.0
"""Seconds that the client has to take its kernel."""
GRACE = 0.5
"""The same, when the template is gone."""
THREAD_VARIABLES = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
}
"""Read by native libraries when they are loaded; after that only threadpoolctl reaches them (docs/design trap 15)."""


def reset_signals_and_limits() -> None:
    """Restore the signal handlers of a fresh interpreter, and lift the limits on time and memory."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))


class ChildKernel:
    """The forked process before it becomes a kernel. It resets inherited state, then waits for its client."""

    def __init__(self, forked: Any, preload: Any, signals: dict[int, object]) -> None:
        self._connection: socket.socket = forked.connection
        self._template: int = forked.template
        self._kernel: Any = forked.kernel
        self._fds: list[int] = forked.fds
        self._signals = signals
        self._preload = preload

    def reset(self) -> None:
        """Reset session, streams, environment, working directory, signals, limits and random seeds."""
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
        _show_in_proc(self._kernel)
        os.environ.clear()
        os.environ.update(self._kernel.env)
        for key, value in self._preload.environment.items():
            if key in self._preload.at_start or key not in os.environ:  # a variable of the user's wins
                os.environ[key] = value
        os.umask(self._kernel.umask)
        os.chdir(self._kernel.cwd)
        _limit(self._kernel.limits)
        for number, handler in self._signals.items():
            if number in self._kernel.ignored:
                handler = signal.SIG_IGN
            if handler is not None and number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, handler)  # type: ignore[arg-type]
        self._reseed()
        for module, name in FOLDERS.items():
            if module in sys.modules:
                setattr(sys.modules[module], name, self._kernel.cwd)
        import logging
        import tempfile

        tempfile.tempdir = None
        logging._startTime = time.time()  # type: ignore[attr-defined]
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
        self._preload.pools.complete_after_fork(os.environ)
        gc.enable()

    def wait_for_client(self) -> None:
        """Wait until the client accepts this process as its kernel; end the process if that does not happen.

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
            protocol.receive_message(self._connection)
        except (OSError, EOFError):
            os._exit(1)
        self._connection.close()
        os.close(self._template)

    def _reseed(self) -> None:
        """Give this kernel random states of its own. Python's `random` does that itself at a fork."""
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()
        if "multiprocessing.process" in sys.modules:
            process: Any = sys.modules["multiprocessing.process"]
            process.current_process().authkey = os.urandom(32)


def _show_in_proc(kernel: Any) -> None:
    """Put the kernel's mark and command where /proc shows a process's first environment and arguments.

    A fork shares both with its parent. People find kernels by the command, and the runner finds orphans by the mark.
    """
    mark = kernel.env.get(MARK.decode().rstrip("="), "").encode()
    try:
        with open("/proc/self/environ", "rb") as file:
            place = file.read().find(MARK)
        with open("/proc/self/stat", "rb") as file:
            first, last, environment = map(int, file.read().rpartition(b")")[2].split()[45:48])
    except (OSError, ValueError, IndexError):
        return
    import ctypes

    command = b"\0".join(os.fsencode(word) for word in kernel.command) + b"\0"
    if 0 < first < last:
        command = command[: last - first - 1].ljust(last - first, b"\0")
        ctypes.memmove(first, command, len(command))
    if place >= 0 and len(mark) == 32:
        ctypes.memmove(environment + place + len(MARK), mark, len(mark))


def _limit(limits: list[tuple[int, list[int]]]) -> None:
    for number, (soft, hard) in limits:
        if resource.getrlimit(number) != (soft, hard):
            resource.setrlimit(number, (soft, hard))


class ThreadPools:
    """Sets the number of BLAS and OpenMP threads of a forked kernel to what its environment asks for.

    The number is set in the template, right before it forks. Set afterwards, OpenBLAS would start its threads at once,
    and they would spin for a while. A fork ends them, and a kernel starts them again when it needs more than one.
    """

    def __init__(self) -> None:
        self._threadpoolctl: Any = None
        """A copy of this process's own, which no kernel sees."""
        self._libraries: list[Any] = []
        self._own: dict[str, int] = {}
        """The number that each library chose when it was loaded."""

    def find_libraries(self) -> None:
        """Find the native libraries that are loaded now, and record the number of threads that each has chosen."""
        if self._threadpoolctl is None:
            self._threadpoolctl = _import_privately("threadpoolctl")
        self._libraries = self._threadpoolctl.ThreadpoolController().lib_controllers
        for library in self._libraries:
            self._own.setdefault(library.filepath, library.num_threads)

    def set_before_fork(self, environment: Mapping[str, str]) -> None:
        """Set the thread counts that the kernel's environment asks for; called in the template, right before a fork."""
        counts = _thread_counts(environment)
        for library in self._libraries:
            number = counts.get(library.user_api, self._own[library.filepath])
            if number != library.num_threads:
                library.set_num_threads(number)

    def complete_after_fork(self, environment: Mapping[str, str]) -> None:
        """Set the OpenMP thread counts, which a fork loses; called in the kernel."""
        openmp = _thread_counts(environment).get("openmp")
        libraries = [library for library in self._libraries if library.user_api == "openmp"]
        if libraries and openmp is not None:
            _limit_threads(libraries, openmp)
        number = environment.get("NUMEXPR_NUM_THREADS", "")
        if "numexpr" in sys.modules and number.isdigit():
            sys.modules["numexpr"].set_num_threads(max(1, int(number)))
        if "pyarrow" in sys.modules and openmp is not None:  # which reads the variable when it is loaded
            sys.modules["pyarrow"].set_cpu_count(openmp)


def _import_privately(name: str) -> Any:
    """Import a module without a trace: not in `sys.modules`, and no variable that it sets (KMP_DUPLICATE_LIB_OK).

    A kernel that imports it, by itself or for scikit-learn, gets another copy, and the variable with it.
    """
    imported, variables = name in sys.modules, set(os.environ)
    module = importlib.import_module(name)
    if not imported:
        del sys.modules[name]
    for variable in set(os.environ) - variables:
        del os.environ[variable]
    return module


def _thread_counts(environment: Mapping[str, str]) -> dict[str, int]:
    counts = {}
    for api, variables in THREAD_VARIABLES.items():
        for variable in variables:
            number = environment.get(variable, "").partition(",")[0]
            if number.isdigit():
                counts[api] = max(1, int(number))
                break
    return counts


def _limit_threads(libraries: list[Any], number: int) -> None:
    """Limit threads that cells start: OpenMP keeps the number per thread, and theirs would be from before the fork."""
    run: Callable[[threading.Thread], None] = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]

    def limited(thread: threading.Thread) -> None:
        for library in libraries:
            library.set_num_threads(number)
        run(thread)

    threading.Thread._bootstrap_inner = limited  # type: ignore[attr-defined]
