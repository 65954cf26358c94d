"""What a store of datasets promises. It opens no file and no connection.

`disk_store`, `asset_store` and `sklearn_datasets` keep these promises, and `version_lookup.STORES` chooses between
stores. Nothing else knows where versions are kept. How often a holdout has decided is not the store's to know: that
count lies in the tracking store (`holdout_budget`), which everybody who can use the rows shares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notebooks_lib.datasets.dataset_metadata import Metadata

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from notebooks_lib.datasets.table_hashing import Digests

_NAME = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, eq=False)
class VersionContent:
    """The content of one version in a store: its table and its metadata."""

    metadata: Metadata
    table: pa.Table
    """All rows, as `hashing.normalise` returns them."""
    retired: np.ndarray[Any, Any] | None = None
    """Digests (n, 2) of what left the holdout; None when nothing did."""
    digests: Digests | None = None
    """The digests of the rows, where they are known already; None: to be computed from the table."""


class DatasetSource(Protocol):
    """A source of dataset versions, for reading only.

    A version never changes: reading it again gives the same content, or raises DatasetError. A version is visible only
    when it is complete, even while another process adds it or after that process was killed.
    """

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""

    def versions(self, name: str) -> list[int]:
        """Return the numbers of a dataset's versions, oldest first; empty when there is no such dataset."""

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata of a version, without reading its rows.

        Raises DatasetError when the metadata is gone, damaged, or written by a newer nbops. The message says what to
        do.
        """

    def read(self, name: str, version: int) -> VersionContent:
        """Return a version with all of its rows, including the holdout. Only `loader.open_table` calls it.

        Raises DatasetError when a file is gone, cannot be read, or cannot be fetched. A source need not compare the
        rows with the fingerprint: `loader.open_table` does that.
        """

    def origin(self, name: str) -> str:
        """Return a short description of where a dataset comes from, for `nbops data list`."""

    def location(self, name: str, version: int) -> str:
        """Return where a version is stored, such as its folder, for error messages."""

    def remedy(self, name: str, version: int) -> str:
        """Return what to do when a version is damaged, for error messages."""


class DatasetStore(DatasetSource, Protocol):
    """A source of dataset versions to which new versions can be added."""

    @property
    def folder(self) -> Path | None:
        """The folder to copy to another machine that is to read the versions; None when no copy is needed."""

    def next_version(self, name: str) -> int:
        """Return the number for the next version of a dataset. A number is never used twice."""

    def retired(self, name: str, version: int) -> np.ndarray[Any, Any] | None:
        """Return the digests of the rows taken out of a version's holdout, an array (rows, 2); None if there are none.

        Only the digests are read. Raises DatasetError when they are gone or cannot be read.
        """

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Store a version and return True. If its number is taken, store nothing and return False.

        Of several processes that add the same number at once, exactly one gets True; its version survives a power cut.
        A process that is killed meanwhile leaves no version, and the number stays free. Raises DatasetError when the
        version cannot be stored; then nothing was added.
        """


def is_name(text: str) -> bool:
    """Return True if `text` can be a dataset's name, which becomes a folder and part of a tag's key."""
    return _NAME.fullmatch(text) is not None


def from_backup(name: str, version: int) -> str:
    """Return advice for messages: how to repair a damaged version that only this machine has."""
    return f"restore it (from git or a backup), or add the file again as the next version of {name}"
