"""Run ipykernel in a forked process, from its start to the exit of the process.

Hooks into ipykernel hide what the template has imported from the debugger, report what cells use, and end the kernel
when its client is gone. The end is that of an interpreter, except that nothing shared with the template is taken apart.
Standard library only; ipykernel is imported already.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from typing import Any

import_history = sys.modules["_nbops_import_history"]


def run_kernel(request: Any, preload: Any, report_fd: int, client_pidfd: int | None) -> None:
    """Run ipykernel in this forked process until the kernel ends, then end the process; see `exit_process`."""
    for name in [name for name in sys.modules if name.startswith("_nbops_")]:
        del sys.modules[name]
    for plugin in preload.deferred:
        try:
            plugin.resolve()
        except Exception as error:  # noqa: BLE001  # a broken plugin is the user's own, in any kernel
            sys.stderr.write(f"a plugin could not be loaded: {error!r}\n")
    sys.modules["__main__"].__dict__.pop("__file__", None)
    report = import_history.ImportReport(report_fd, preload.known, preload.learnable)
    atexit.register(lambda: report.send(all_of_it=True))  # registered first, so it is the last to run
    from ipykernel import kernelapp

    sys.orig_argv = request.command
    launcher = os.path.join(os.path.dirname(os.path.dirname(kernelapp.__file__)), "ipykernel_launcher.py")
    sys.argv = [launcher, *request.argv]
    parent = 0
    if client_pidfd is not None:
        parent = int(os.environ.get("JPY_PARENT_PID") or 0)
        app_class: Any = kernelapp.IPKernelApp
        app_class.init_poller = lambda app: setattr(app, "poller", _ClientWatcher(client_pidfd))
    _hook_into_start(kernelapp.IPKernelApp, preload, report)
    code: object = 0
    try:
        kernelapp.launch_new_instance(parent_handle=parent)
    except SystemExit as end:
        code = end.code
    exit_process(code, {name for name in list(sys.modules) if name in preload.known or preload.installed(name)})


def _hook_into_start(app_class: Any, preload: Any, report: Any) -> None:
    """Complete the shell, the streams and the debugger once ipykernel has made them."""
    ipkernel: Any = sys.modules["ipykernel.ipkernel"]
    # ipykernel takes all loaded modules for the kernel's own, which the debugger then steps over; to look at each of
    # them would copy the memory of all.
    ipkernel.sys = VisibleModules(lambda: preload.base)
    init_extensions = app_class.init_extensions

    def started(app: Any) -> None:
        ipkernel.sys = sys
        prepare_debugger(app.kernel, preload.base, preload.known, report.used)
        for stream in preload.streams:
            stream.bind(getattr(sys, stream.name))
        for name, complete in COMPLETE.items():
            if name in sys.modules:
                complete(sys.modules[name])
        post_handler_hook = app.kernel.post_handler_hook

        def handled() -> None:
            post_handler_hook()
            report.send()

        app.kernel.post_handler_hook = handled
        init_extensions(app)

    app_class.init_extensions = started


def _widgets(module: Any) -> None:
    module._handle_ipython()


COMPLETE: dict[str, Callable[[Any], None]] = {"ipywidgets": _widgets}
"""What modules that were imported before there was a shell have to do once there is one."""


class _ClientWatcher(threading.Thread):
    """End the kernel when its client is gone, as ipykernel's own poller does, whose parent would be the template."""

    PATIENCE = 2.0
    """Seconds for the template to end the kernel with all that it started; this thread is for when it is gone, too."""

    def __init__(self, pidfd: int) -> None:
        super().__init__(daemon=True)
        self._pidfd = pidfd

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.poll()
        time.sleep(self.PATIENCE)
        os._exit(1)


class VisibleModules:
    """A stand-in for `sys` whose `modules` shows only some modules, for the debugger."""

    def __init__(self, names: Callable[[], Collection[str]]) -> None:
        self._names = names

    @property
    def modules(self) -> dict[str, Any]:
        """The modules that the debugger may see, in the order of their import."""
        names = self._names()
        return {name: module for name, module in sys.modules.items() if name in names}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def prepare_debugger(kernel: Any, base: Collection[str], known: Collection[str], used: Callable[[], set[str]]) -> None:
    """Show the debugger only modules that the kernel has imported or used, and no frame of the template."""
    debugger = getattr(kernel, "debugger", None)
    if debugger is None:
        return

    def visible() -> set[str]:
        tops = {name.partition(".")[0] for name in used()}
        names = list(sys.modules)
        return {name for name in names if name in base or name not in known or name.partition(".")[0] in tops}

    sys.modules["ipykernel.debugger"].sys = VisibleModules(visible)  # type: ignore[attr-defined]
    folder = os.path.dirname(os.path.abspath(__file__))
    if hasattr(debugger, "kernel_modules"):
        debugger.kernel_modules += [os.path.join(folder, name) for name in ("kernel_app.py", "template_process.py")]


def exit_process(code: object, shared: set[str]) -> None:
    """End the process without finalizing the modules in `shared`, which would copy all memory of the template.

    Otherwise the end is that of an interpreter. Non-daemon threads are joined and exit functions run. Objects held by
    cells and by modules imported since the fork are released, so that `__del__` runs. Open files are flushed, those of
    C as well.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as error:  # noqa: BLE001  # an interrupt: an interpreter goes on, too
        sys.stderr.write(f"Exception ignored in threading._shutdown: {error!r}\n")
    atexit._run_exitfuncs()
    try:
        _release(shared)
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        import ctypes

        ctypes.CDLL(None).fflush(None)
    except Exception:  # noqa: BLE001, S110  # a broken __del__ or stream must not keep the process alive
        pass
    if code is None or isinstance(code, int):
        os._exit((code or 0) & 0xFF)
    os.write(2, f"{code}\n".encode(errors="replace"))
    os._exit(1)


def _release(shared: set[str]) -> None:
    """Release in an interpreter's order: the user's names, then modules that nothing else holds, then the rest."""
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
    references = [weakref.ref(sys.modules.pop(name)) for name in list(sys.modules) if name not in shared]
    gc.collect()
    for reference in references:
        namespace = getattr(reference(), "__dict__", {})
        for name in [name for name in namespace if name != "__builtins__"]:
            namespace[name] = None
    gc.collect()
    writers = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    for value in gc.get_objects():
        if type(value) in writers and not value.closed:
            try:
                value.flush()
            except (OSError, ValueError):
                pass
