"""Reads the file that a user adds, CSV or Parquet, into a table with the same values either way. It stores nothing."""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.errors import DatasetError, UsageError, reason
from notebooks_lib.tracking.datasets import content

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*_SEPARATORS, ".parquet")


def read(file: Path) -> pa.Table:
    """The normalised table in `file`.

    In CSV an empty field is missing; NA, NaN, null and the like are missing in columns of numbers and text elsewhere
    (a country code NA stays one). Dates and times are recognised in ISO 8601 form.
    Raises UsageError for a file that is none, DatasetError for one whose content cannot be a dataset.
    """
    if not file.is_file():
        raise UsageError(f"{file}: {'is a folder, not a file' if file.is_dir() else 'no such file'}")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{file}: files of type {suffix or '(none)'} are not read; give one of {', '.join(SUFFIXES)}")
    if file.stat().st_size == 0:
        raise DatasetError(f"{file}: the file is empty")
    table = _read_parquet(file) if suffix == ".parquet" else _read_text(file, _SEPARATORS[suffix])
    _check_names(file, table.column_names)
    if not len(table):
        raise DatasetError(f"{file}: has {'columns but ' if table.num_columns else ''}no rows")
    try:
        return content.normalise(table)
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from error


def _read_text(file: Path, separator: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    with file.open("rb") as start:
        if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DatasetError(f"{file}: is UTF-16; save the file as UTF-8")
    # One block: types are inferred from a block, and a second one that disagrees with the first is an error.
    block = min(max(file.stat().st_size + 1, 1 << 16), 2**31 - 1)
    try:
        table = csv.read_csv(
            file,
            read_options=csv.ReadOptions(block_size=block),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        )
        names = table.column_names
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{file}: cannot be read as {file.suffix[1:].upper()}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: the line of column names is not UTF-8; save the file as UTF-8") from error
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            raise DatasetError(f"{file}: column {name!r} is not UTF-8 text; save the file as UTF-8")
    if len(names) == 1 and (other := [mark for mark in ";\t|" if mark in names[0]]):
        raise DatasetError(
            f"{file}: has a single column {names[0]!r}; it looks separated by {other[0]!r}: save it with {separator!r}"
        )
    return table


def _read_parquet(file: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Without partitioning: a folder above that is called a=1 is no column.
        return parquet.read_table(file, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{file}: cannot be read as Parquet: {reason(error)}") from error


def _check_names(file: Path, names: list[str]) -> None:
    for position, name in enumerate(names, 1):
        if not name.strip() or name.startswith("__index_level_"):
            raise DatasetError(
                f"{file}: column {position} has no name; an index that pandas saved? write the file with index=False"
            )
    counts = Counter(unicodedata.normalize("NFC", name) for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DatasetError(f"{file}: column name(s) used more than once: {', '.join(map(repr, twice))}; rename them")
