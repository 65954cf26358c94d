"""Writes a table of collected rows in batches: as Parquet or CSV, whole or not at all."""

from __future__ import annotations

import csv
import datetime
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notebooks_lib import errors

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET, CSV = ".parquet", ".csv"
_MARK = b"nbops.collected"
"""Key in the metadata of a Parquet file: the endpoint whose rows it holds."""
_BATCH = 10_000


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch) -> None: ...


def check_output(file: Path, endpoint: str, *, replace: bool) -> None:
    """Raise UsageError for a file that is not to be written: of another kind, or one that is there and not ours.

    A Parquet file that was written for the same endpoint is replaced, any other only with `replace`.
    """
    if file.suffix.lower() not in (PARQUET, CSV):
        raise errors.UsageError(f"-o {file}: expected a name that ends in {PARQUET} or {CSV}")
    if file.is_dir():
        raise errors.UsageError(f"-o {file}: is a folder")
    if file.exists() and not replace and _endpoint_of(file) != endpoint:
        raise errors.UsageError(
            f"-o {file}: exists, and is no Parquet file that was written for {endpoint!r}; name another, or --replace"
        )


def write_table(
    file: Path,
    endpoint: str,
    schema: pa.Schema,
    rows: Iterable[tuple[Mapping[str, Any], int | None]],
    labels: pa.Table | None,
) -> int:
    """Write rows, each with the place of its label in `labels`; return their number. Raises DatasetError if it cannot.

    The last columns of `schema` are those of `labels`.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    written = 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _open(draft, file.suffix.lower(), schema.with_metadata({_MARK: endpoint.encode()})) as writer:
            for batch in _batches(schema, rows, labels):
                writer.write_batch(batch)
                written += len(batch)
        draft.replace(file)
    except OSError as error:
        raise errors.DatasetError(f"{file} cannot be written: {errors.reason(error)}") from error
    finally:
        draft.unlink(missing_ok=True)
    return written


def _batches(
    schema: pa.Schema, rows: Iterable[tuple[Mapping[str, Any], int | None]], labels: pa.Table | None
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    own = schema.names[: len(schema) - (0 if labels is None else labels.num_columns)]
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, _BATCH)):
        arrays = [pa.array([values.get(name) for values, _ in batch], schema.field(name).type) for name in own]
        if labels is not None:
            taken = labels.take(pa.array([place for _, place in batch], pa.int64())).combine_chunks()
            arrays += [column.combine_chunks() for column in taken.columns]
        yield pa.record_batch(arrays, schema=schema)


def _open(draft: Path, suffix: str, schema: pa.Schema) -> AbstractContextManager[_Writer]:
    from pyarrow import parquet

    return parquet.ParquetWriter(draft, schema) if suffix == PARQUET else _csv_writer(draft, schema)


@contextmanager
def _csv_writer(draft: Path, schema: pa.Schema) -> Iterator[_Writer]:
    with draft.open("w", encoding="utf-8", newline="") as file:
        yield _CsvWriter(csv.writer(file, lineterminator="\n"), schema.names)


class _CsvWriter:
    """Writes numbers so that they read back as they were; a missing value is an empty field."""

    def __init__(self, writer: Any, names: list[str]) -> None:
        self._writer = writer
        writer.writerow(names)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        columns = [column.to_pylist() for column in batch.columns]
        self._writer.writerows([_text(value) for value in row] for row in zip(*columns, strict=True))


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def _endpoint_of(file: Path) -> str:
    from pyarrow import ArrowException, parquet

    if file.suffix.lower() != PARQUET:
        return ""
    try:
        metadata = parquet.read_schema(file).metadata or {}
    except (ArrowException, OSError):
        return ""
    return str(metadata.get(_MARK, b"").decode("utf-8", "replace"))
