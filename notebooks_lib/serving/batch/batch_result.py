"""Write the result of a batch: one file, Parquet or CSV by its suffix, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from notebooks_lib import atomic_private_files
from notebooks_lib.errors import BatchError, UsageError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")


def check_output(output: Path) -> None:
    """Raise UsageError unless the result can be written to this path."""
    if output.suffix.lower() not in SUFFIXES:
        near = nearest(output.suffix.lower(), SUFFIXES)
        hint = f", did you mean {output.with_suffix(near).name}?" if near else ""
        raise UsageError(f"-o {output}: expected a file {' or '.join(SUFFIXES)}{hint}")
    if output.is_dir():
        raise UsageError(f"-o {output}: is a folder; name a file in it")
    folder = output.parent
    if not folder.is_dir():
        raise UsageError(f"-o {output}: no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"-o {output}: you may not write to {folder}")


class ResultFile:
    """The file, from the start of a `with` block to its end. An error in the block leaves what was there before."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.rows = 0
        self._writer: Any = None

    def __enter__(self) -> Self:
        """Make the draft beside the file."""
        handle, name = tempfile.mkstemp(
            dir=self.output.parent, prefix=f".{self.output.stem[:40]}-", suffix=f"{self.output.suffix}.tmp"
        )
        self._draft, self._file = Path(name), os.fdopen(handle, "wb")
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows. The first rows decide the types of the columns; raises BatchError for others."""
        import pyarrow as pa

        if self._writer is None:
            table = _storable(table)
            self._writer = self._open(table.schema)
            self._schema = table.schema
        try:
            table = _storable(table).select(self._schema.names).cast(self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
            raise BatchError(
                f"rows from number {self.rows} on have other columns or types than those before: {error}"
            ) from error
        self._writer.write_table(table)
        self.rows += len(table)

    def _open(self, schema: pa.Schema) -> Any:
        from pyarrow import csv, parquet

        if self.output.suffix.lower() == ".csv":
            return csv.CSVWriter(self._file, schema)
        return parquet.ParquetWriter(self._file, schema, compression="zstd")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put the draft in the place of the file, or remove it after an error."""
        try:
            try:
                if self._writer is not None:
                    self._writer.close()
            finally:
                with self._file:
                    if kind is None:
                        self._file.flush()
                        os.fsync(self._file.fileno())
            if kind is None:
                self._draft.chmod(_rights(self.output))
                self._draft.replace(self.output)
                atomic_private_files.sync_folder(self.output.parent)
        except OSError:
            if kind is None:
                raise  # else the error of the block is the cause
        finally:
            with suppress(OSError):
                self._draft.unlink(missing_ok=True)


def _rights(path: Path) -> int:
    """Return the rights of the file that is replaced, or those that a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _storable(table: pa.Table) -> pa.Table:
    """Return a table without types that a later mini-batch may not have: all missing, a category, JSON."""
    import pyarrow as pa

    for place, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, name, column.cast(column.type.value_type))
        elif isinstance(column.type, pa.JsonType) or pa.types.is_null(column.type):
            table = table.set_column(place, name, column.cast(pa.string()))
    return table
