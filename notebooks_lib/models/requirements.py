"""The packages that a model needs and their versions: from the lock and what is installed. It loads no model."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Module -> distribution: spares the scan of all installed distributions for what most models use."""

log = logging.getLogger(__name__)


def pinned_requirements(distributions: Iterable[str], lock: Path) -> list[str]:
    """Return `name==version` for each distribution, sorted: as in the lock file, or as installed without a lock file.

    If the installed version differs from the lock file, the installed one is returned, with a warning, because the
    model was made with it. A distribution that is neither locked nor installed is left out.
    """
    locked = _locked(lock)
    lines, drifted = [], []
    for name in sorted({_normal(name) for name in distributions}):
        installed = _installed(name)
        version = installed or locked.get(name)
        if version:
            lines.append(f"{name}=={version}")
        if installed and name in locked and locked[name] != installed:
            drifted.append(f"{name} {installed} (lock: {locked[name]})")
    if drifted:
        log.warning("the model is pinned to what is installed, not to %s: %s", lock.name, ", ".join(drifted))
    return lines


def requirement_faults(lines: Iterable[str], lock: Path) -> list[str]:
    """Return a line for each requirement that pins no version, or another version than this environment has.

    The environment has the version that is installed or, for a distribution that is not installed, the locked one.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    locked = _locked(lock)
    problems = []
    for line in (text.partition(" #")[0].strip() for text in lines):
        if not line or line.startswith("#"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            problems.append(f"{line} is no requirement of a package")
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        exact = [specifier.version for specifier in requirement.specifier if specifier.operator in ("==", "===")]
        pins = [version for version in exact if "*" not in version]
        here = _installed(requirement.name) or locked.get(_normal(requirement.name))
        if not pins:
            problems.append(f"{line} pins no version")
        elif here is None:
            problems.append(f"{line} is neither installed nor locked")
        elif not requirement.specifier.contains(here, prereleases=True):
            problems.append(f"{line}, here it is {here}")
    return problems


def distributions_of(modules: Iterable[str]) -> set[str]:
    """Return the installed distributions that contain these modules, without the standard library and project files."""
    distributions: set[str] = set()
    for top in {name.partition(".")[0] for name in modules}:
        if top in sys.stdlib_module_names or top == "__main__" or is_own(top):
            continue
        name = _DISTRIBUTIONS.get(top, top)
        if _installed(name):
            distributions.add(name)
        else:
            distributions.update(_providers().get(top, ()))
    return distributions


def is_own(module: str) -> bool:
    """Return True if a loaded module is a file of the project, not of an installed package. Other machines lack it."""
    loaded = sys.modules.get(module)
    if loaded is None or module in sys.stdlib_module_names or module == "__main__":
        return False
    places = _places(loaded)
    return bool(places) and not any(place.is_relative_to(root) for place in places for root in _installed_under())


def modules_of(model: Any) -> set[str]:
    """Return the modules whose classes and functions a model consists of, found by traversing it as pickle does."""
    import cloudpickle

    names: set[str] = set()

    class Walker(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is untyped
        def persistent_id(self, item: Any) -> None:
            names.add(type(item).__module__)
            module = getattr(item, "__module__", None)
            if isinstance(module, str):
                names.add(module)

    class Nowhere:
        def write(self, data: bytes) -> int:
            return len(data)

    Walker(Nowhere()).dump(model)
    return names


def _locked(lock: Path) -> dict[str, str]:
    """Return name -> version of the lock's pins that apply to this Python and platform."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = lock.read_text("utf-8").splitlines()
    except OSError:
        return {}
    pinned: dict[str, str] = {}
    for line in lines:
        if "==" not in line or line[:1] in " #-":
            continue
        with suppress(InvalidRequirement):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                pinned[_normal(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return pinned


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _providers() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _installed_under() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


def _places(module: ModuleType) -> list[Path]:
    file = getattr(module, "__file__", None)
    return [Path(file).resolve()] if file else [Path(path).resolve() for path in getattr(module, "__path__", ())]
