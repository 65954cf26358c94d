"""What a forked process does to become an ordinary ipykernel. Imports only what the template has imported already."""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

THREADS = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
}
"""Read by native libraries when they are loaded; after a fork only threadpoolctl reaches them (docs/design trap 15)."""
MARK = b"NBOPS_KERNEL="


def hidden(request: dict[str, Any], base: set[str]) -> str | None:
    """A file of the kernel's folder or PYTHONPATH that an import would find before an imported module, if there is one.

    An ordinary kernel would import that file; a forked one has the installed module already.
    """
    imported = {name.partition(".")[0] for name in sys.modules} - base
    before: list[str] = [request["cwd"], *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
    for folder in before:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            stem = name.split(".")[0]
            package = os.path.join(folder, name, "__init__.py")
            if stem in imported and (name.endswith((".py", ".so")) or os.path.isfile(package)):
                return os.path.join(folder, name)
    return None


def become(forked, signals: Mapping[int, object], environment: Mapping[str, str | None]) -> None:  # type: ignore[no-untyped-def]
    """Take off all that was the template's: session, streams, environment, folder, signals, limits, random state."""
    request = forked.request
    os.setsid()
    for target, fd in enumerate(forked.fds[:3]):
        os.dup2(fd, target, inheritable=True)
    for fd in forked.fds:
        os.close(fd)
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, f"__{name}__")
        stream = open(fd, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    _mark(request["env"])
    os.environ.clear()
    os.environ.update(request["env"])
    for key, value in environment.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    _limits(request)
    for number, handler in signals.items():
        if handler is not None and number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, handler)  # type: ignore[arg-type]
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"].ORIGINAL_DIR = request["cwd"]  # type: ignore[attr-defined]
    import logging

    logging._startTime = time.time()  # type: ignore[attr-defined]
    _threads()
    gc.enable()


def load(plugins: list[Any]) -> None:
    """Load what the template has put off; a plugin that does not load is its user's affair, in any kernel."""
    for plugin in plugins:
        try:
            plugin.resolve()
        except Exception as error:  # noqa: BLE001
            sys.stderr.write(f"a plugin could not be loaded: {error!r}\n")


def run(forked, base: set[str], learned: Callable[[], list[str]]) -> int:  # type: ignore[no-untyped-def]
    """Be the kernel until it ends. It does not return when all went well: see `_leave`."""
    client = forked.client_pidfd
    argv, report = list(forked.request["argv"]), forked.report
    os.set_inheritable(report, False)
    for name in [name for name in sys.modules if name.startswith("_nbops_")]:
        del sys.modules[name]
    sys.modules["__main__"].__dict__.pop("__file__", None)
    atexit.register(_tell, report, learned)  # registered first, so it is the last to run
    from ipykernel import kernelapp

    sys.argv = [os.path.join(os.path.dirname(os.path.dirname(kernelapp.__file__)), "ipykernel_launcher.py"), *argv]
    app_class = kernelapp.IPKernelApp
    if client is not None:
        app_class.class_traits()["parent_handle"].default_value = int(os.environ.get("JPY_PARENT_PID") or 0)
        app_class.init_poller = _watching(client)  # type: ignore[method-assign]
    ipkernel: Any = sys.modules["ipykernel.ipkernel"]
    # It takes every module that is there for the kernel's own, which the debugger then steps over; and looking at each
    # would copy the memory of all of them.
    ipkernel.sys = _OwnModules(base)
    finish: Any = app_class.init_extensions

    def finished(app: object) -> None:
        ipkernel.sys = sys
        for name, work in FINISH.items():
            if name in sys.modules:
                work(sys.modules[name])
        finish(app)

    app_class.init_extensions = finished
    code: object = 0
    try:
        kernelapp.launch_new_instance()
    except SystemExit as end:
        code = end.code
    _leave(code)
    return 0


class _OwnModules:
    """The module `sys`, but with the modules that an ordinary kernel has imported when it starts."""

    def __init__(self, names: set[str]) -> None:
        self.modules = {name: sys.modules[name] for name in names if name in sys.modules}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def _watching(client: int) -> Any:
    def init_poller(app: Any) -> None:
        app.poller = _ClientWatch(client)

    return init_poller


def _widgets(module: object) -> None:
    module._handle_ipython()  # type: ignore[attr-defined]


FINISH = {"ipywidgets": _widgets}
"""What modules that were imported before there was a shell have to do once there is one."""


class _ClientWatch(threading.Thread):
    """Ends the kernel when the process that wanted it is gone, as ipykernel does; its parent is the template."""

    PATIENCE = 2.0
    """Seconds for the template to end the kernel with all that it started; this is for when the template is gone too."""

    def __init__(self, pidfd: int) -> None:
        super().__init__(daemon=True)
        self._pidfd = pidfd

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.poll()
        time.sleep(self.PATIENCE)
        os._exit(1)


def _leave(code: object) -> None:
    """End as an interpreter ends, but without taking apart the thousands of modules shared with the template.

    Non-daemon threads are waited for, exit functions run, what cells and the user's own modules hold is let go (so that
    `__del__` runs), and files left open are written out. Pulling down the rest would copy all shared memory first.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        _let_go()
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except Exception:  # noqa: BLE001, S110  # a broken __del__ or stream must not keep the process alive
        pass
    if code is None or isinstance(code, int):
        os._exit((code or 0) & 0xFF)
    os.write(2, f"{code}\n".encode(errors="replace"))
    os._exit(1)


def _let_go() -> None:
    main = sys.modules.get("__main__")
    shell = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
    if shell is not None and shell.initialized():
        shell.instance().user_ns.clear()
    if main is not None:
        main.__dict__.clear()
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    gc.collect()
    written = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    for found in gc.get_objects():
        if type(found) in written and not found.closed:
            try:
                found.flush()
            except (OSError, ValueError):
                pass


def _tell(report: int, learned: Callable[[], list[str]]) -> None:
    try:
        os.write(report, json.dumps(learned()).encode())
        os.close(report)
    except OSError:
        pass  # the template is gone


def _mark(environment: Mapping[str, str]) -> None:
    """Write the kernel's mark where /proc shows a process's first environment, which a fork shares with its parent."""
    wanted = environment.get(MARK.decode().rstrip("="), "").encode()
    try:
        with open("/proc/self/environ", "rb") as file:
            place = file.read().find(MARK)
        with open("/proc/self/stat", "rb") as file:
            start = int(file.read().rpartition(b")")[2].split()[47])
    except (OSError, ValueError, IndexError):
        return
    if place >= 0 and len(wanted) == 32:
        import ctypes

        ctypes.memmove(start + place + len(MARK), wanted, len(wanted))


def _limits(request: dict[str, Any]) -> None:
    import resource

    for number, (soft, hard) in request["limits"]:
        if resource.getrlimit(number) != (soft, hard):
            resource.setrlimit(number, (soft, hard))
    if set(request["cores"]) != os.sched_getaffinity(0):
        os.sched_setaffinity(0, request["cores"])
    if request["nice"] != os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, request["nice"])


def _threads() -> None:
    wanted = {}
    for api, variables in THREADS.items():
        for variable in variables:
            if os.environ.get(variable, "").isdigit():
                wanted[api] = max(1, int(os.environ[variable]))
                break
    if wanted:
        import threadpoolctl

        threadpoolctl.threadpool_limits(wanted)
