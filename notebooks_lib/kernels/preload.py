"""What a template imports before any kernel is forked, and whether that is still what lies on the disk.

Only third-party and standard modules, and of these only such as leave nothing behind that a fork cannot carry: an
import that starts a thread or a process, keeps a file open, prints or warns, or asks which front end it runs in is left
to the kernels. Standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import importlib
import importlib.metadata
import importlib.util
import json
import os
import site
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

leftovers = sys.modules["_nbops_leftovers"]
rehearsal = sys.modules["_nbops_rehearsal"]
BASE = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "tornado.platform.asyncio",
    "tornado.queues",
    "pdb",
    "threadpoolctl",
)
"""What an ordinary kernel has imported before its first cell, much of it only as it starts; in a kernel it may warn."""
NEVER = {
    "notebooks_lib": "the project's own",
    "matplotlib_inline": "it ties itself to the running kernel when it is imported",
    "ipykernel.pylab": "it ties itself to the running kernel when it is imported",
    "google.colab": "it ties itself to the running kernel when it is imported",
}
LOOK_EVERY = 0.5
"""Seconds between two looks at the files of all imported modules (some thousand: 10 ms); package folders are looked at
before every fork."""


class Preload:
    """The modules imported so far. `never` (module -> reason) grows when an import turns out to be unfit."""

    def __init__(
        self, never: dict[str, str], watch: Any, pools: Any, put_off: Callable[[Any, Callable[[Any], Any]], Any]
    ) -> None:
        self._put_off = put_off
        self.pools = pools
        self.deferred: list[Any] = []
        """Plugins of somebody's own code, for each kernel to load."""
        self.never = {**NEVER, **_from_folders(), **never}
        self.seen = watch
        """What the imports did besides; `unfit` modules have spoilt this process, it must not fork any more."""
        self.environment: dict[str, str | None] = {}
        """Environment variables that imports have set (None: deleted)."""
        self._folders = _site_folders()
        self.packages = repr([stamp(folder) for folder in self._folders])
        """Tells one state of the installed packages from another."""
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._looked = 0.0
        self._rehearsed: set[str] = set()
        self.base: set[str] = set()
        """Modules that an ordinary kernel has imported before its first cell."""
        self.known: frozenset[str] = frozenset()
        """All modules imported. Made before any fork: to go through them afterwards would copy the memory of each."""
        self.tops: frozenset[str] = frozenset()
        """The top-level names of those that an ordinary kernel has not imported."""

    def start(self) -> None:
        """Import what every kernel needs."""
        environment = dict(os.environ)
        for name in BASE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self._note_variables(environment)
        self.base = set(sys.modules)
        for path in [*self._folders, *_path_files(self._folders), sys.executable, os.path.realpath(sys.executable)]:
            self.watch(path)
        self.watch(os.path.join(sys.prefix, "pyvenv.cfg"))

    def add(self, names: list[str], tell: Callable[[str], object]) -> None:
        """Import these modules, and pay what is paid once a process and is safe before a fork; `tell` what comes next.

        Looks what each has left behind. It does not raise.
        """
        telemetry = os.environ.get("MLFLOW_DISABLE_TELEMETRY")
        backend = os.environ.get("MPLBACKEND")
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it would start a thread
        os.environ["MPLBACKEND"] = backend or "module://matplotlib_inline.backend_inline"  # as every kernel does
        with self.seen.watching(), self._plugins():
            for name in names:
                if name not in sys.modules and not self.refuses(name):
                    tell(name)
                    self._import(name)
                    for unfit in self.seen.unfit:  # whoever imports it next is unfit too, and shall be noted now
                        sys.modules.pop(unfit, None)
            rehearsal.prepare()
            for name in rehearsal.possible():
                if name not in self._rehearsed and not self.refuses(name) and not self.seen.unfit:
                    tell(name)
                    self._rehearse(name)
        for key, value in (("MLFLOW_DISABLE_TELEMETRY", telemetry), ("MPLBACKEND", backend)):
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value

    def _import(self, name: str) -> None:
        top = name.partition(".")[0]
        environment = dict(os.environ)
        before, left = set(sys.modules), leftovers.Leftovers()
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001  # whatever a module raises that has no business here
            for half in set(sys.modules) - before:
                if half.partition(".")[0] == top:
                    sys.modules.pop(half, None)
            self.never[name] = "its import failed"
        if (found := left.found(top)) is not None:
            self.seen.unfit.setdefault(top, found)
        for new in set(sys.modules) - before:
            path = getattr(sys.modules[new], "__file__", None)
            if isinstance(path, str) and new != "__mp_main__" and not self._installed(path):
                self.seen.unfit.setdefault(top, f"it imports {new}, which is no installed package")
        self._note_variables(environment)

    def _rehearse(self, name: str) -> None:
        """Use a library once, so that kernels find done what it does at its first use."""
        self._rehearsed.add(name)
        left = leftovers.Leftovers()
        try:
            rehearsal.run(name)
        except Exception as error:  # noqa: BLE001  # a library that we do not know any more: kernels do it themselves
            traceback.print_exc(file=sys.__stderr__)
            self.never[name] = f"it failed: {type(error).__name__}"
        if (found := left.found(name)) is not None:
            self.seen.unfit.setdefault(name, found)

    def _note_variables(self, before: dict[str, str]) -> None:
        for key in before.keys() | os.environ.keys():
            if before.get(key) != os.environ.get(key):
                self.environment[key] = os.environ.get(key)

    @contextlib.contextmanager
    def _plugins(self) -> Iterator[None]:
        """Put off plugins that are not installed packages' own."""
        entry_point = importlib.metadata.EntryPoint
        load = entry_point.load

        def loaded(entry: Any) -> Any:
            top = entry.value.partition(":")[0].partition(".")[0].strip()
            try:
                found = importlib.util.find_spec(top)
            except (ImportError, ValueError):
                found = None
            origin = getattr(found, "origin", None)
            if not self.refuses(top) and (origin is None or self._installed(origin)):
                return load(entry)
            self.deferred.append(self._put_off(entry, load))
            return self.deferred[-1]

        entry_point.load = loaded  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            entry_point.load = load  # type: ignore[method-assign]

    def _installed(self, path: str) -> bool:
        """Whether a file belongs to the standard library or to an installed package."""
        library = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
        roots = (*self._folders, *library, os.path.realpath(library[0]))
        return not os.path.isabs(path) or any(path.startswith(root + os.sep) for root in roots)

    def refuses(self, name: str) -> bool:
        """Whether the module or a package around it must not be imported here."""
        parts = name.split(".")
        return any(".".join(parts[: end + 1]) in self.never for end in range(len(parts)))

    def settle(self) -> None:
        """Take note of all that is there; then keep the memory shared."""
        for module, places in FILES.items():
            if module in sys.modules:
                with contextlib.suppress(Exception):
                    self.seen.files.update(places(sys.modules[module]))
        for path in [*self.seen.files, *(getattr(module, "__file__", None) for module in list(sys.modules.values()))]:
            if isinstance(path, str):
                self.watch(path)
        self.pools.look()
        self.known = frozenset(sys.modules)
        self.tops = frozenset(_top(name) for name in self.known) - {_top(name) for name in self.base}
        gc.collect()
        gc.freeze()

    def watch(self, path: str) -> None:
        """Take a file whose change makes the template stale: a module, what it has read, a project's lock."""
        if path not in self._stamps:
            self._stamps[path] = stamp(path)

    def stale(self) -> str | None:
        """What has changed on the disk since it was imported; None when nothing has."""
        paths: Iterable[str] = self._folders
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            paths = self._stamps
        return next((path for path in paths if stamp(path) != self._stamps.get(path)), None)

    def third_party(self, names: Iterable[str]) -> list[str]:
        """Those of these modules that a template may import beforehand."""
        found = []
        for name in names:
            module = sys.modules.get(name)
            if name in self.base or self.refuses(name) or getattr(module, "__name__", None) != name:
                continue
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and os.path.isabs(path) and self._installed(path):
                found.append(name)
        return found


def _top(name: str) -> str:
    return name.partition(".")[0]


def stamp(path: str) -> tuple[int, int] | None:
    """What tells a changed file; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _site_folders() -> list[str]:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *getattr(site, "getsitepackages", list)()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return list(dict.fromkeys(folder for folder in folders if folder in sys.path))


def _path_files(folders: list[str]) -> list[str]:
    return [path for folder in folders for path in glob.glob(os.path.join(glob.escape(folder), "*.pth"))]


def _from_folders() -> dict[str, str]:
    """Packages that were installed from a folder of this machine: somebody's own code, which changes."""
    found = {}
    for folder in _site_folders():
        for path in glob.glob(os.path.join(glob.escape(folder), "*.dist-info", "direct_url.json")):
            try:
                with open(path, encoding="utf-8") as file:
                    if "dir_info" not in json.load(file):
                        continue
                with open(os.path.join(os.path.dirname(path), "RECORD"), encoding="utf-8") as file:
                    tops = {line.replace("\\", "/").partition(",")[0].split("/")[0] for line in file}
            except (OSError, ValueError):
                continue
            for top in tops:
                if not top.endswith((".dist-info", ".pth")) and top not in ("..", "__pycache__"):
                    found[top.removesuffix(".py")] = "installed from a folder of this machine"
    return found


FILES: dict[str, Callable[[Any], list[str]]] = {
    "matplotlib": lambda module: [os.path.join(module.get_configdir(), "matplotlibrc")],
    "dask.config": lambda module: list(module.paths),
}
"""Settings that a package reads when it is imported, if they are there: that they come to be is a change, too."""
