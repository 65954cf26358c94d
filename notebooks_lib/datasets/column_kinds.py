"""Decide what a column of texts holds: numbers, times, booleans, or text.

A column holds numbers only if writing each number again gives the text that was read. `12.50` is a number with two
decimals; `00501`, `1E5`, `0x1F` and twenty digits that no number holds are text. So no identifier loses anything. Times
are those of ISO 8601, to the microsecond. Other files play no part. A user can name another kind.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError
from notebooks_lib.text_values import BOOLEANS, MISSING

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("integer", "number", "boolean", "text", "time", "instant")
ALIASES: Mapping[str, str] = {"date": "time", "bool": "boolean", "int": "integer", "float": "number", "string": "text"}
NUMBERS = ("integer", "number")

EXACT = 2**53
"""Largest whole number up to which a float holds every whole number."""

_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_PLAIN = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_TIME = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_INSTANT = r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)$"
_ISO = re.compile(rf"{_TIME}|{_INSTANT}", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE][+-][0-9]+)?", re.ASCII)
_CERTAIN = 15
"""Decimal digits that a float always gives back."""
_LONGEST = 400


def parse_number(text: str) -> int | float | None:
    """Return the number in a text; None when the number, in the same notation, would be written differently."""
    if text in ("inf", "-inf"):
        return float(text)
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    if text.lstrip("-").isdecimal() and text != "-0":
        integer = int(text)
        return integer if -(2**63) <= integer < 2**63 else _again(text, 0)
    return _again(text, len(match[1] or ""))


def parse_time(text: str) -> datetime.datetime | None:
    """Return the time in an ISO 8601 text, with its time zone if it has one; None for any other text."""
    if not _ISO.match(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def kind_of(column: pa.ChunkedArray) -> str:
    """Return the kind of a column of texts as read from a file; "empty" when every value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.unique(pc.ascii_trim_whitespace(column.drop_null()))
    missing = pc.is_in(texts, pa.array(sorted(MISSING), texts.type))
    present = texts.filter(pc.invert(missing))
    if not len(present):
        return "empty"
    for kind in ("boolean", "integer", "number", "time", "instant"):
        if _TESTS[kind](present):
            break
    else:
        return "text"
    if kind == "integer" and (column.null_count or len(present) < len(texts)):
        # With missing values the column becomes floats, which hold whole numbers only up to EXACT.
        sizes = pc.abs_checked(present.cast(pa.int64()).filter(pc.not_equal(present, str(-(2**63)))))
        return "integer" if (pc.max(sizes).as_py() or 0) <= EXACT and pc.all(_short(present, 17)).as_py() else "text"
    return kind


def convert_texts(name: str, column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Convert the texts of column `name` to the kind that the user named.

    Raises DatasetError for a text that does not fit.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "text":
        return column
    texts = pc.ascii_trim_whitespace(column)
    texts = pc.if_else(pc.is_in(texts, pa.array(sorted(MISSING), texts.type)), pa.scalar(None, texts.type), texts)
    arrow_type = _TYPES["number" if kind == "integer" and texts.null_count else kind]()
    if kind == "boolean":
        words = pa.array([*BOOLEANS, "1", "0"], texts.type)
        places = pc.index_in(texts, words)
        flags = pa.array([*BOOLEANS.values(), True, False]).take(places.combine_chunks())
        wrong = pc.and_(pc.is_null(flags), pc.is_valid(texts.combine_chunks()))
        if not pc.any(wrong).as_py():
            return pa.chunked_array([flags])
        raise _unfit(name, column, pc.index(wrong, True).as_py(), kind)
    try:
        converted = texts.cast(arrow_type)
        if kind != "integer" or pc.all(pc.equal(pc.floor(converted), converted)).as_py() is not False:
            return converted
    except pa.ArrowInvalid:
        pass  # a value does not fit, or Arrow cannot read its notation
    values = []
    for row, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else _value(text, kind))
        except (ValueError, OverflowError) as error:
            raise _unfit(name, column, row, kind) from error
    return pa.chunked_array([pa.array(values, arrow_type)])


def _unfit(name: str, column: pa.ChunkedArray, row: int, kind: str) -> DatasetError:
    return DatasetError(f"column {name!r}: {column[row].as_py()!r} in row {row + 1} is no {kind}")


def _value(text: str, kind: str) -> Any:
    """Convert a text to a kind that the user names, however it is written. Raises ValueError, OverflowError."""
    if kind in NUMBERS:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text)
        if kind == "number":
            return float(value)
        if value != int(value) or not -(2**63) <= value < 2**63:
            raise ValueError(text)
        return int(value)
    at = datetime.datetime.fromisoformat(text)
    if (at.tzinfo is None) != (kind == "time"):
        raise ValueError(text)
    return at


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a normalised column as text, written as in a CSV file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False").cast(pa.large_string())
    if pa.types.is_timestamp(kind):
        texts = [None if value is None else value.isoformat() for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    return column.cast(pa.large_string())


def _again(text: str, decimals: int) -> float | None:
    value = float(text)
    if repr(value) == text:  # at powers of two the shortest text is not the nearest of that length
        return value
    if "e" not in text.lower():
        return value if f"{value:.{decimals}f}" == text else None
    mark = "e" if "e" in text else "E"
    again = f"{value:.{decimals}{mark}}"
    # JavaScript writes 1e-7, C and Python 1e-07.
    return value if text in (again, re.sub(r"([eE][+-])0(\d)$", r"\1\2", again)) else None


def _short(texts: pa.Array, digits: int) -> Any:
    import pyarrow.compute as pc

    return pc.less_equal(pc.binary_length(texts), digits)


def _all_match(pattern: str) -> Callable[[pa.Array], bool]:
    def test(texts: pa.Array) -> bool:
        import pyarrow.compute as pc

        return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())

    return test


def _are_booleans(texts: pa.Array) -> bool:
    return len(texts) <= len(BOOLEANS) and all(text in BOOLEANS for text in texts.to_pylist())


def _are_integers(texts: pa.Array) -> bool:
    import pyarrow as pa

    try:
        return _all_match(_INTEGER)(texts) and texts.cast(pa.int64()) is not None
    except pa.ArrowInvalid:  # too large
        return False


def _are_numbers(texts: pa.Array) -> bool:
    """Return whether every text is a number; only doubtful texts are tried one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if any(parse_number(text) is None for text in texts[:100].to_pylist()):
        return False
    certain = pc.and_(_short(texts, _CERTAIN), pc.match_substring_regex(texts, _PLAIN))
    doubtful = texts.filter(pc.invert(certain))
    try:
        again = doubtful.cast(pa.float64()).cast(texts.type)
    except pa.ArrowInvalid:
        return False
    doubtful = doubtful.filter(pc.invert(pc.and_(pc.equal(again, doubtful), pc.match_substring_regex(doubtful, r"\."))))
    values = map(parse_number, doubtful.to_pylist())
    return all(value is not None and (isinstance(value, float) or abs(value) <= EXACT) for value in values)


def _are_moments(pattern: str, zone: str | None) -> Callable[[pa.Array], bool]:
    def test(texts: pa.Array) -> bool:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not _all_match(pattern)(texts) or pc.any(pc.starts_with(texts, "0000")).as_py():
            return False
        try:
            return texts.cast(pa.timestamp("us", tz=zone)) is not None
        except pa.ArrowInvalid:
            return False

    return test


_TESTS: Mapping[str, Callable[[Any], bool]] = {
    "boolean": _are_booleans,
    "integer": _are_integers,
    "number": _are_numbers,
    "time": _are_moments(_TIME, None),
    "instant": _are_moments(_INSTANT, "UTC"),
}


def _of(word: str, *options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import pyarrow as pa

        return getattr(pa, word)(*options)

    return make


_TYPES: Mapping[str, Callable[[], Any]] = {
    "integer": _of("int64"),
    "number": _of("float64"),
    "boolean": _of("bool_"),
    "time": _of("timestamp", "us"),
    "instant": _of("timestamp", "us", "UTC"),
}
