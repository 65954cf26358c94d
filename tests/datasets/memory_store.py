"""A store of datasets in memory: what a second implementation of `DatasetStore` takes, and proof that a folder is not it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np


class MemoryStore:
    def __init__(self) -> None:
        self._contents: dict[str, dict[int, VersionContent]] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> None:
        return None

    def names(self) -> list[str]:
        return sorted(self._contents)

    def versions(self, name: str) -> list[int]:
        return sorted(self._contents.get(name, {}))

    def next_version(self, name: str) -> int:
        return max(self._contents.get(name, {}), default=0) + 1

    def metadata(self, name: str, version: int) -> Metadata:
        return Metadata.from_toml(self.read(name, version).metadata.to_toml())

    def read(self, name: str, version: int) -> VersionContent:
        try:
            return self._contents[name][version]
        except KeyError:
            raise DatasetError(f"{self.location(name, version)}: is not there") from None

    def retired(self, name: str, version: int) -> np.ndarray[Any, Any] | None:
        return self.read(name, version).retired

    def origin(self, name: str) -> str:
        return "memory"

    def location(self, name: str, version: int) -> str:
        return f"memory:{name}/{version}"

    def remedy(self, name: str, version: int) -> str:
        return "start again"

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        with self._lock:
            return self._contents.setdefault(name, {}).setdefault(version, content) is content
