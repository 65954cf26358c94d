"""The end of a forked kernel: as an interpreter ends, but for taking apart what is shared with the template.

Standard library only.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import threading
import weakref


def leave(code: object, known: set[str]) -> None:
    """End the process. Pulling down the thousands of modules in `known` would copy all shared memory first.

    Threads that are not daemons are waited for, exit functions run, what cells and modules imported since the fork hold
    is let go (so that `__del__` runs), and files left open are written out, C's as well.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as error:  # noqa: BLE001  # an interrupt: an interpreter goes on, too
        sys.stderr.write(f"Exception ignored in threading._shutdown: {error!r}\n")
    atexit._run_exitfuncs()
    try:
        _let_go(known)
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


def _let_go(known: set[str]) -> None:
    """As an interpreter does: first the names of the user, then the modules that nothing else holds, then the rest."""
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
    own = [weakref.ref(sys.modules.pop(name)) for name in list(sys.modules) if name not in known]
    gc.collect()
    for held in own:
        names = getattr(held(), "__dict__", {})
        for name in [name for name in names if name != "__builtins__"]:
            names[name] = None
    gc.collect()
    written = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    for found in gc.get_objects():
        if type(found) in written and not found.closed:
            try:
                found.flush()
            except (OSError, ValueError):
                pass
