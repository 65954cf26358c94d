"""Read a table in mini-batches of one size, in the order of its rows: Parquet, CSV, TSV or JSON Lines.

Values stay as they are written: texts in CSV, JSON's own types in JSON Lines. JSON Lines are read twice, first for the
names and types of all rows, so that a column does not depend on where its mini-batches end.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from notebooks_lib.datasets import loader
from notebooks_lib.errors import InputError, UsageError, reason

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from notebooks_lib.settings import Settings

    Rows = np.ndarray[Any, Any]

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".parquet", *_SEPARATORS, *_JSON_LINES)
_EXACT = 2**53
"""Up to here every whole number is a double of its own."""
_LONGEST_FIELD = 128 * 1024 * 1024


@dataclass(frozen=True)
class MiniBatch:
    """Consecutive rows of a table."""

    table: pa.Table
    """The rows that can be read, with the columns that were asked for."""
    rows: Rows
    """Their numbers in the whole table, from 0."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """Number of a row that cannot be read -> why."""


class BatchInput(Protocol):
    """A table to score."""

    name: str
    """As in messages: a path, or "sales@3"."""
    key: str | None
    """The column that identifies a row, if it is known."""
    no_features: Collection[str]
    """Columns that are known to be no features, such as the target."""
    held_out: int
    """Rows that are not to be scored, because only promotion reads them."""

    def column_names(self) -> list[str]:
        """Return the names of the columns. Raises InputError for a table that cannot be read."""

    def batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        """Yield mini-batches of `size` rows, the last of fewer, with these columns; None means all.

        Raises InputError for a table that cannot be read, or breaks off.
        """


class DatasetInput:
    """A version of a dataset. It is in memory whole: its fingerprint and its holdout depend on all rows."""

    def __init__(self, ref: str, settings: Settings) -> None:
        """Read a version such as "sales@3". Raises what `datasets.load` raises."""
        opened = loader.open_rows(ref, settings)
        self.name = opened.ref
        self.key = opened.metadata.key
        self.no_features: Collection[str] = set(opened.metadata.columns) - set(opened.metadata.features)
        self.held_out = opened.held_out
        self._numbers = opened.numbers
        self._table = opened.table

    def column_names(self) -> list[str]:
        """Return the names of the columns, in the order of the file."""
        return list(self._table.column_names)

    def batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        """Yield mini-batches of the rows that may be scored."""
        names = [name for name in self._table.column_names if columns is None or name in columns]
        table = self._table.select(names)
        for at in range(0, len(self._numbers), size):
            rows = self._numbers[at : at + size]
            yield MiniBatch(table.take(rows), rows)


class FileInput:
    """A table in a file, of which one mini-batch is in memory."""

    key: str | None = None
    no_features: Collection[str] = ()
    held_out = 0

    def __init__(self, path: Path) -> None:
        """Take the path of a file; its suffix names the format. Raises UsageError when there is no such table."""
        self.path = path
        self.name = str(path)
        self._suffix = path.suffix.lower()
        if not path.is_file():
            raise UsageError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
        if self._suffix not in SUFFIXES:
            raise UsageError(f"{path}: expected a file {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")

    def column_names(self) -> list[str]:
        """Return the names of the columns. Raises InputError for a table that cannot be read."""
        if self._suffix == ".parquet":
            return self._unique([str(name) for name in self._parquet().schema_arrow.names])
        if self._suffix in _SEPARATORS:
            with self._text() as text:
                return self._unique(next(self._csv_rows(text), []))
        return list(self._json_types)

    def batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        """Yield mini-batches of `size` rows, the last of fewer, with these columns; None means all.

        Raises InputError for a file that is no table, or that breaks off.
        """
        if self._suffix == ".parquet":
            yield from self._parquet_batches(columns, size)
        elif self._suffix in _SEPARATORS:
            yield from self._csv_batches(columns, size)
        else:
            yield from self._json_batches(columns, size)

    def _unique(self, names: list[str]) -> list[str]:
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InputError(f"{self.path}: column {twice[0]!r} appears twice")
        return names

    def _parquet(self) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(self.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{self.path}: cannot be read as Parquet: {reason(error)}") from error

    def _parquet_batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        import numpy as np
        import pyarrow as pa

        file = self._parquet()
        kept: list[pa.RecordBatch] = []
        first = held = 0
        try:
            names = None if columns is None else [name for name in self.column_names() if name in columns]
            for batch in file.iter_batches(batch_size=size, columns=names):
                kept.append(batch)
                held += len(batch)
                while held >= size:
                    table = pa.Table.from_batches(kept)
                    yield MiniBatch(table.slice(0, size), np.arange(first, first + size))
                    first, held = first + size, held - size
                    kept = table.slice(size).to_batches()
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{self.path}: cannot be read after row {first + held}: {reason(error)}") from error
        if held:
            yield MiniBatch(pa.Table.from_batches(kept), np.arange(first, first + held))

    def _text(self) -> Any:
        return self.path.open(encoding="utf-8-sig", newline="")

    def _csv_rows(self, text: Any) -> Iterator[list[str]]:
        """Yield the lines, the first with the names. An empty one is a missing value if there is a single column."""
        csv.field_size_limit(_LONGEST_FIELD)
        reader = csv.reader(text, delimiter=_SEPARATORS[self._suffix], strict=True)
        columns = 0
        try:
            for line in reader:
                if line or columns == 1:
                    yield line or [""]
                    columns = columns or len(line)
        except csv.Error as error:
            raise InputError(f"{self.path}: line {reader.line_num}: {reason(error)}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: is not UTF-8 after line {reader.line_num}: {error.reason}") from error

    def _csv_batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        import pyarrow as pa

        with self._text() as text:
            lines = self._csv_rows(text)
            names = self._unique(next(lines, []))
            places = [place for place, name in enumerate(names) if columns is None or name in columns]
            first = 0
            while rows := list(islice(lines, size)):
                faults = {
                    number: f"has {len(row)} values; expected {len(names)}, as in the header"
                    for number, row in enumerate(rows, first)
                    if len(row) != len(names)
                }
                cells = list(zip(*(row for row in rows if len(row) == len(names)), strict=True)) or [()] * len(names)
                table = pa.table({names[place]: pa.array(cells[place], pa.string()) for place in places})
                yield MiniBatch(table, _numbers(first, len(rows), faults), faults)
                first += len(rows)

    @cached_property
    def _json_types(self) -> dict[str, pa.DataType]:
        """The columns of JSON Lines, in the order in which their names appear first."""
        kinds: dict[str, set[str]] = {}
        with self._text() as text:
            for line in self._json_lines(text):
                record = _read_record(line)
                for name, value in record.items() if isinstance(record, dict) else ():
                    kinds.setdefault(name, set()).add(_kind(value))
        return {name: _json_type(found) for name, found in kinds.items()}

    def _json_lines(self, text: Any) -> Iterator[str]:
        rows = 0
        try:
            for line in text:
                if not line.isspace():
                    yield line
                    rows += 1
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: is not UTF-8 after row {rows}: {error.reason}") from error

    def _json_batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        types = {name: kind for name, kind in self._json_types.items() if columns is None or name in columns}
        first = 0
        with self._text() as text:
            lines = self._json_lines(text)
            while chosen := list(islice(lines, size)):
                try:
                    batch = _of_json_lines(chosen, types, first)
                except (ValueError, TypeError, OverflowError) as error:  # Arrow's own are among them
                    raise InputError(f"{self.path}: changed while it was read: {reason(error)}") from error
                yield batch
                first += len(chosen)


def _of_json_lines(lines: list[str], types: Mapping[str, pa.DataType], first: int) -> MiniBatch:
    import pyarrow as pa

    records: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    for number, line in enumerate(lines, first):
        record = _read_record(line)
        if isinstance(record, dict):
            records.append(record)
        else:
            faults[number] = record
    table = pa.table({name: _json_array([each.get(name) for each in records], kind) for name, kind in types.items()})
    return MiniBatch(table, _numbers(first, len(lines), faults), faults)


def _read_record(line: str) -> dict[str, Any] | str:
    """Return the object in a line, or why there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {reason(error)}"
    if not isinstance(record, dict):
        return "is not a JSON object"
    if any(not _is_unicode(name) for name in record):
        return "has a name with half a surrogate pair, which is no text"
    return record


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _kind(value: Any) -> str:
    """Return what decides the type of a column."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "exact" if abs(value) < _EXACT else "long" if abs(value) < 2**63 else "other"
    if value is None or isinstance(value, bool | float):
        return type(value).__name__
    return "text" if isinstance(value, str) and _is_unicode(value) else "other"


def _json_type(kinds: Collection[str]) -> pa.DataType:
    """Return the type of a column of JSON; of one with values of several types or nested ones, JSON itself."""
    import pyarrow as pa

    found = set(kinds) - {"NoneType"}
    for fitting, kind in (
        ((), pa.null()),
        (("exact", "long"), pa.int64()),
        (("exact", "float"), pa.float64()),
        (("bool",), pa.bool_()),
        (("text",), pa.string()),
    ):
        if found <= set(fitting):
            return kind
    return pa.json_(pa.string())


def _json_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if not isinstance(kind, pa.JsonType):
        return pa.array(values, kind)
    texts = [None if value is None else json.dumps(value) for value in values]
    return pa.ExtensionArray.from_storage(kind, pa.array(texts, pa.string()))


def _numbers(first: int, count: int, faults: Collection[int]) -> Rows:
    """Return the numbers of the rows that can be read."""
    import numpy as np

    return np.setdiff1d(np.arange(first, first + count), list(faults))
