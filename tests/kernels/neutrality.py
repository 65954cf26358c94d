"""What the import of modules changes in a process, besides that they are there; run in a process of its own.

    python neutrality.py KERNELS_FOLDER MODULE...

It has imported what a template imports first, imports the modules as a template does, and prints as JSON what differs.
"""

from __future__ import annotations

import atexit
import builtins
import concurrent.futures.process
import concurrent.futures.thread
import contextlib
import copyreg
import decimal
import gc
import importlib
import importlib.util
import json
import locale
import logging
import multiprocessing.synchronize
import os
import random
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import types
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = (
    *(random.Random, uuid.UUID, socket.socket, threading.Thread, tempfile.TemporaryDirectory, sqlite3.Connection),
    *(concurrent.futures.Executor, multiprocessing.synchronize.SemLock),
)
"""Objects that must not be alike in two processes, or shared by them."""
FILES = ("TextIOWrapper", "BufferedWriter", "BufferedReader", "BufferedRandom", "FileIO")
LAZY = ("concurrent.futures.", "six", "_cython_", "os:_Environ.", "time.tzname", "queue.__spec__", "weakref:finalize.")
"""Beginnings of names that modules of these kinds fill at first use."""


def sibling(folder: str, name: str) -> Any:
    """A module of the template, loaded by path as the template does."""
    spec = importlib.util.spec_from_file_location(f"_nbops_{name}", Path(folder) / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def reads() -> Iterator[set[str]]:
    """The environment variables that Python code reads meanwhile; C code is not seen."""
    found: set[str] = set()
    kind: Any = os._Environ
    getitem = kind.__getitem__

    def read(environ: Any, name: str) -> str:
        if sys._getframe(1).f_globals.get("__name__") != "collections.abc" or sys._getframe(1).f_code.co_name == "get":
            found.add(os.fsdecode(name))
        return str(getitem(environ, name))

    kind.__getitem__ = read
    try:
        yield found
    finally:
        kind.__getitem__ = getitem


def state() -> dict[str, object]:
    """Settings of the process and of libraries that a cell could notice."""
    found: dict[str, object] = {
        "folder": str(Path.cwd()),
        "umask": (os.umask(0o22), os.umask(0o22))[0],
        "search path": sys.path[:],
        "import hooks": [repr(type(hook)) for hook in sys.meta_path] + [len(sys.path_hooks)],
        "signals": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "hooks": [repr(getattr(sys, f"{name}hook")) for name in ("except", "display", "unraisable", "breakpoint")],
        "trace": [sys.gettrace(), sys.getprofile()],
        "recursion": sys.getrecursionlimit(),
        "collector": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)],
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": repr(decimal.getcontext()),
        "socket timeout": socket.getdefaulttimeout(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "pickling": {
            str(kind) for kind in copyreg.dispatch_table if kind.__module__.partition(".")[0] in ("builtins", "types")
        },
        "sqlite": len(sqlite3.adapters),
        "exit functions": atexit._ncallbacks(),
        "threads": len(threading.enumerate()),
        "open files": sorted(path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
        "builtins": sorted(vars(builtins)),
        "root logger": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable],
        "warnings": [repr(entry) for entry in warnings.filters],
        "files": sorted(str(path) for path in Path.home().rglob("*") if path.is_file()),
    }
    numpy, pandas, matplotlib = (sys.modules.get(name) for name in ("numpy", "pandas", "matplotlib"))
    if numpy is not None and hasattr(numpy, "geterr"):
        found["numpy"] = repr([numpy.geterr(), numpy.get_printoptions(), numpy.geterrcall()])
    if pandas is not None and hasattr(pandas, "describe_option"):
        found["pandas"] = repr(sys.modules["pandas._config.config"]._global_config)
    if matplotlib is not None and hasattr(matplotlib, "rcParams"):
        found["matplotlib"] = repr(dict.items(matplotlib.rcParams))
    return found


def loggers() -> dict[str, str]:
    """Those that are not as a logger is made, but for a handler that drops everything."""
    found = {}
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            handlers = [type(each).__name__ for each in logger.handlers if type(each) is not logging.NullHandler]
            if logger.level or handlers or not logger.propagate or logger.disabled:
                found[name] = repr([logger.level, handlers, logger.propagate, logger.disabled])
    return found


def names() -> dict[str, Any]:
    """What stands under each name of each module and class."""
    found: dict[str, Any] = {}
    for module, content in list(sys.modules.items()):
        members = getattr(content, "__dict__", None)
        if isinstance(members, dict) and not module.startswith("_nbops") and module != "__main__":
            for name, value in list(members.items()):
                found[f"{module}.{name}"] = value
                if isinstance(value, type) and value.__module__ == module:
                    found |= {f"{module}:{value.__qualname__}.{inner}": held for inner, held in vars(value).items()}
    return found


def patched(before: dict[str, Any], after: dict[str, Any], modules: set[str]) -> list[str]:
    """Functions and values of modules that were there before, and are others now."""
    found = []
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        place = name.partition(":")[0] if ":" in name else name.rpartition(".")[0]
        last = name.rpartition(".")[2]
        if place not in modules or old is new or isinstance(new, types.ModuleType) or name.startswith(LAZY):
            continue
        if last.startswith(("_abc", "__")) or (
            type(old) is type(new) and type(new) in (int, str, float) and old == new
        ):
            continue
        found.append(f"patch {name}")
    return found


def chance() -> dict[int, object]:
    """Objects that exist and would be alike, or shared, in two forks."""
    gc.collect()
    numpy: Any = sys.modules.get("numpy.random")
    kinds = (*KINDS, *((numpy.Generator, numpy.RandomState) if numpy is not None else ()))
    return {
        id(value): value
        for value in gc.get_objects()
        if isinstance(value, kinds) or (type(value).__name__ in FILES and not value.closed)  # type: ignore[attr-defined]
    }


def _members(value: object) -> object:
    with contextlib.suppress(Exception):
        return object.__getattribute__(value, "__dict__")
    return None


def kept(value: object, everything: dict[str, Any]) -> str:
    """A name for an object that an import has made and kept."""
    places = sorted(name for name, held in everything.items() if held is value)
    for owner in gc.get_referrers(value) if not places else ():
        held = [name for name, each in everything.items() if each is owner or _members(each) is owner]
        places += held
        if isinstance(owner, tuple):  # of default arguments
            functions = [each for each in gc.get_referrers(owner) if isinstance(each, types.FunctionType)]
            places += [f"{each.__module__}:{each.__qualname__}()" for each in functions]
    return f"keeps {type(value).__qualname__} {min(places, default='')}".strip()


def main(folder: str, modules: list[str]) -> dict[str, object]:
    placeholders = sibling(folder, "preload_placeholders")
    sibling(folder, "library_warmup")
    preload = sibling(folder, "preload")
    for name in preload.BASE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    there, environ, before, old_names = set(sys.modules), dict(os.environ), state(), names()
    old_loggers, objects, failed = loggers(), chance(), {}
    with (
        placeholders.installed_placeholders(
            (placeholders.PlaceholderStream("stdout"), placeholders.PlaceholderStream("stderr"))
        ),
        reads() as read,
    ):
        for name in modules:
            try:
                importlib.import_module(name)
            except BaseException as error:
                failed[name] = repr(error)[:200]
    after, new_names = state(), names()
    made = [value for key, value in chance().items() if key not in objects]
    shells = [value for value in gc.get_objects() if type(value) is placeholders._Shell]
    changes = [name for name in after if name in before and after[name] != before[name]]
    changes += [f"logger {name}" for name, text in loggers().items() if old_loggers.get(name) != text]
    changes += [f"sets {name}" for name, value in os.environ.items() if environ.get(name) != value]
    changes += patched(old_names, new_names, there)
    changes += [kept(value, new_names) for value in made]
    changes += ["keeps the shell" for _ in shells]
    return {
        "failed": failed,
        "modules": sorted(set(sys.modules) - there),
        "variables": sorted(read),
        "changes": sorted(set(changes)),
    }


if __name__ == "__main__":
    print("<<" + json.dumps(main(sys.argv[1], sys.argv[2:])) + ">>")
