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
    """A version of a dataset, with its fingerprint, as a run's tag holds it.

    `str` returns the tag's value; `parse` reads it.
    """

    ref: str
    """"name@version"; any other text if another tool wrote the tag."""
    fingerprint: str
    """Empty where the tag has none."""

    @classmethod
    def of(cls, name: str, version: int, fingerprint: str) -> Self:
        """Return the tag for version `version` of the dataset `name`."""
        return cls(f"{name}@{version}", fingerprint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value of a tag. Any text is accepted; `version` raises an error if it names no dataset."""
        ref, _, fingerprint = text.partition("#")
        return cls(ref, fingerprint)

    def __str__(self) -> str:
        return f"{self.ref}#{self.fingerprint}" if self.fingerprint else self.ref

    @property
    def short_fingerprint(self) -> str:
        """The first characters of the fingerprint, for display."""
        return self.fingerprint[:_SHORT]

    def version(self) -> tuple[str, int]:
        """Return the dataset's name and version number. Raises DatasetError when the tag holds no valid version."""
        match = _VERSION.fullmatch(self.ref)
        if match is None or not _FINGERPRINT.fullmatch(self.fingerprint):
            raise DatasetError(f"tag value {str(self)!r} names no dataset; it looks like name@version#fingerprint")
        return match[1], int(match[2])


def of_run(tags: Mapping[str, str]) -> tuple[DatasetTag, ...]:
    """Return the dataset tags among the tags of a run, sorted by dataset name."""
    return tuple(DatasetTag.parse(value) for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX))
