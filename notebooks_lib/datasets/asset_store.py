"""Datasets in an Azure ML workspace: a version is a folder asset of the same name and version, with the same files.

Its files lie in the workspace's default datastore, in a folder named by the hash of their content. So an upload that
was cut goes on at the next try, and two people who push other content never write into one folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from notebooks_lib.datasets import version_files
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent, is_name
from notebooks_lib.datasets.version_files import VersionFiles
from notebooks_lib.errors import AzureError, DatasetError
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.azure.assets.data_asset import DataAsset
    from notebooks_lib.azure.client.rest_client import RestClient
    from notebooks_lib.azure.client.workspace import Workspace
    from notebooks_lib.settings import Settings

    Array = np.ndarray[Any, Any]

_TAG_LENGTH = 256
"""Characters of a tag's value at most; columns with longer names are shortened there."""


@dataclass(frozen=True)
class AssetStore:
    """A `DatasetStore` in a workspace. It keeps nothing on this machine."""

    workspace: Workspace

    @classmethod
    def of_project(cls, settings: Settings) -> AssetStore:
        """Return the store in the project's workspace. Raises SettingsError when none is named."""
        from notebooks_lib.azure.client.workspace import find_workspace

        return cls(find_workspace(settings))

    @property
    def folder(self) -> None:
        """None: every machine that can sign in reads the versions from the workspace."""
        return

    def names(self) -> list[str]:
        """Return the names of the data assets that have versions of nbops, sorted."""
        from notebooks_lib.azure.assets import data_asset

        with _as_dataset_error(f"the datasets of {self} cannot be listed"):
            names = [name for name in data_asset.list_names(self._client, self.workspace) if is_name(name)]
        return sorted(name for name in names if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Return the numbers of the versions that nbops pushed and nobody archived."""
        return sorted(int(asset.version) for asset in self._assets(name) if _is_ours(asset))

    def next_version(self, name: str) -> int:
        """Return the number after the largest of any asset, also of archived ones and those that nbops did not make."""
        numbers = [int(asset.version) for asset in self._assets(name, archived=True) if _is_number(asset.version)]
        return max(numbers, default=0) + 1

    def metadata(self, name: str, version: int) -> Metadata:
        """Return the metadata, without downloading the rows."""
        return self._files(name, version).metadata()

    def read(self, name: str, version: int) -> VersionContent:
        """Download a version into memory."""
        return self._files(name, version).content()

    def retired(self, name: str, version: int) -> Array | None:
        """Return the digests of the rows taken out of the holdout."""
        files = self._files(name, version)
        return files.retired(files.metadata())

    def origin(self, name: str) -> str:
        """Return which workspace has the dataset."""
        return str(self)

    def location(self, name: str, version: int) -> str:
        """Return name and version of the asset."""
        return f"data asset {name}:{version} in {self}"

    def remedy(self, name: str, version: int) -> str:
        """Return advice for an asset whose files are damaged."""
        return "push the same content as a new version from where it is undamaged: nbops data add, then data push"

    def add(self, name: str, version: int, content: VersionContent) -> bool:
        """Upload the files that are not there yet, then make the asset, which is one request and shows them all."""
        from notebooks_lib.azure.assets import data_asset
        from notebooks_lib.azure.storage import file_upload
        from notebooks_lib.azure.storage.datastore import default_datastore

        if self._find(name, version) is not None:
            return False
        files = _encoded(content)
        path = f"nbops/datasets/{name}/{_digest(files)}"
        with _as_dataset_error(f"{name}@{version} cannot be pushed to {self}"):
            datastore = default_datastore(self._client, self.workspace)
            file_upload.upload(datastore.folder(path), files)
            asset = data_asset.DataAsset(
                name, str(version), datastore.uri(path), _tags(content.metadata), content.metadata.description
            )
            return data_asset.create_asset(self._client, self.workspace, asset)

    def __str__(self) -> str:
        return f"workspace {self.workspace.name!r}"

    @cached_property
    def _client(self) -> RestClient:
        from notebooks_lib.azure.client import rest_client

        return rest_client.resource_manager()

    def _assets(self, name: str, *, archived: bool = False) -> list[DataAsset]:
        from notebooks_lib.azure.assets import data_asset

        with _as_dataset_error(f"the versions of {name} in {self} cannot be listed"):
            return list(data_asset.list_versions(self._client, self.workspace, name, archived=archived))

    def _find(self, name: str, version: int) -> DataAsset | None:
        from notebooks_lib.azure.assets import data_asset

        with _as_dataset_error(f"{name}@{version} cannot be looked up in {self}"):
            return data_asset.find_asset(self._client, self.workspace, name, str(version))

    def _files(self, name: str, version: int) -> VersionFiles:
        from notebooks_lib.azure.storage import datastore, file_download

        asset = self._find(name, version)
        if asset is None or not _is_ours(asset):
            reason = "is not there" if asset is None else "was not made by nbops: it has no fingerprint among its tags"
            raise DatasetError(f"{self.location(name, version)}: {reason}")
        with _as_dataset_error(f"{name}@{version} cannot be read from {self}"):
            folder = datastore.folder_of(self._client, self.workspace, asset.uri)

        def find(file: str) -> bytearray:
            with _as_dataset_error(f"{name}@{version} cannot be read from {self}"):
                return file_download.download(folder, file)

        fingerprint = asset.tags[Tag.FINGERPRINT]
        return VersionFiles(find, self.location(name, version), self.remedy(name, version), fingerprint)


@contextmanager
def _as_dataset_error(what: str) -> Iterator[None]:
    """Turn Azure's failures into what a store promises: DatasetError of one line, with the next step."""
    try:
        yield
    except AzureError as error:
        raise DatasetError(f"{what}: {error}") from error


class _Kept(BytesIO):
    """A file in memory that keeps its content when it is closed."""

    content = b""

    def close(self) -> None:
        """Keep the content."""
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def _encoded(content: VersionContent) -> dict[str, bytes]:
    files: dict[str, _Kept] = {}

    def open_file(name: str) -> BinaryIO:
        files[name] = _Kept()
        return files[name]

    version_files.write(content, open_file)
    return {name: file.content for name, file in files.items()}


def _digest(files: dict[str, bytes]) -> str:
    """Return the hash of names and contents."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def _tags(metadata: Metadata) -> dict[str, str]:
    roles = {f"{Tag.ROLE_PREFIX}{role}": column[:_TAG_LENGTH] for role, column in metadata.roles.items()}
    return {Tag.FINGERPRINT: metadata.fingerprint, Tag.ROWS: str(metadata.rows), **roles}


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal() and str(int(version)) == version


def _is_ours(asset: DataAsset) -> bool:
    return _is_number(asset.version) and Tag.FINGERPRINT in asset.tags
