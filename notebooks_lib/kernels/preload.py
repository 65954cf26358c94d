"""The modules that a template imports before it forks, and whether their files have changed. Standard library only."""

from __future__ import annotations

import contextlib
import gc
import glob
import importlib
import importlib.metadata
import os
import site
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

placeholders, warmup = sys.modules["_nbops_preload_placeholders"], sys.modules["_nbops_library_warmup"]
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
)
"""Modules that an ordinary kernel has imported before its first cell, many of them only while it starts."""
LOOK_EVERY = 0.5
"""Seconds between two checks of the files of all imported modules, some thousand, which take 10 ms. Package folders are
checked before every fork."""


class Unfit(Exception):
    """This process must not fork kernels. The message gives the reason."""


class Preload:
    """What a template process, which kernels are forked from, has imported. `never`: forbidden module -> the reason."""

    def __init__(self, table: Any, never: dict[str, str], pools: Any) -> None:
        self.table = table
        self.never = never
        self.pools = pools
        self.streams = (placeholders.PlaceholderStream("stdout"), placeholders.PlaceholderStream("stderr"))
        self.deferred: list[Any] = []
        """Plugins that are not in the table: each kernel loads them itself."""
        self.environment: dict[str, str] = {}
        """Variables set by imports, and by Python when it started."""
        self.at_start: set[str] = set()
        """Those of them that were set and that Python changed when it started."""
        self._folders = _site_folders()
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._looked = 0.0
        self._warmed: set[str] = set()
        self.base: set[str] = set()
        """Modules that an ordinary kernel has imported before its first cell."""
        self.known: frozenset[str] = frozenset()
        """All imported modules; collected before any fork, as going through them in a kernel copies their memory."""
        self.tops: frozenset[str] = frozenset()
        """Top-level names of the modules that an ordinary kernel has not imported."""

    def start(self) -> None:
        """Import what every kernel needs.

        Raises Unfit when Python's startup ran code that each kernel must run itself.
        """
        self._check_start()
        environment = dict(os.environ)
        for name in BASE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self._note_variables(environment)
        self.base = set(sys.modules)
        path_files = _path_files(self._folders)
        for path in [*self._folders, *path_files, sys.executable, os.path.realpath(sys.executable)]:
            self.watch(path)
        self.watch(os.path.join(sys.prefix, "pyvenv.cfg"))

    def _check_start(self) -> None:
        if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
            raise Unfit("a thread runs since Python's start (sitecustomize, a .pth file)")
        if sys.gettrace() or sys.getprofile():
            raise Unfit("Python's start sets a trace function")
        for name in ("sitecustomize", "usercustomize"):
            path = getattr(sys.modules.get(name), "__file__", None)
            if path is not None and not _in_library(path):
                raise Unfit(f"Python's start runs {path}, which each kernel must do itself")
        for path in _path_files(self._folders):
            with open(path, encoding="utf-8", errors="replace") as file:
                runs = any(line.startswith(("import ", "import\t")) for line in file)
            if runs and not self.table.start_is_known(path):
                raise Unfit(f"Python's start runs code in {path}, which each kernel must do itself")
        with open("/proc/self/environ", "rb") as environ:
            start_environment = dict(
                os.fsdecode(word).split("=", 1) for word in environ.read().split(b"\0") if b"=" in word
            )
        self._note_variables(start_environment)
        self.at_start = self.environment.keys() & start_environment.keys()

    def add(self, names: list[str], tell: Callable[[str], object]) -> None:
        """Import the modules `names`, and warm up libraries where that is safe before a fork.

        `tell` is called with each name. Raises Unfit when one of them imports a module that no template may hold, or
        uses a plugin at once.
        """
        telemetry, backend = os.environ.get("MLFLOW_DISABLE_TELEMETRY"), os.environ.get("MPLBACKEND")
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # which would start a thread
        os.environ["MPLBACKEND"] = backend or "module://matplotlib_inline.backend_inline"  # as every kernel does
        with placeholders.installed_placeholders(self.streams), self._plugins(names):
            for name in names:
                if self.wants(name):
                    tell(name)
                    self._import(name)
            warmup.prepare_searches()
            for name in warmup.possible_warm_ups():
                if name not in self._warmed and name not in self.never:
                    tell(name)
                    self._warm_up(name)
        for key, value in (("MLFLOW_DISABLE_TELEMETRY", telemetry), ("MPLBACKEND", backend)):
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value

    def wants(self, name: str) -> bool:
        """Return True if a module may be imported here and has not been imported yet."""
        return name not in sys.modules and name not in self.never and self.table.package(name) not in self.never

    def _import(self, name: str) -> None:
        environment, before = dict(os.environ), set(sys.modules)
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001  # whatever a module raises, the kernel meets it too
            top = name.partition(".")[0]
            for half in set(sys.modules) - before:
                if half.partition(".")[0] == top:
                    sys.modules.pop(half, None)
            self.never[name] = f"its import failed: {type(error).__name__}"
        new = set(sys.modules) - before
        if self.table.package(name) and (brought := self.table.unfit(new)) is not None:
            raise Unfit(f"it imports {brought}, which is not in the table")
        if placeholders.early:
            raise Unfit(f"it uses a plugin at once: {placeholders.early[0]}")
        _without_threads()
        self._note_variables(environment)

    def _warm_up(self, name: str) -> None:
        """Use a library once, so that kernels need not repeat the work of its first use."""
        self._warmed.add(name)
        try:
            warmup.run_warm_up(name)
        except Exception as error:  # noqa: BLE001  # another version of the library: kernels do it themselves
            traceback.print_exc(file=sys.__stderr__)
            self.never[name] = f"it failed: {type(error).__name__}"
        _without_threads()

    def _note_variables(self, before: dict[str, str]) -> None:
        self.environment.update({key: value for key, value in os.environ.items() if before.get(key) != value})

    @contextlib.contextmanager
    def _plugins(self, names: list[str]) -> Iterator[None]:
        """Defer plugins of packages that are not in the table."""
        if "importlib_metadata" not in sys.modules and self.table.brings(names, "importlib_metadata"):
            with contextlib.suppress(ImportError):  # it replaces Python's own finder, with entry points of its own
                importlib.import_module("importlib_metadata")
        places: list[Any] = [importlib.metadata, sys.modules.get("importlib_metadata")]
        kinds: list[Any] = [place.EntryPoint for place in places if place is not None]
        loads = [kind.load for kind in kinds]
        for kind, load in zip(kinds, loads, strict=True):
            kind.load = self._deferring(load)
        try:
            yield
        finally:
            for kind, load in zip(kinds, loads, strict=True):
                kind.load = load

    def _deferring(self, load: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def loaded(entry: Any) -> Any:
            if self.table.unfit([entry.value.partition(":")[0].strip()]) is None:
                return load(entry)
            self.deferred.append(placeholders.DeferredPlugin(entry, load))
            return self.deferred[-1]

        return loaded

    def freeze(self) -> None:
        """Record the files of the imported modules. Freeze their objects in memory, so that forks share them."""
        for path in [
            *self.table.files(),
            *(getattr(module, "__file__", None) for module in list(sys.modules.values())),
        ]:
            if isinstance(path, str):
                self.watch(path)
        self.pools.find_libraries()
        self.known = frozenset(sys.modules)
        self.tops = frozenset(_top(name) for name in self.known) - {_top(name) for name in self.base}
        gc.collect()
        gc.freeze()

    def watch(self, path: str) -> None:
        """Watch a file, such as a module or the project's lock file: when it changes, the template is stale."""
        if path not in self._stamps:
            self._stamps[path] = file_stamp(path)

    def stale(self) -> str | None:
        """Return the path of a file that changed since it was imported; None if none did."""
        paths: Iterable[str] = self._folders
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            paths = self._stamps
        return next((path for path in paths if file_stamp(path) != self._stamps.get(path)), None)

    def find_shadowing(self, folder: str, python_path: str) -> str | None:
        """Return why a file of the kernel's project shadows or configures an imported module; None if none does.

        An ordinary kernel prefers a module in its folder or on PYTHONPATH to an installed one of the same name, and
        some packages read configuration files there. A forked kernel already has the installed module.
        """
        settings = self.table.folder_files(self.tops)
        entries = [os.path.join(folder, entry) for entry in python_path.split(os.pathsep) if entry]
        for place in [folder, *entries]:
            try:
                names = os.listdir(place)
            except OSError:
                continue
            for name in names:
                package = os.path.join(place, name, "__init__.py")
                if name.split(".")[0] in self.tops and (name.endswith((".py", ".so")) or os.path.isfile(package)):
                    return f"{os.path.join(place, name)} stands before an installed package of that name"
                if place == folder and name in settings:
                    return f"{os.path.join(place, name)} has settings that are read at import"
        return None

    def learnable(self, names: Iterable[str]) -> list[str]:
        """Return those of these modules that the template may import and has not imported at its start."""
        return [name for name in names if name not in self.base and self.table.allows(name) and self.installed(name)]

    def installed(self, name: str) -> bool:
        """Return True if an imported module belongs to an installed package."""
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if getattr(module, "__name__", None) != name or not isinstance(path, str):
            return False
        return any(path.startswith(folder + os.sep) for folder in self._folders)


def _without_threads() -> None:
    """Raise Unfit when a Python thread stays; wait for one that is about to end."""
    until = time.monotonic() + 0.3
    while threading.active_count() > 1:
        if time.monotonic() > until:
            raise Unfit("it leaves a thread behind")
        time.sleep(0.02)


def _top(name: str) -> str:
    return name.partition(".")[0]


def file_stamp(path: str) -> tuple[int, int] | None:
    """Return modification time and size of a file, to notice changes; None when there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _in_library(path: str) -> bool:
    """Return whether a file is in the standard library, where Linux distributions put their sitecustomize."""
    return os.path.dirname(os.path.realpath(path)) == os.path.realpath(sysconfig.get_path("stdlib"))


def _site_folders() -> list[str]:
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *getattr(site, "getsitepackages", list)()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return list(dict.fromkeys(folder for folder in folders if folder in sys.path))


def _path_files(folders: list[str]) -> list[str]:
    return [path for folder in folders for path in glob.glob(os.path.join(glob.escape(folder), "*.pth"))]
