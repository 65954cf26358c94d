"""Which versions of packages nbops pins, by the metadata of its installation. It installs nothing."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from contextlib import suppress


def pins(extra: str = "") -> dict[str, str]:
    """Return name -> version of the packages that nbops pins; with `extra`, also of the packages of that extra."""
    return parse_pins(importlib.metadata.requires("nbops") or (), extra)


def parse_lock(text: str) -> dict[str, str]:
    """Return name -> version of the packages in a lock file, as pip and uv write it."""
    return parse_pins(line.rstrip("\\ ") for line in text.splitlines() if line[:1].isalnum())


def find_other_versions(pins: Mapping[str, str]) -> dict[str, str]:
    """Return name -> installed version of the packages that are installed in another version than the pinned one.

    Packages that are not installed are left out, because no code can have used them.
    """
    others = {}
    for name, pinned in pins.items():
        with suppress(importlib.metadata.PackageNotFoundError):
            installed = importlib.metadata.version(name) or "unknown"
            if not _is_version(installed, pinned):
                others[name] = installed
    return others


def _is_version(installed: str, pinned: str) -> bool:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return installed == pinned or SpecifierSet(f"=={pinned}").contains(installed, prereleases=True)  # 2.3.0+cpu
    except InvalidVersion:
        return False


def parse_pins(requirements: Iterable[str], extra: str = "") -> dict[str, str]:
    """Return name -> version of the requirements that pin one version and apply to this machine.

    `requirements` are lines as `[project] dependencies` has them. Those of an extra count only for `extra`.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    versions = {}
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        clauses = list(requirement.specifier)
        is_pin = len(clauses) == 1 and clauses[0].operator == "==" and not clauses[0].version.endswith(".*")
        if is_pin and (requirement.marker is None or requirement.marker.evaluate({"extra": extra})):
            versions[requirement.name] = clauses[0].version
    return versions
