"""The versions on this machine as one store: those that were added to the project, and those that were pulled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetStore, VersionContent

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MachineStore:
    """A `DatasetStore` of two: versions are added to the first. A number that both have is the first one's."""

    added: DatasetStore
    pulled: DatasetStore

    @property
    def folder(self) -> Path | None:
        """The folder of the versions that were added; another machine pulls the others by itself."""
        return self.added.folder

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        return sorted({*self.added.names(), *self.pulled.names()})

    def versions(self, name: str) -> list[int]:
        """Return the numbers of all versions, oldest first."""
        return sorted({*self.added.versions(name), *self.pulled.versions(name)})

    def next_version(self, name: str) -> int:
        """Return the number for the next version: one that neither has used."""
        return max(self.added.next_version(name), self.pulled.next_version(name))

    def origin(self, name: str) -> str:
        """Return where the latest version of a dataset is."""
        versions = self.versions(name)
        return self._of(name, versions[-1] if versions else 0).origin(name)

    def location(self, name: str, version: int) -> str:
        """Return the folder of a version."""
        return self._of(name, version).location(name, version)

    def remedy(self, name: str, version: int) -> str:
        """Return how to repair a version: one that was pulled is pulled again."""
        return self._of(name, version).remedy(name, version)

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata of a version."""
        return self._of(name, version).metadata(name, version)

    def read(self, name: str, version: int) -> VersionContent:
        """Return the content of a version."""
        return self._of(name, version).read(name, version)

    def retired(self, name: str, version: int) -> Array | None:
        """Return the digests of the rows taken out of the holdout."""
        return self._of(name, version).retired(name, version)

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Add a version to the project, unless its number was pulled."""
        return version not in self.pulled.versions(name) and self.added.add(name, version, content)

    def _of(self, name: str, version: int) -> DatasetStore:
        in_pulled = version not in self.added.versions(name) and version in self.pulled.versions(name)
        return self.pulled if in_pulled else self.added
