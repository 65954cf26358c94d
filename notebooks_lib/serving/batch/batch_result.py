"""Write the result of a batch: one file, Parquet or CSV by its suffix, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from notebooks_lib import atomic_private_files
from notebooks_lib.errors import BatchError, UsageError, nearest
from notebooks_lib.serving.batch.batch_scorer import PREDICTION

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
        self._is_csv = output.suffix.lower() == ".csv"
        self._writer: Any = None
        self._written = 0
        self._held: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Make the draft beside the file."""
        handle, name = tempfile.mkstemp(
            dir=self.output.parent, prefix=f".{self.output.stem[:40]}-", suffix=f"{self.output.suffix}.tmp"
        )
        self._draft, self._file = Path(name), os.fdopen(handle, "wb")
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows. Raises BatchError for other columns or types than those of other rows.

        The first predictions decide what columns they have. Rows without any wait on the disk until then.
        """
        table = _storable(table, self._is_csv)
        if self._writer is None and _has_no_predictions(table):
            self._hold(table)
        else:
            if self._writer is None:
                self._begin(table.schema)
            self._append(table)
        self.rows += len(table)

    def _hold(self, table: pa.Table) -> None:
        """Keep rows on the disk, because they may be all rows of a large table."""
        import pyarrow as pa

        if self._held is None:
            self._schema = table.schema
            self._held = tempfile.TemporaryFile(dir=self.output.parent)  # noqa: SIM115 - __exit__ closes it
        with pa.ipc.new_stream(self._held, table.schema) as stream:
            stream.write_table(table)

    def _begin(self, schema: pa.Schema) -> None:
        """Open the file, and write the rows that wait into it."""
        import pyarrow as pa

        self._schema, self._writer = schema, self._open(schema)
        if self._held is not None:
            end = self._held.tell()
            self._held.seek(0)
            while self._held.tell() < end:
                self._append(pa.ipc.open_stream(self._held).read_all())

    def _append(self, table: pa.Table) -> None:
        import pyarrow as pa

        if _has_no_predictions(table):
            table = _with_missing(table, self._schema)
        names, expected = set(table.column_names), set(self._schema.names)
        if names != expected:
            raise BatchError(
                f"rows from number {self._written} on have {', '.join(sorted(names - expected)) or 'no'} where others "
                f"have {', '.join(sorted(expected - names)) or 'none'}: let the model give each row as many values, or "
                "score all rows at once: --mini-batch-size"
            )
        try:
            table = table.select(self._schema.names).cast(self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BatchError(f"rows from number {self._written} on have other types than others: {error}") from error
        self._writer.write_table(table)
        self._written += len(table)

    def _open(self, schema: pa.Schema) -> Any:
        from pyarrow import csv, parquet

        if self._is_csv:
            return csv.CSVWriter(self._file, schema)
        return parquet.ParquetWriter(self._file, schema, compression="zstd")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Put the draft in the place of the file, or remove it after an error."""
        try:
            try:
                if kind is None and self._writer is None and self._held is not None:
                    self._begin(self._schema)
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
            if self._held is not None:
                with suppress(OSError):  # on a disk that is full, closing fails once more
                    self._held.close()
            with suppress(OSError):
                self._draft.unlink(missing_ok=True)


def _rights(path: Path) -> int:
    """Return the rights of the file that is replaced, or those that a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _has_no_predictions(table: pa.Table) -> bool:
    """Return whether all predictions are missing, so that they do not say what columns or type they have."""
    return PREDICTION in table.column_names and table[PREDICTION].null_count == len(table)


def _with_missing(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table without predictions with the columns that others have."""
    import pyarrow as pa

    table = table.drop_columns([PREDICTION])
    for column in schema:
        if column.name == PREDICTION or column.name.startswith(f"{PREDICTION}."):
            table = table.append_column(column, pa.nulls(len(table), column.type))
    return table


def _storable(table: pa.Table, is_csv: bool) -> pa.Table:  # noqa: FBT001
    """Return a table without types that a later mini-batch, or the format, may not have."""
    import pyarrow as pa

    for place, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, name, column.cast(column.type.value_type))
        elif pa.types.is_null(column.type):
            table = table.set_column(place, name, column.cast(pa.string()))
        elif isinstance(column.type, pa.JsonType):
            items = [None if text is None else json.loads(text) for text in column.to_pylist()]
            table = table.set_column(place, name, pa.array(map(_text, items), pa.string()))
        elif is_csv and pa.types.is_nested(column.type):
            table = table.set_column(place, name, pa.array(map(_text, column.to_pylist()), pa.string()))
    return table


def _text(value: Any) -> str | None:
    """Return a value of any type as text: texts as they are, others as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()
