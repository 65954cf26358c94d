"""A project's preferences for its warm kernels: the [kernels] section of its settings, and its import history."""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.kernels.safe_packages import SafePackages, read_table

SETTINGS = ("production/settings.toml", "pyproject.toml", ".git")
"""Each marks the root of a project, the surest one first; a folder below none of them is a project of its own.

`project_root` asks for more, production/settings.toml or [tool.nbops]: a project without nbops has warm kernels too.
"""

FALSE = ("false", "0", "no", "off", "f", "n")
"""Words for false, as pydantic reads them."""


@dataclass(frozen=True)
class Preferences:
    """A project's settings for its warm kernels, with its import history."""

    memory: str
    """File with the project's import history."""
    preload: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    idle_seconds: float = 1800.0
    watch: tuple[str, ...] = ()
    """Files whose change makes a template stale."""
    enabled: bool = True

    def safe_packages(self) -> SafePackages:
        """Return the packages that a template may import for this project."""
        return SafePackages(read_table(), self.preload, self.never)


def read_preferences(folder: str, environment: Mapping[str, str]) -> Preferences:
    """Return the preferences of the project that contains the kernel's `folder`; unreadable settings are ignored."""
    root = _root(Path(folder), environment)
    section: dict[str, object] = {}
    try:
        kernels = tomllib.loads((root / "production" / "settings.toml").read_text("utf-8")).get("kernels", {})
        section = kernels if isinstance(kernels, dict) else {}
    except (OSError, ValueError):
        pass
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "~").expanduser() / ".cache")
    name = hashlib.sha256(f"{root}\n{sys.prefix}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    idle = environment.get("NBOPS_KERNELS_IDLE_MINUTES", section.get("idle_minutes", 30))
    return Preferences(
        memory=os.fspath(cache / "nbops" / "kernels" / f"{name}.json"),
        preload=_names(environment.get("NBOPS_KERNELS_PRELOAD", section.get("preload"))),
        never=_names(environment.get("NBOPS_KERNELS_NEVER", section.get("never"))),
        idle_seconds=_number(idle, 30.0) * 60,
        watch=(os.fspath(root / "requirements.lock"),),
        enabled=str(environment.get("NBOPS_KERNELS_WARM", section.get("warm", True))).lower() not in FALSE,
    )


def _root(folder: Path, environment: Mapping[str, str]) -> Path:
    root = environment.get("NBOPS_ROOT")
    if root:
        return Path(root)
    folder = folder.resolve()
    for mark in SETTINGS:
        for candidate in (folder, *folder.parents):
            if (candidate / mark).exists():
                return candidate
    return folder


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    return tuple(str(name).strip() for name in value if str(name).strip()) if isinstance(value, list) else ()


def _number(value: object, otherwise: float) -> float:
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return otherwise
