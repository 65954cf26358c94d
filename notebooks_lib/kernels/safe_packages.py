"""The packages that a template may import before it forks, as packages.toml lists them. Standard library only.

Clients and templates use the same table. A client chooses a template by the variables that packages of the table read
while they are imported; a template imports only what the table allows.
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

ASIDE = frozenset(("tests", "test", "conftest", "_testing", "testing", "_examples", "examples"))
"""Parts of packages that are never imported beforehand."""


@functools.cache
def read_table() -> dict[str, Any]:
    """Return the content of packages.toml. A template gets it from its client, as its own Python may not read TOML."""
    import tomllib

    with open(os.path.join(os.path.dirname(__file__), "packages.toml"), "rb") as file:
        return tomllib.load(file)


class SafePackages:
    """The packages that a template may import before it forks.

    They are those of packages.toml and of the setting `preload`, without those of the setting `never`.
    """

    def __init__(self, content: Mapping[str, Any], preload: Sequence[str] = (), never: Sequence[str] = ()) -> None:
        self._common: dict[str, Any] = content["common"]
        self._packages: dict[str, dict[str, Any]] = content["packages"]
        self._preload = tuple(preload)
        self._never = tuple(never)
        entries = self._packages.values()
        self._except = tuple(name for entry in entries for name in entry.get("except", ()))
        brought = [name for entry in entries for name in entry.get("brings", ())]
        self._tops = {name.partition(".")[0] for name in (*self._packages, *brought, *preload)}
        self._tops |= set(sys.stdlib_module_names)
        variables = [*self._common["variables"], *(name for entry in entries for name in entry.get("variables", ()))]
        self._names = {name for name in variables if not name.endswith("*")} | set(self._common["paths"])
        self._prefixes = tuple(name[:-1] for name in variables if name.endswith("*"))
        self._after = set(self._common["set_after_the_fork"])
        self._each_run = self._common["each_run"]

    def allows(self, module: str) -> bool:
        """Return True if a template may import this module."""
        if _within(module, self._never):
            return False
        if _within(module, self._preload):
            return True
        entry = self._packages.get(self.package(module))
        if entry is None or _within(module, self._except) or not ASIDE.isdisjoint(module.split(".")):
            return False
        return "only" not in entry or module in self._packages or _within(module, entry["only"])

    def package(self, module: str) -> str:
        """Return the package in packages.toml that a module belongs to; empty if there is none."""
        parts = module.split(".")
        names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((name for name in names if name in self._packages), "")

    def brings(self, modules: Iterable[str], package: str) -> bool:
        """Return True if packages.toml says that importing one of these modules also imports `package`."""
        entries = (self._packages.get(self.package(module), {}) for module in modules)
        return any(package in entry.get("brings", ()) for entry in entries)

    def unfit(self, modules: Iterable[str]) -> str | None:
        """Return the first of these imported modules that a template must not hold; None if all are allowed."""
        for module in modules:
            top = module.partition(".")[0]
            compiled = top.startswith(("_cython_", "_nbops_", "__editable__", "_sysconfigdata")) or "__mypyc" in top
            if not (top in self._tops or compiled) or _within(module, (*self._except, *self._never)):
                return module
        return None

    def environment(self, environment: Mapping[str, str], folder: str) -> dict[str, str]:
        """Return the environment variables that imports in a template may read, with the values of one kernel.

        Packages of the setting `preload` may read any variable. With them, only variables that differ from run to run
        are left out. Relative paths are resolved against `folder`, that of the kernel.
        """
        reads = self._reads_some if not self._preload else self._reads_most
        read = {name: value for name, value in environment.items() if name not in self._after and reads(name)}
        for name in read.keys() & set(self._common["path_lists"]):
            if read[name]:  # an empty entry is the folder, too
                read[name] = os.pathsep.join(os.path.join(folder, entry) for entry in read[name].split(os.pathsep))
        for name in read.keys() & set(self._common["paths"]):
            if read[name] and not read[name].startswith("~"):
                read[name] = os.path.join(folder, read[name])
        return read

    def _reads_some(self, name: str) -> bool:
        return name in self._names or name.startswith(self._prefixes)

    def _reads_most(self, name: str) -> bool:
        return self._reads_some(name) or not any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in self._each_run
        )

    def files(self) -> Iterator[str]:
        """Yield the paths of configuration files and caches that packages read at import, even if they do not exist."""
        for pattern in (pattern for entry in self._packages.values() for pattern in entry.get("files", ())):
            path = os.path.expandvars(os.path.expanduser(pattern))
            if os.path.isabs(path) and "$" not in path:
                yield from glob.glob(path) if "*" in path else [path]

    def folder_files(self, imported: Iterable[str]) -> set[str]:
        """Return the names of configuration files, such as matplotlibrc, that these packages read at import.

        They are looked for in the kernel's folder, so a kernel whose folder has one cannot be forked.
        """
        return {name for package in imported for name in self._packages.get(package, {}).get("folder_files", ())}

    def start_is_known(self, path_file: str) -> bool:
        """Return True if packages.toml lists this .pth file, so that it is known what it does when Python starts."""
        name = os.path.basename(path_file)
        return any(fnmatch.fnmatch(name, pattern) for pattern in self._common["path_files"])


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)
