"""Read a table in mini-batches of one size, in the order of its rows: Parquet, CSV, TSV or JSON Lines.

Values stay as they are written: texts in CSV, JSON's own types in JSON Lines.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
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
        """Return the names of the columns; of JSON Lines, those of the first rows. Raises InputError without rows."""
        if self._suffix == ".parquet":
            return self._unique([str(name) for name in self._parquet().schema_arrow.names])
        if self._suffix in _SEPARATORS:
            with self._text() as text:
                return self._unique(next(self._csv_rows(text), []))
        first = next(self.batches(None, 1000), None)
        return list(first.table.column_names) if first is not None else []

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
        """Yield the lines that are not empty, the first of them with the names."""
        csv.field_size_limit(_LONGEST_FIELD)
        reader = csv.reader(text, delimiter=_SEPARATORS[self._suffix], strict=True)
        try:
            yield from (line for line in reader if line)
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

    def _json_batches(self, columns: Collection[str] | None, size: int) -> Iterator[MiniBatch]:
        first = 0
        with self._text() as text:
            lines = (line for line in text if not line.isspace())
            try:
                while chosen := list(islice(lines, size)):
                    yield _of_json_lines(chosen, columns, first)
                    first += len(chosen)
            except UnicodeDecodeError as error:
                raise InputError(f"{self.path}: is not UTF-8 after row {first}: {error.reason}") from error


def _of_json_lines(lines: list[str], columns: Collection[str] | None, first: int) -> MiniBatch:
    import pyarrow as pa

    records: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    for number, line in enumerate(lines, first):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults[number] = f"is not JSON: {reason(error)}"
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            faults[number] = "is not a JSON object"
    found = dict.fromkeys(name for record in records for name in record)
    names = list(found) if columns is None else sorted(columns)
    table = pa.table({name: _json_array([each.get(name) for each in records]) for name in names})
    return MiniBatch(table, _numbers(first, len(lines), faults), faults)


def _numbers(first: int, count: int, faults: Collection[int]) -> Rows:
    """Return the numbers of the rows that can be read."""
    import numpy as np

    return np.setdiff1d(np.arange(first, first + count), list(faults))


def _json_array(values: list[Any]) -> pa.Array:
    """Return values of JSON as a column; those of several types as the JSON that stands for them."""
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float} and all(abs(value) < _EXACT for value in values if type(value) is int):
        values, kinds = [None if value is None else float(value) for value in values], {float}
    if len(kinds) < 2:
        try:
            array = pa.array(values)
            if not pa.types.is_nested(array.type):
                return array
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass
    texts = [None if value is None else json.dumps(value) for value in values]
    return pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(texts, pa.string()))
