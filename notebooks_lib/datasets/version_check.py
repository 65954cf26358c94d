"""Compares a version with its metadata: versions are immutable, wherever they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import splits
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import DatasetSource, VersionContent
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.datasets.table_hashing import Digests

    Array = np.ndarray[Any, Any]


def check(content: VersionContent, digests: Digests, source: DatasetSource, name: str, version: int) -> None:
    """Raise DatasetError when a version that `source` gave is not what was added; `digests` are those of its rows."""
    metadata = content.metadata
    actual = splits.version_fingerprint(content.table, digests, metadata)
    if actual != metadata.fingerprint or set(content.table.column_names) != set(metadata.columns):
        raise DatasetError(
            f"{source.location(name, version)}: the content has changed since it was added (fingerprint {actual[:12]}, "
            f"recorded {metadata.fingerprint[:12]}); versions are immutable: {source.remedy(name, version)}"
        )
    check_retired(metadata, content.retired, source, name, version)


def check_retired(metadata: Metadata, retired: Array | None, source: DatasetSource, name: str, version: int) -> None:
    """Raise DatasetError when the digests of the rows that left the holdout are not what was written."""
    if metadata.retired is not None and (retired is None or splits.retired_sha256(retired) != metadata.retired):
        raise DatasetError(
            f"{source.location(name, version)}: the list of rows that left the holdout is not what was written; "
            f"versions are immutable: {source.remedy(name, version)}"
        )
