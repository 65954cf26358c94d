"""Datasets on disk: FOLDER/NAME/VERSION/{table.parquet, dataset.toml}, written once as a whole, and never changed."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from notebooks_lib import atomic_private_files
from notebooks_lib.datasets import version_files
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent, from_backup, is_name
from notebooks_lib.datasets.version_files import VersionFiles
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]

_BUILDING = ".adding-"
_STALE_SECONDS = 24 * 3600.0


class DiskStore:
    """A `DatasetStore` in a folder. Every user with write access can add versions; git or a backup keeps them."""

    def __init__(self, folder: Path, label: str = "", remedy: Callable[[str, int], str] = from_backup) -> None:
        self._folder = folder
        self._label = label or str(folder)
        self._remedy = remedy

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
        taken = self._taken(name)
        return sorted(each for each in taken if (self._version(name, each) / version_files.METADATA).is_file())

    def next_version(self, name: str) -> int:
        """Return the number for the next version: one more than the largest that has a folder."""
        return max(self._taken(name), default=0) + 1

    def origin(self, name: str) -> str:
        """Return the dataset's folder, relative to the project root."""
        return f"{self._label}/{name}"

    def location(self, name: str, version: int) -> str:
        """Return the folder of a version."""
        return str(self._version(name, version))

    def remedy(self, name: str, version: int) -> str:
        """Return how to repair a version: from a backup, or by the remedy of the store."""
        return self._remedy(name, version)

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata in dataset.toml."""
        return self._files(name, version).metadata()

    def read(self, name: str, version: int) -> VersionContent:
        """Return the content of a version, read from its files."""
        return self._files(name, version).content()

    def retired(self, name: str, version: int) -> Array | None:
        """Return the digests of the rows taken out of the holdout, from retired.parquet."""
        files = self._files(name, version)
        return files.retired(files.metadata())

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Write a version into a temporary folder, then rename it to the version's folder, which is atomic."""
        home, target = self._folder / name, self._version(name, version)
        building = home / f"{_BUILDING}{uuid.uuid4().hex}"
        try:
            building.mkdir(parents=True)
            version_files.write(content, lambda file: _durable(building / file))
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

    def remove(self, name: str, version: int) -> None:
        """Remove a version that has another copy elsewhere; a concurrent reader gets all of it or nothing."""
        draft = self._folder / name / f"{_BUILDING}{uuid.uuid4().hex}"
        with suppress(OSError):  # another process was quicker
            self._version(name, version).rename(draft)
            shutil.rmtree(draft, ignore_errors=True)

    def _version(self, name: str, version: int) -> Path:
        return self._folder / name / str(version)

    def _taken(self, name: str) -> list[int]:
        home = self._folder / name
        if not home.is_dir():
            return []
        return [int(entry.name) for entry in home.iterdir() if entry.name.isdecimal() and entry.name.isascii()]

    def _files(self, name: str, version: int) -> VersionFiles:
        folder = self._version(name, version)
        return VersionFiles(lambda file: folder / file, str(folder), self.remedy(name, version))


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    """Open a new file whose content survives a power cut."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _remove_stale(home: Path) -> None:
    """Remove what killed processes left half written, once it is too old to be a running process's."""
    for draft in home.glob(f"{_BUILDING}*"):
        with suppress(OSError):  # its owner finished meanwhile
            if draft.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
