"""The files of one version: dataset.toml, table.parquet and, after a fresh holdout, retired.parquet, wherever they lie.

`retired.parquet` holds the digests of rows that may not be in the holdout any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from notebooks_lib.datasets import canonical_types
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.errors import DatasetError, UsageError, reason

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

METADATA = "dataset.toml"
_TABLE = "table.parquet"
_RETIRED = "retired.parquet"
_HALVES = ("high", "low")


@dataclass(frozen=True)
class VersionFiles:
    """Reads a version from its files. Every fault is a DatasetError of one line that ends with `remedy`."""

    find: Callable[[str], Path | bytearray]
    """Returns a file by its name: where it lies, or its bytes. It may raise an OSError."""
    location: str
    """Where the files lie, for messages."""
    remedy: str
    fingerprint: str | None = None
    """The fingerprint that is recorded elsewhere, such as in a tag; None where it stands in dataset.toml only."""

    def metadata(self) -> Metadata:
        """Return the metadata in dataset.toml."""
        try:
            file = self.find(METADATA)
            content = file if isinstance(file, bytearray) else file.read_bytes()
            metadata = Metadata.from_toml(content.decode("utf-8"))
        except DatasetError:
            raise  # it cannot be fetched
        except UsageError as error:
            raise DatasetError(f"{self.location}/{METADATA}: {error}") from error
        except (OSError, ValueError) as error:
            raise self._fault(METADATA, "is not a dataset's record", error) from error
        if self.fingerprint not in (None, metadata.fingerprint):
            raise DatasetError(
                f"{self.location}: its files are those of another version (fingerprint {metadata.fingerprint[:12]}, "
                f"recorded {str(self.fingerprint)[:12]}); {self.remedy}"
            )
        return metadata

    def content(self) -> VersionContent:
        """Return the whole version."""
        metadata = self.metadata()
        table = canonical_types.normalise(self._table(_TABLE))
        return VersionContent(metadata, table, self.retired(metadata))

    def retired(self, metadata: Metadata) -> Array | None:
        """Return the digests (n, 2) of the rows taken out of the holdout; None if the metadata has none."""
        import numpy as np

        if metadata.retired is None:
            return None
        table = self._table(_RETIRED)
        try:
            return np.column_stack([table[half].to_numpy() for half in _HALVES]).astype(np.uint64)
        except KeyError as error:
            raise self._fault(_RETIRED, "holds no digests", error) from error

    def _table(self, name: str) -> pa.Table:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            file = self.find(name)
            source = pa.BufferReader(file) if isinstance(file, bytearray) else file
            return parquet.read_table(source, partitioning=None)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._fault(name, "cannot be read", error) from error

    def _fault(self, name: str, what: str, error: Exception) -> DatasetError:
        return DatasetError(f"{self.location}/{name}: {what}: {reason(error)}; {self.remedy}")


def write(content: VersionContent, open_file: Callable[[str], AbstractContextManager[BinaryIO]]) -> None:
    """Write a version into the files that `open_file` makes by their names; dataset.toml comes last."""
    with open_file(_TABLE) as file:
        _write_table(file, content.table)
    if content.retired is not None:
        with open_file(_RETIRED) as file:
            _write_table(file, _columns(content.retired))
    with open_file(METADATA) as file:
        file.write(content.metadata.to_toml().encode())


def _write_table(file: BinaryIO, table: pa.Table) -> None:
    from pyarrow import parquet

    parquet.write_table(table.replace_schema_metadata(None), file, compression="zstd")


def _columns(digests: Array) -> pa.Table:
    import pyarrow as pa

    return pa.table({half: digests[:, place].astype("<u8") for place, half in enumerate(_HALVES)})
