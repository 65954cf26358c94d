"""Datasets on disk: FOLDER/NAME/VERSION/{table.parquet, dataset.toml}, written once as a whole, and never changed.

A version with a fresh holdout has `retired.parquet` as well: the digests of rows that may not be in it any more.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from notebooks_lib import atomic_private_files
from notebooks_lib.datasets import canonical_types
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent, is_name, remedy
from notebooks_lib.errors import DatasetError, UsageError, reason

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]

_TABLE = "table.parquet"
_METADATA = "dataset.toml"
_RETIRED = "retired.parquet"
_HALVES = ("high", "low")
_BUILDING = ".adding-"
_STALE_SECONDS = 24 * 3600.0


class DiskStore:
    """A `DatasetStore` in a folder. Every user with write access can add versions; git or a backup keeps them."""

    def __init__(self, folder: Path, label: str = "") -> None:
        self._folder = folder
        self._label = label or str(folder)

    @classmethod
    def of_project(cls, settings: Settings) -> DiskStore:
        """Return the store in the project's data folder."""
        return cls(settings.data_folder, settings.data.folder)

    @property
    def folder(self) -> Path:
        """The folder of all versions."""
        return self._folder

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        if not self._folder.is_dir():
            return []
        entries = (entry.name for entry in self._folder.iterdir())
        return sorted(name for name in entries if is_name(name) and self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Return the numbers of the complete versions, oldest first."""
        return sorted(version for version in self._taken(name) if (self._version(name, version) / _METADATA).is_file())

    def next_version(self, name: str) -> int:
        """Return the number for the next version: one more than the largest that has a folder."""
        return max(self._taken(name), default=0) + 1

    def origin(self, name: str) -> str:
        """Return the dataset's folder, relative to the project root."""
        return f"{self._label}/{name}"

    def location(self, name: str, version: int) -> str:
        """Return the folder of a version."""
        return str(self._version(name, version))

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata in dataset.toml."""
        path = self._version(name, version) / _METADATA
        try:
            return Metadata.from_toml(path.read_text("utf-8"))
        except UsageError as error:
            raise DatasetError(f"{path}: {error}") from error
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: is not a dataset's record: {reason(error)}; {remedy(name)}") from error

    def read(self, name: str, version: int) -> VersionContent:
        """Return the content of a version, read from its files."""
        metadata = self.metadata(name, version)
        table = canonical_types.normalise(self._read_table(name, version, _TABLE))
        return VersionContent(metadata, table, self._read_retired(name, version, metadata))

    def retired(self, name: str, version: int) -> Array | None:
        """Return the digests of the rows taken out of the holdout, from retired.parquet."""
        return self._read_retired(name, version, self.metadata(name, version))

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Write a version into a temporary folder, then rename it to the version's folder, which is atomic."""
        home, target = self._folder / name, self._version(name, version)
        building = home / f"{_BUILDING}{uuid.uuid4().hex}"
        try:
            building.mkdir(parents=True)
            _write_table(building / _TABLE, content.table)
            if content.retired is not None:
                _write_table(building / _RETIRED, _columns(content.retired))
            with _durable(building / _METADATA) as file:
                file.write(content.metadata.to_toml().encode())
            atomic_private_files.sync_folder(building)
            try:
                building.rename(target)
            except OSError:
                if target.exists():
                    return False
                raise
            atomic_private_files.sync_folder(home)
            _remove_stale(home)
            return True
        except OSError as error:
            raise DatasetError(f"{target}: cannot be written, nothing was added: {error.strerror or error}") from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
            with suppress(OSError):  # not empty, or not there
                home.rmdir()

    def _version(self, name: str, version: int) -> Path:
        return self._folder / name / str(version)

    def _taken(self, name: str) -> list[int]:
        home = self._folder / name
        if not home.is_dir():
            return []
        return [int(entry.name) for entry in home.iterdir() if entry.name.isdecimal() and entry.name.isascii()]

    def _read_table(self, name: str, version: int, file: str) -> pa.Table:
        import pyarrow as pa
        from pyarrow import parquet

        path = self._version(name, version) / file
        try:
            return parquet.read_table(path, partitioning=None)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{path}: cannot be read: {reason(error)}; {remedy(name)}") from error

    def _read_retired(self, name: str, version: int, metadata: Metadata) -> Array | None:
        import numpy as np

        if metadata.retired is None:
            return None
        table = self._read_table(name, version, _RETIRED)
        try:
            return np.column_stack([table[half].to_numpy() for half in _HALVES]).astype(np.uint64)
        except KeyError as error:
            path = self._version(name, version) / _RETIRED
            raise DatasetError(f"{path}: holds no digests: {reason(error)}; {remedy(name)}") from error


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    """Open a new file whose content survives a power cut."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _write_table(path: Path, table: pa.Table) -> None:
    from pyarrow import parquet

    with _durable(path) as file:
        parquet.write_table(table.replace_schema_metadata(None), file, compression="zstd")


def _columns(digests: Array) -> pa.Table:
    import pyarrow as pa

    return pa.table({half: digests[:, place].astype("<u8") for place, half in enumerate(_HALVES)})


def _remove_stale(home: Path) -> None:
    """Remove what killed processes left half written, once it is too old to be a running process's."""
    for draft in home.glob(f"{_BUILDING}*"):
        with suppress(OSError):  # its owner finished meanwhile
            if draft.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
