"""The true values of collected rows: a table of labels, found by a key. It is read whole; its keys lie on disk."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.datasets import canonical_types, readers
from notebooks_lib.datasets.column_kinds import NUMBERS, as_texts
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.serving.collected.collected_columns import OWN, CollectedColumns

if TYPE_CHECKING:
    import pyarrow as pa

REQUEST = OWN[0]


@dataclass(frozen=True)
class LabelTable:
    """Labels by a key: a column of the inputs, or `request_id`."""

    file: Path
    key: str
    table: pa.Table
    """The labels without the key."""
    keys: Mapping[str, list[str | None]]
    """Kind of the key, "number" or "text" -> the key of each row, by `key_text`. A CSV file may be read as either."""

    @classmethod
    def read(cls, file: Path, key: str) -> LabelTable:
        """Read labels from a CSV or Parquet file.

        Raises UsageError for a file or key that is not there, DatasetError for content that cannot be a table.
        """
        read = readers.read_table(file)
        if key not in read.table.column_names:
            raise UnknownNameError("key column", key, read.table.column_names, f"{file} must have it")
        table = read.table.drop_columns([key])
        if not table.num_columns:
            raise UsageError(f"{file} has only the key {key!r}; expected a column with labels too")
        column = read.table[key]
        keys: dict[str, list[str | None]] = {}
        if canonical_types.kind(column.type) in NUMBERS:
            keys["number"] = [key_text(value) for value in column.to_pylist()]
            if read.written is not None:
                keys["text"] = [key_text(text) for text in read.written[key].to_pylist()]
        else:
            texts = as_texts(column) if read.written is None else read.written[key]
            keys["text"] = [key_text(text) for text in texts.to_pylist()]
        return cls(file, key, table, keys)

    def index(self, columns: CollectedColumns, database: sqlite3.Connection, *, training: bool) -> LabelIndex:
        """Put the keys into `database`, in the kind that the inputs have.

        Raises UsageError when the inputs lack the key, have it in another kind, or have a column of a label.
        DatasetError for a key with two different labels.
        """
        keys = self._keys_like(columns, training=training)
        repeated, empty = 0, self._empty()
        for place, key in enumerate(keys):
            if key is None or empty[place]:
                continue
            if database.execute("INSERT OR IGNORE INTO label VALUES (?, ?)", (key, place)).rowcount:
                continue
            (first,) = database.execute("SELECT place FROM label WHERE key = ?", (key,)).fetchone()
            if not self.table.slice(first, 1).equals(self.table.slice(place, 1)):
                raise DatasetError(
                    f"{self.file}: rows {first + 1} and {place + 1} have different labels for {self.key} {key!r}; "
                    "leave one of them out"
                )
            repeated += 1
        return LabelIndex(self, database, repeated, keys.count(None), sum(empty))

    def _keys_like(self, columns: CollectedColumns, *, training: bool) -> list[str | None]:
        if self.key not in columns.inputs and self.key != REQUEST:
            raise UnknownNameError("key", self.key, [*columns.inputs, REQUEST], "the requests have no such input")
        ours = set() if training else {columns.own_name(name) for name in (*OWN, *columns.predictions)}
        for name in self.table.column_names:
            if name in columns.inputs or name in ours:
                what = "an input of the requests" if name in columns.inputs else "a column of the collected table"
                raise UsageError(f"{self.file}: column {name!r} is {what} too; rename it, or leave it out")
        is_number = self.key in columns.inputs and columns.inputs[self.key].type in NUMBERS
        kind = "number" if is_number else "text"
        if kind in self.keys:
            return self.keys[kind]
        (other, keys), *_ = self.keys.items()
        example = next((key for key in keys if key), "")
        raise UsageError(
            f"key {self.key!r} is {kind} in the requests and {other} in {self.file}, as {example!r}: "
            "write it there as the requests have it"
        )

    def _empty(self) -> list[bool]:
        """Return which rows have no label at all."""
        import pyarrow as pa
        import pyarrow.compute as pc

        empty = pa.chunked_array([pa.array([True] * len(self.table))])
        for column in self.table.columns:
            empty = pc.and_(empty, pc.is_null(column))
        return list(empty.to_pylist())


@dataclass
class LabelIndex:
    """Finds the label of a key."""

    labels: LabelTable
    database: sqlite3.Connection
    repeated: int
    """Rows of labels that say again what another one says."""
    without_key: int
    empty: int
    """Rows without a label."""
    unused: int = 0
    """Keys that no collected row has."""

    def place(self, key: object) -> int | None:
        """Return the row of labels for a value of the key; None when there is none."""
        text = key_text(key)
        found = (
            None if text is None else self.database.execute("SELECT place FROM label WHERE key = ?", (text,)).fetchone()
        )
        return None if found is None else int(found[0])


def key_text(value: object) -> str | None:
    """Return a key as text, the same for 7 and 7.0; None for a missing one."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
