"""The tag by which a run names a dataset that it used: `nbops.dataset.NAME` is "name@version#fingerprint"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from notebooks_lib.errors import DatasetError
from notebooks_lib.tags import Tag

_VERSION = re.compile(r"([a-z0-9_-]+)@(\d+)")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_SHORT = 12


@dataclass(frozen=True)
class DatasetTag:
    """One version of a dataset with the fingerprint that it had. `str` writes the tag's value, `parse` reads it."""

    ref: str
    """"name@version"; any other text where somebody else wrote the tag."""
    fingerprint: str
    """Empty where the tag has none."""

    @classmethod
    def of(cls, name: str, version: int, fingerprint: str) -> Self:
        """Return the tag of a version."""
        return cls(f"{name}@{version}", fingerprint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a tag's value, or its copy in a record, whatever it says; an empty text names no dataset."""
        ref, _, fingerprint = text.partition("#")
        return cls(ref, fingerprint)

    def __str__(self) -> str:
        return f"{self.ref}#{self.fingerprint}" if self.fingerprint else self.ref

    @property
    def short_fingerprint(self) -> str:
        """Return as much of the fingerprint as people are shown."""
        return self.fingerprint[:_SHORT]

    def version(self) -> tuple[str, int]:
        """Return name and number of the version. Raises DatasetError when the tag names none."""
        match = _VERSION.fullmatch(self.ref)
        if match is None or not _FINGERPRINT.fullmatch(self.fingerprint):
            raise DatasetError(f"tag value {str(self)!r} names no dataset; it looks like name@version#fingerprint")
        return match[1], int(match[2])


def of_run(tags: Mapping[str, str]) -> tuple[DatasetTag, ...]:
    """Return what the tags of a run say of its datasets, by name."""
    return tuple(DatasetTag.parse(value) for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX))
