"""A fault in a file under production/azure: where it is, which key is wrong, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors

KeyPath = tuple[str | int, ...]
"""The keys, and the indexes in lists, that lead from the top of a file to a value."""


@dataclass(frozen=True, order=True)
class FileFault:
    """One fault. `key` is empty if the file as a whole is wrong; `text` says what is wrong and what to write."""

    file: Path
    line: int
    key: str
    text: str

    def shown(self, root: Path) -> str:
        """Return the fault as one line, with the path relative to a project's root."""
        file = self.file.relative_to(root) if self.file.is_relative_to(root) else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{file.as_posix()}:{self.line}: {key}{self.text}"


def last_key(path: KeyPath) -> str:
    """Return the end of a path as a fault names it: `instance_type`, or `locations[1]` for an item of a list.

    A key that many mappings have is named with the one above it, such as `scale_settings.type`.
    """
    names = [step for step in path if isinstance(step, str)]
    indexes = path[len(path) - path[::-1].index(names[-1]) :] if names else path
    shown = ".".join(names[-2:] if names[-1:] == ["type"] else names[-1:])
    return shown + "".join(f"[{index}]" for index in indexes)


def unknown_key(key: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """Return what is wrong with an unknown key. `elsewhere` are the keys under which a key of that name would stand."""
    names = sorted(known)
    above = sorted(elsewhere)
    if above:
        return f"does not belong here, indent it under {' or '.join(above)}"
    nearest = errors.nearest(key, names)
    if nearest:
        return f"unknown key, did you mean {nearest}?"
    return f"unknown key, write one of: {', '.join(names)}" if names else "unknown key, take the line out"
