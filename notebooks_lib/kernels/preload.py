"""What a template imports before any kernel is forked, and whether that is still what lies on the disk.

Only third-party and standard modules, and of these only such as leave nothing behind that a fork cannot carry: an
import that starts a thread or a process, opens a socket, prints or warns, or asks which front end it runs in is left to
the kernels. Standard library only.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import glob
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import site
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, ClassVar

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
FRONT_END = {
    "pandas.core.config_init": "asks only whether this is a kernel",
    "tqdm.autonotebook": "asks only whether this is a kernel",
    "ipywidgets": "asked again in the kernel (child.FINISH)",
    "matplotlib.pyplot": "asks again when its first figure is drawn",
}
"""Modules that ask for IPython's shell when they are imported and for which the answer "a kernel" is enough."""
LOOK_EVERY = 2.0
"""Seconds between two looks at the files of all imported modules; package folders are looked at before every fork."""


class _Shell:
    """What IPython's `get_ipython` gives while modules are imported: they are told that this is a kernel."""

    config: ClassVar[dict[str, object]] = {"IPKernelApp": {}}
    kernel = None


class Preload:
    """The modules imported so far. `never` (module -> reason) grows when an import turns out to be unfit."""

    def __init__(self, never: dict[str, str], put_off: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
        self._put_off = put_off
        self.deferred: list[Any] = []
        """Plugins of somebody's own code, for each kernel to load."""
        self.never = {**NEVER, **_from_folders(), **never}
        self.unfit: dict[str, str] = {}
        """Found now; the process is spoilt by them and must not fork any more."""
        self.environment: dict[str, str | None] = {}
        """Environment variables that imports have set (None: deleted)."""
        self._folders = _site_folders()
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._looked = 0.0
        self._warmed: set[str] = set()
        self.base: set[str] = set()
        """Modules that an ordinary kernel has imported before its first cell."""
        self.tops: set[str] = set()
        """Their top-level names."""

    def start(self) -> None:
        """Import what every kernel needs."""
        for name in BASE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self.base = set(sys.modules)
        self.tops = {name.partition(".")[0] for name in sys.modules}
        for path in [*self._folders, *_path_files(self._folders), sys.executable, os.path.realpath(sys.executable)]:
            self._stamps[path] = _stamp(path)
        self._stamps[os.path.join(sys.prefix, "pyvenv.cfg")] = _stamp(os.path.join(sys.prefix, "pyvenv.cfg"))

    def add(self, name: str) -> None:
        """Import one module; afterwards look whether that has left the process fit for forks. It does not raise."""
        if name in sys.modules or self.refuses(name):
            return
        environment = dict(os.environ)
        before = set(sys.modules)
        sockets = _sockets()
        with _watched(self.unfit), self._plugins():
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001  # whatever a module raises that has no business here
                for half in set(sys.modules) - before:
                    if half.partition(".")[0] == name.partition(".")[0]:
                        sys.modules.pop(half, None)
                self.never[name] = "its import failed"
        if _threads() or _sockets() > sockets:
            self.unfit.setdefault(name.partition(".")[0], "it leaves a thread or a socket behind")
        for new in set(sys.modules) - before:
            path = getattr(sys.modules[new], "__file__", None)
            if isinstance(path, str) and new != "__mp_main__" and not self._installed(path):
                self.unfit.setdefault(name.partition(".")[0], f"it imports {new}, which is no installed package")
        for key in environment.keys() | os.environ.keys():
            if environment.get(key) != os.environ.get(key):
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
        """Pay what is paid once a process and is safe before a fork; then keep the memory shared."""
        for module, work in WORK.items():
            if module in sys.modules and module not in self._warmed:
                self._warmed.add(module)
                with contextlib.suppress(Exception):
                    work(sys.modules[module])
        for imported in list(sys.modules.values()):
            path = getattr(imported, "__file__", None)
            if isinstance(path, str) and path not in self._stamps:
                self._stamps[path] = _stamp(path)
        gc.collect()
        gc.freeze()

    def watch(self, path: str) -> None:
        """Take a file whose change makes the template stale: a project's lock."""
        self._stamps.setdefault(path, _stamp(path))

    def stale(self) -> str | None:
        """What has changed on the disk since it was imported; None when nothing has."""
        paths: Iterable[str] = self._folders
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            paths = self._stamps
        return next((path for path in paths if _stamp(path) != self._stamps.get(path)), None)

    def third_party(self, known: set[str]) -> list[str]:
        """Modules of this process beyond `known` that another one may import beforehand, in order of their import."""
        found = []
        for name, module in list(sys.modules.items()):
            if name in known or self.refuses(name) or getattr(module, "__name__", None) != name:
                continue
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and os.path.isabs(path) and self._installed(path):
                found.append(name)
        return found


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


@contextlib.contextmanager
def _watched(unfit: dict[str, str]) -> Iterator[None]:
    """Note every module whose import starts a thread, shows something, or asks for the front end."""

    def note(why: str) -> None:
        frame: FrameType | None = sys._getframe(2)
        names = []
        while frame is not None:
            if frame.f_code.co_name == "<module>":
                names.append(str(frame.f_globals.get("__name__", "")))
            frame = frame.f_back
        names = [name for name in names if name and name != "__main__"]
        if why == "it asks for the front end" and names and any(names[0] == known for known in FRONT_END):
            return
        unfit.update(dict.fromkeys(names, why))

    class Shown(io.StringIO):
        def write(self, text: str) -> int:
            if text:
                note("it prints or warns when it is imported")
            return len(text)

    def get_ipython() -> object:
        note("it asks for the front end")
        return _Shell()

    start = threading.Thread.start

    def started(thread: Any) -> None:
        note("it starts a thread")
        start(thread)

    import IPython
    import IPython.core.getipython

    real = IPython.core.getipython.get_ipython
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = Shown()
    threading.Thread.start = started  # type: ignore[assignment, method-assign]
    IPython.core.getipython.get_ipython = IPython.get_ipython = get_ipython
    builtins.get_ipython = get_ipython  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del builtins.get_ipython  # type: ignore[attr-defined]
        for module in list(sys.modules.values()):  # `from IPython import get_ipython` in an imported module
            if getattr(module, "__dict__", {}).get("get_ipython") is get_ipython:
                module.get_ipython = real  # type: ignore[attr-defined]
        threading.Thread.start = start  # type: ignore[method-assign]
        sys.stdout, sys.stderr = streams


def _threads() -> bool:
    """Whether a Python thread beside this one runs; one that is about to end is waited for."""
    until = time.monotonic() + 0.3
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.02)
    return threading.active_count() > 1


def _sockets() -> int:
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += stat.S_ISSOCK(os.stat(f"/proc/self/fd/{fd}").st_mode)
    return count


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _mappers(module: object) -> None:
    module.configure_mappers()  # type: ignore[attr-defined]


def _distributions(module: object) -> None:
    module._init_modules_to_packages_map()  # type: ignore[attr-defined]


def _schema(module: object) -> None:
    """The newest schema that this MLflow knows, which it finds in sixty files whenever it opens a database."""
    newest = module._get_latest_schema_revision()  # type: ignore[attr-defined]
    module._get_latest_schema_revision = lambda: newest  # type: ignore[attr-defined]


WORK: dict[str, Callable[[object], None]] = {
    "sqlalchemy.orm": _mappers,
    "mlflow.store.db.utils": _schema,
    "mlflow.utils.requirements_utils": _distributions,  # the scan of every installed distribution
}
