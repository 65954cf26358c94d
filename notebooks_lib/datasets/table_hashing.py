"""The content of a table as digests: one for each row, and one fingerprint for all. It opens no file.

Two tables have the same fingerprint when they hold the same values under the same column names, whatever the order of
rows and columns, the file format, the operating system or the pandas version. Hence the rules for a value:

- an integer and a float of equal value are the same (1 and 1.0), -0.0 is 0, NaN, None, NaT and "" are all "missing";
- a category is its text; text is compared in Unicode normal form C;
- a date is midnight of that day; a time with a zone is an instant, without one it is not;
- a text that is exactly how Python writes a number has that number's digest. (The fingerprint still tells them apart.)

Rows are assigned to parts by `folded_digests`. These do not depend on the kind of a column, only on what a value's text
stands for by itself: a column of ids may get its first "A7", one of days its first "tbd", and no other row moves.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib import text_values
from notebooks_lib.datasets import column_kinds
from notebooks_lib.datasets.canonical_types import EPOCH, kind, kinds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ALGORITHM = 1
"""Number of the rules above. Other rules get another number, so that two digests are never equal by accident."""

_ROW_SALT = b"nbops.row.1"
_MISSING, _INTEGER, _FLOAT, _TIME, _INSTANT = range(5)
_BLOCK_CELLS = 1 << 21
_BLANKS = " \t\n\v\f\r"


def row_digests(table: pa.Table, *, block_cells: int = _BLOCK_CELLS) -> np.ndarray[Any, Any]:
    """Return a digest for each row of a normalised table: an array (rows, 2) of unsigned 64-bit integers.

    A digest depends only on the row's values, in the order of the column names. `block_cells` limits the memory: it is
    the number of values, of 16 bytes each, that are held at a time.
    """
    return _row_digests(table, _text_cell, block_cells)


def folded_digests(table: pa.Table, digests: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
    """Return row digests in which texts count as the values they stand for: "0.50" as 0.5, "NA" as missing.

    So a row keeps its digest when another row turns a column of numbers or times into text. `digests` are the
    `row_digests`, if known: they are returned when no column has such texts.
    """
    if digests is not None and not any(_is_folded(column) for column in table.columns):
        return digests
    return _row_digests(table, _folded_cell, _BLOCK_CELLS)


def fingerprint(table: pa.Table, digests: np.ndarray[Any, Any]) -> str:
    """Return the sha256 of a normalised table's content, from its `row_digests`: 64 hexadecimal digits."""
    import numpy as np

    # The kind of whole numbers or of an empty column depends on how a file writes them, so it must not count.
    wide = {
        name: "empty" if table[name].null_count == len(table) else "number" if kind == "integer" else kind
        for name, kind in kinds(table).items()
    }
    header = json.dumps([ALGORITHM, len(table), sorted((_nfc(name), kind) for name, kind in wide.items())])
    ordered = digests[np.lexsort((digests[:, 1], digests[:, 0]))]
    return hashlib.sha256(header.encode("utf-8") + b"\0" + ordered.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Digests:
    """The digests of all rows of a table, each (rows, 2)."""

    plain: np.ndarray[Any, Any]
    """Digests by the kinds of columns: for the fingerprint, and for parts of the first algorithm."""
    folded: np.ndarray[Any, Any]
    """Digests that do not depend on the kinds; mostly equal to `plain`."""

    @classmethod
    def of(cls, table: pa.Table) -> Digests:
        """Return the digests of a normalised table."""
        plain = row_digests(table)
        return cls(plain, folded_digests(table, plain))


def _row_digests(table: pa.Table, cell: Callable[[str], bytes], block_cells: int) -> np.ndarray[Any, Any]:
    import numpy as np

    ordered = table.select(sorted(table.column_names, key=_nfc))
    rows = max(1, block_cells // max(1, table.num_columns))
    joined = b"".join(_digest_block(ordered.slice(at, rows), cell) for at in range(0, len(table), rows))
    return np.frombuffer(joined, dtype=">u8").reshape(-1, 2)


def _digest_block(block: pa.Table, cell: Callable[[str], bytes]) -> bytes:
    import numpy as np

    data = memoryview(np.stack([_cells(column, cell) for column in block.columns], axis=1).tobytes())
    width = 16 * block.num_columns
    blake2b = hashlib.blake2b
    return b"".join(
        blake2b(data[start : start + width], digest_size=16, person=_ROW_SALT).digest()
        for start in range(0, len(data), width)
    )


def _cells(column: pa.ChunkedArray, cell: Callable[[str], bytes]) -> np.ndarray[Any, Any]:
    """Return 16 bytes a value, (rows, 2) in little-endian order: a tag and 64 bits, or the digest of a text."""
    import numpy as np
    import pyarrow as pa

    column_kind = kind(column.type)
    if column_kind in ("text", "boolean"):
        encoded = column_kinds.as_texts(column).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        cells_of_texts = [cell(text) for text in encoded.dictionary.to_pylist()]
        cells_of_texts.append(struct.pack("<qq", _MISSING, 0))
        by_code = np.frombuffer(b"".join(cells_of_texts), dtype="<u8").reshape(-1, 2)
        codes = encoded.indices.fill_null(len(cells_of_texts) - 1).to_numpy(zero_copy_only=False)
        picked: np.ndarray[Any, Any] = by_code[codes]
        return picked
    cells = np.zeros((len(column), 2), dtype="<i8")
    present = column.is_valid().to_numpy()
    if column_kind == "number":
        values = column.fill_null(0.0).to_numpy()
        is_whole = (values == np.floor(values)) & (values >= -(2.0**63)) & (values < 2.0**63)
        integers = np.where(is_whole, values, 0.0).astype("<i8")
        cells[:, 0] = np.where(is_whole, _INTEGER, _FLOAT)
        cells[:, 1] = np.where(is_whole, integers, values.astype("<f8").view("<i8"))
    else:
        cells[:, 0] = {"integer": _INTEGER, "time": _TIME, "instant": _INSTANT}[column_kind]
        cells[:, 1] = column.cast(pa.int64()).fill_null(0).to_numpy()
    cells[~present] = (_MISSING, 0)
    return cells.view("<u8")


def _text_cell(text: str) -> bytes:
    if text[0] in "-0123456789":
        number = _as_number(text)
        if number is not None:
            return number
    return hashlib.blake2b(_nfc(text).encode("utf-8"), digest_size=16).digest()


def _as_number(text: str) -> bytes | None:
    """Return the cell of the number whose Python spelling is this text; None for other texts."""
    try:
        value = int(text) if len(text) < 20 and text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return None
    is_fraction = isinstance(value, float) and math.isfinite(value) and not value.is_integer()
    fits = is_fraction or (isinstance(value, int) and -(2**63) <= value < 2**63)
    return _number_cell(value) if fits and repr(value) == text else None


def _folded_cell(text: str) -> bytes:
    """Return the cell of the value that a text stands for by itself, whatever the rest of its column holds."""
    bare = text.strip(_BLANKS)
    if bare in text_values.MISSING:
        return struct.pack("<qq", _MISSING, 0)
    if bare in text_values.BOOLEANS:
        return _text_cell(str(text_values.BOOLEANS[bare]))
    if bare[0] in "-0123456789i":
        value = column_kinds.parse_number(bare)
        if value is not None:
            return _number_cell(value)
        at = column_kinds.parse_time(bare)
        if at is not None:
            tag = _TIME if at.tzinfo is None else _INSTANT
            since = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)) - EPOCH
            return struct.pack("<qq", tag, since // datetime.timedelta(microseconds=1))
    return _text_cell(text)


def _number_cell(value: float) -> bytes:
    if isinstance(value, int) or (value.is_integer() and -(2.0**63) <= value < 2.0**63):
        return struct.pack("<qq", _INTEGER, int(value))
    return struct.pack("<qd", _FLOAT, value)


def _is_folded(column: pa.ChunkedArray) -> bool:
    """Return whether some text of a column stands for another value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_large_string(column.type):
        return False
    return any(_folded_cell(text) != _text_cell(text) for text in pc.unique(column.drop_null()).to_pylist())


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
