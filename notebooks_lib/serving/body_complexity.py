"""Refuse a short body that would take long to read, before it is parsed, in time linear in its length.

16 MB of JSON may be five million empty lists, and 60 kB of CSV a header that repeats one name 15,000 times. A body that
passes is parsed in a fraction of a second. This matters because a thread that parses cannot be stopped.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.models.input_schema import Column

VALUES = 300_000
"""Values in a body, and cells of the table made of it."""
DEPTH = 32
"""Nesting of lists and objects, where the model's signature does not limit it."""
DIGITS = 400
"""Consecutive digits in JSON outside of strings; the largest double has 309."""
COLUMNS = 20_000
"""Columns for a model without named ones; otherwise as many as the model has."""
NAME = 1000
"""Characters of a column's name in CSV."""
BLOCK = 1 << 20
"""Bytes of JSON that are looked at together, which bounds the memory that it takes."""

_SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
_SEND_FEWER = "send fewer rows at once"
_SPARE = 100  # surplus columns that are still read, so that the message can name them


def check_body(kind: str, body: bytes, columns: Sequence[Column], *, block: int = BLOCK) -> None:
    """Raise InputError when a request body exceeds a limit on values, nesting, digits or columns.

    `kind` is its media type. JSON is read `block` bytes at a time.
    """
    if kind == "text/csv":
        _check_csv(body, columns)
    else:
        _check_json(body, _depth(columns), block)


def check_cells(key: str, value: Any, columns: Sequence[Column]) -> None:
    """Raise InputError if a small body describes a large table. `key` and `value` are its format and its rows.

    Rows as objects need not hold every column: a row of 1,000 columns and 100,000 empty ones make 100 million cells.
    MLflow also rejects objects for a tensor without a name, but writes every number of them into its message.
    """
    unnamed = bool(columns) and all(column.name is None for column in columns)
    if (
        unnamed
        and key in ("inputs", "instances")
        and isinstance(value, list)
        and any(isinstance(r, dict) for r in value)
    ):
        raise InputError(f"{key} holds objects; the model's input has no names: send lists of numbers")
    if isinstance(value, Mapping) and key != "dataframe_split":
        lengths = [len(items) if isinstance(items, list) else 1 for items in value.values()]
        _refuse_cells(max(lengths, default=0), len(lengths))
    elif isinstance(value, list) and any(isinstance(row, dict) for row in value):
        names: set[Any] = set()
        for row in value:
            if isinstance(row, dict):
                names.update(row)
        _refuse_cells(len(value), len(names))


def _refuse_cells(rows: int, width: int) -> None:
    if rows * width > VALUES:
        raise InputError(f"{rows} rows of {width} columns are {rows * width} cells; at most {VALUES}: {_SEND_FEWER}")


def _depth(columns: Sequence[Column]) -> int:
    """Return how deep a request may nest: a table's cell lies four deep; two more, for the message about a wrong
    cell.
    """
    if not columns or any(column.type not in _SCALARS for column in columns if column.shape is None):
        return DEPTH
    return 6 + max(len(column.shape or ()) for column in columns)


def _check_json(body: bytes, deepest: int, size: int) -> None:
    import numpy as np

    # After this each quotation mark begins or ends a string. JSON allows a backslash in strings only; elsewhere every
    # parser stops at it.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    values, depth, run, inside = 1, 0, 0, np.uint8(0)
    for start in range(0, len(body), size):
        block = np.frombuffer(body, np.uint8, min(size, len(body) - start), start)
        texts = np.cumsum(block == ord('"'), dtype=np.uint8) + inside
        inside = texts[-1] & np.uint8(1)
        outside = (texts & 1) == 0
        opens = outside & ((block == ord("[")) | (block == ord("{")))
        closes = outside & ((block == ord("]")) | (block == ord("}")))
        values += int(np.count_nonzero(outside & (block == ord(",")))) + int(np.count_nonzero(opens))
        if values > VALUES:
            raise InputError(f"the body holds more than {VALUES} values; {_SEND_FEWER}")
        levels = depth + np.cumsum(opens.astype(np.int32) - closes)
        depth = int(levels[-1])
        if int(levels.max()) > deepest:
            raise InputError(f"the body is nested too deeply: more than {deepest} lists or objects inside each other")
        longest, run = _longest_run(outside & (block >= ord("0")) & (block <= ord("9")), run)
        if longest > DIGITS:
            raise InputError(f"a number has more than {DIGITS} digits")


def _longest_run(digits: np.ndarray[Any, Any], before: int) -> tuple[int, int]:
    """Return the longest run of True, and the run that ends the block; `before` is the run that ended the last
    block.
    """
    import numpy as np

    others = np.flatnonzero(~digits)
    if not len(others):
        return before + len(digits), before + len(digits)
    inner = int(np.diff(others).max(initial=1)) - 1
    return max(before + int(others[0]), inner), len(digits) - 1 - int(others[-1])


def _check_csv(body: bytes, columns: Sequence[Column]) -> None:
    named = sum(column.name is not None for column in columns)
    width = named or COLUMNS
    head = _first_record(body, (width + _SPARE) * (NAME + 3))
    if head.count(b",") >= width + _SPARE:
        raise InputError(f"text/csv: the header has more than {width} columns")
    try:
        names = next(csv.reader([head.decode("utf-8-sig", "replace")], strict=False), [])
    except csv.Error as error:
        raise InputError(f"text/csv: the header cannot be read: {error}") from error
    column_names: set[str] = set()
    for name in names:
        if len(name) > NAME:
            raise InputError(f"text/csv: a column's name has {len(name)} characters; at most {NAME}")
        if name in column_names:
            raise InputError(f"text/csv: column {name!r} appears twice in the header")
        column_names.add(name)
    lines = body.count(b"\n") + body.count(b"\r") + 1
    commas = body.count(b",")
    # Short rows are padded: each line counts with the width of the header.
    if commas + lines > VALUES or lines * max(len(names), 1) > 2 * VALUES:
        raise InputError(f"the body holds more than {VALUES} values; {_SEND_FEWER}")


def _first_record(body: bytes, longest: int) -> bytes:
    """Return the header: everything up to the first line end outside of quotation marks."""
    place = 0
    for mark in re.finditer(rb'"[^"]*"?|[\r\n]', body[: longest + 1]):
        if mark[0] in (b"\r", b"\n"):
            head = body[place : mark.start()]
            if head.strip(b" \t\xef\xbb\xbf"):
                return head
            place = mark.end()
    if len(body) - place > longest:
        raise InputError(f"text/csv: the header is longer than {longest} bytes")
    return body[place:]
