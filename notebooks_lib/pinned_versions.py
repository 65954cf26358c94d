"""Which versions of packages nbops pins, by the metadata of its installation. It installs nothing."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

_COMMENT = re.compile(r"(^|\s)#.*")
_HASH = re.compile(r"\s--hash[=\s]\s*\S+")
_NO_REQUIREMENT = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--no-binary|--only-binary"
    r"|--prefer-binary|--pre|--require-hashes|--use-feature)(\s|=|$)|(-e|--editable)[\s=]\s*(file:)?\./?$"
)
"""Options of a lock file that choose no version, and the project itself, whose code the source fingerprint covers."""
_SOURCE = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--no-binary|--only-binary"
    r"|--prefer-binary|--pre)(\s|=|$)"
)


def pins(extra: str = "") -> dict[str, str]:
    """Return name -> version of the packages that nbops pins; with `extra`, also of the packages of that extra."""
    return parse_pins(importlib.metadata.requires("nbops") or (), extra)


def parse_lock(text: str) -> dict[str, str]:
    """Return name -> version of the packages in a lock file, as pip and uv write it; names are normalized."""
    from packaging.utils import canonicalize_name

    return {canonicalize_name(name): version for name, version in parse_pins(requirement_lines(text)).items()}


def find_unread_lines(text: str) -> list[str]:
    """Return the lines of a lock file that apply here and name no single version: ranges, addresses, other files."""
    from packaging.requirements import InvalidRequirement

    unread = []
    for line in requirement_lines(text):
        try:
            if (pin := _parse_pin(line)) and pin[1] is None:
                unread.append(line)
        except InvalidRequirement:
            unread.append(line)
    return unread


def requirement_lines(text: str) -> Iterator[str]:
    """Yield the lines of a lock file without comments, hashes, and options that choose no version.

    Also those whose marker does not hold on this machine.
    """
    return (line for line in _lines(text) if not _NO_REQUIREMENT.match(line))


def source_options(text: str) -> Iterator[str]:
    """Yield the options of a lock file that say from where its packages come, and which of their files may be taken."""
    return (line for line in _lines(text) if _SOURCE.match(line))


def _lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\[ \t]*\r?\n", " ", text.removeprefix("\ufeff")).splitlines():
        if content := _HASH.sub("", _COMMENT.sub("", line)).strip():
            yield content


def find_other_versions(pins: Mapping[str, str], versions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return name -> installed version of the packages that are installed in another version than the pinned one.

    `versions` are those of another environment than this one. Packages that are not installed are left out, because no
    code can have used them.
    """
    installed = _installed(pins) if versions is None else versions
    return {
        name: installed[name] for name in pins if name in installed and not _is_version(installed[name], pins[name])
    }


def _installed(names: Iterable[str]) -> dict[str, str]:
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name) or "unknown"
    return versions


def _is_version(installed: str, pinned: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return installed == pinned or SpecifierSet(f"=={pinned}").contains(installed, prereleases=True)  # 2.3.0+cpu
    except (InvalidVersion, InvalidSpecifier):
        return False


def parse_pins(requirements: Iterable[str], extra: str = "") -> dict[str, str]:
    """Return name -> version of the requirements that pin one version and apply to this machine.

    `requirements` are lines as `[project] dependencies` has them. Those of an extra count only for `extra`.
    """
    from packaging.requirements import InvalidRequirement

    versions = {}
    for line in requirements:
        with suppress(InvalidRequirement):
            name, version = _parse_pin(line, extra) or ("", None)
            if version is not None:
                versions[name] = version
    return versions


def _parse_pin(line: str, extra: str = "") -> tuple[str, str | None] | None:
    """Return name and version of a requirement; no version unless it pins one, and None if it does not apply here."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return None
    clauses = list(requirement.specifier)
    is_pin = len(clauses) == 1 and clauses[0].operator in ("==", "===") and not clauses[0].version.endswith(".*")
    return requirement.name, clauses[0].version if is_pin else None
