"""Read a CSV or Parquet file into a table with the same values either way. It stores nothing."""

from __future__ import annotations

import codecs
import csv
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.datasets import canonical_types, column_kinds
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError, reason

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*_SEPARATORS, ".parquet")
_OTHERS = ";\t|,"
"""Separators that a file may have whose name does not say which."""


@dataclass(frozen=True)
class FileTable:
    """A table read from a file, with the texts that stood in the file."""

    table: pa.Table
    """Normalised."""
    written: pa.Table | None
    """Every value as the text in the file; None for Parquet, whose values have types."""

    def text(self, column: str, row: int) -> str:
        """Return the text of a value exactly as the file has it."""
        table = self.table if self.written is None else self.written
        return repr(table[column][row].as_py())


def read_table(
    file: Path, *, before: Mapping[str, str] | None = None, chosen: Mapping[str, str] | None = None
) -> FileTable:
    """Return the normalised table in `file`.

    In CSV an empty field is missing. NA, NaN, null and the like are missing in columns of numbers, and text elsewhere
    (the country code NA stays). `column_kinds` decides what is a number or a time. `chosen` are kinds that the user
    named. `before` are the kinds of the last version: text stays text, so that a postcode is text in each version.
    Raises UsageError for a file that cannot be read, DatasetError for content that cannot be a dataset.
    """
    before, chosen = before or {}, chosen or {}
    suffix = _check_file(file)
    table = _read_parquet(file) if suffix == ".parquet" else _read_text(file, _SEPARATORS[suffix])
    _check_names(file, table.column_names)
    if not len(table):
        raise DatasetError(f"{file}: has {'columns but ' if table.num_columns else ''}no rows")
    for name in chosen:
        if name not in table.column_names:
            raise UnknownNameError("column", name, table.column_names)
    try:
        plain = canonical_types.normalise(table)
        written = None if suffix == ".parquet" else plain
        return FileTable(_of_kinds(plain, before, chosen, written=written is not None), written)
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from error


def read_as_before(
    file: Path, new: FileTable, recorded: Mapping[str, str], columns: Collection[str], name: str
) -> FileTable:
    """Read the `columns` that assign rows to parts in the way that the first versions of nbops did.

    There a row's part depends on the kinds of the columns, inferred from all values of a file. So the kinds stay as
    `recorded`. A value that does not fit raises an error, because its column would become text and move every row.
    """
    import pyarrow as pa

    parquet = new.written is None
    old = new.table if parquet else canonical_types.normalise(_infer(file, _SEPARATORS[file.suffix.lower()]))
    kinds_now = canonical_types.kinds(old)
    table = new.table
    for column in columns:
        kind = recorded.get(column, kinds_now[column])
        values = old[column]
        if kind == "text" and kinds_now[column] != "text":
            values = column_kinds.as_texts(values) if new.written is None else new.written[column]
        elif kinds_now[column] != kind and not {kinds_now[column], kind} <= {*column_kinds.NUMBERS}:
            if values.null_count < len(values):
                texts = column_kinds.as_texts(values) if new.written is None else new.written[column]
                try:
                    values = column_kinds.convert_texts(column, texts, kind)
                except DatasetError as error:
                    raise DatasetError(
                        f"{file}: {error}, and as such it decides the parts of {name}: as {kinds_now[column]} it would "
                        "move every row; take another --name"
                    ) from error
            else:
                values = pa.chunked_array([pa.nulls(len(values), table[column].type)])
        table = table.set_column(table.column_names.index(column), column, values)
    return FileTable(canonical_types.normalise(table), new.written)


def _of_kinds(table: pa.Table, before: Mapping[str, str], chosen: Mapping[str, str], *, written: bool) -> pa.Table:
    import pyarrow as pa

    for place, name in enumerate(table.column_names):
        column = table[name]
        if name in chosen:
            texts = column if pa.types.is_large_string(column.type) else column_kinds.as_texts(column)
            column = column_kinds.convert_texts(name, texts, chosen[name])
        elif written:
            inferred, recorded = column_kinds.kind_of(column), before.get(name)
            if recorded == "text":
                inferred = "text"
            elif inferred == "empty":
                inferred = recorded or "number"
            elif inferred == "integer" and recorded == "number":
                inferred = recorded
            column = column_kinds.convert_texts(name, column, inferred)
        table = table.set_column(place, name, column)
    return canonical_types.normalise(table)


def _check_file(file: Path) -> str:
    if not file.is_file():
        raise UsageError(f"{file}: {'is a folder, not a file' if file.is_dir() else 'no such file'}")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{file}: files of type {suffix or '(none)'} are not read; give one of {', '.join(SUFFIXES)}")
    if file.stat().st_size == 0:
        raise DatasetError(f"{file}: the file is empty")
    return suffix


def _read_text(file: Path, separator: str) -> pa.Table:
    import pyarrow as pa

    with file.open("rb") as start:
        if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DatasetError(f"{file}: is UTF-16; save the file as UTF-8")
    other = _separator(file, separator)
    if other:
        decimal = ", decimal=','" if other == ";" else ""
        raise DatasetError(
            f"{file}: its line of names looks separated by {other!r}, not {separator!r}: save it with {separator!r}, "
            "with a point in numbers (12.50) and dates as 2026-12-31, as by "
            f"pandas.read_csv({file.name!r}, sep={other!r}{decimal}).to_csv('mended.csv', index=False)"
        )
    _check_quotes(file, separator)
    try:
        table = _infer(file, separator, as_bytes=True)
        names = table.column_names
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{file}: cannot be read as {file.suffix[1:].upper()}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: the line of column names is not UTF-8; save the file as UTF-8") from error
    for place, (name, column) in enumerate(zip(names, table.columns, strict=True)):
        try:
            table = table.set_column(place, name, column.cast(pa.large_string()))
        except pa.ArrowInvalid as error:
            raise DatasetError(f"{file}: column {name!r} is not UTF-8 text; save the file as UTF-8") from error
    return table


def _check_quotes(file: Path, separator: str) -> None:
    """Refuse a quotation mark that does not close its field: Arrow would silently join rows, or drop the mark."""
    with file.open("rb") as binary:
        if not any(b'"' in block for block in iter(lambda: binary.read(1 << 20), b"")):
            return
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        try:
            for _ in reader:
                pass
        except csv.Error as error:
            if "field limit" in str(error):
                return  # a long text
            raise DatasetError(
                f"{file}: line {reader.line_num}: a quotation mark that does not enclose a whole field ({error}); "
                'write one within a text twice, as in "20"" pipe"'
            ) from error


def _infer(file: Path, separator: str, *, as_bytes: bool = False) -> pa.Table:
    """Return the columns with the types that Arrow infers from all of their values, or as they stand there."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    # One block only: Arrow infers types from the first block and fails if a later one disagrees.
    block = min(max(file.stat().st_size + 1, 1 << 16), 2**31 - 1)
    return arrow_csv.read_csv(
        file,
        read_options=arrow_csv.ReadOptions(block_size=block),
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(default_column_type=pa.large_binary() if as_bytes else None),
    )


def _separator(file: Path, expected: str) -> str | None:
    """Return the separator in the first line where it is plainly not the expected one."""
    with file.open("rb") as start:
        line = start.readline(1 << 16).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if len(next(csv.reader([line], delimiter=expected), [])) > 1:
        return None
    return next((mark for mark in _OTHERS if mark != expected and mark in line), None)


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
