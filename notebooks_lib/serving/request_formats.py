"""Read a request in one of MLflow's formats or Azure's, and check it against the model's columns. It predicts nothing.

It refuses what MLflow refuses, and some requests that MLflow accepts silently: with unused keys or columns, without
rows, with 1.5 where the model takes whole numbers. Accepted requests get the answer that MLflow gives.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib.errors import InputError, nearest, reason
from notebooks_lib.models.input_schema import Column
from notebooks_lib.old_names import forwarding
from notebooks_lib.serving import body_complexity

MLFLOW = ("dataframe_split", "dataframe_records", "instances", "inputs")
AZURE = "input_data"
FORMATS = (*MLFLOW, AZURE)
PARAMS = "params"

_EXPECTED = f"expected an object with exactly one of {', '.join(FORMATS)}"
_SPLIT = ("columns", "index", "data")
_LONGEST_LIST = 20
_MOST_COMPARED = 1000
_BRIEF = reprlib.Repr()  # short, however deep or long the value is that a client sent
_BRIEF.maxstring = _BRIEF.maxother = 60


@dataclass(frozen=True)
class PredictionRequest:
    """A prediction request in MLflow's format."""

    payload: dict[str, Any]
    """Has exactly one of MLflow's four keys."""
    params: dict[str, Any]


def read_request(body: bytes, columns: Sequence[Column], params: Sequence[Column] = ()) -> PredictionRequest:
    """Read the request in a JSON body.

    Raises InputError, naming the field and what is expected, when it does not fit the columns or `params`.
    """
    payload = decode(body)
    params_sent = payload.pop(PARAMS, None) if PARAMS in payload else {}
    keys = [key for key in payload if key in FORMATS]
    extra = [key for key in payload if key not in FORMATS]
    if len(keys) > 1:
        raise InputError(f"found {_names(keys)} together; {_EXPECTED}")
    if extra:
        near = nearest(extra[0], FORMATS) if not keys else None
        hint = f", did you mean {near!r}?" if near else ""
        raise InputError(f"unknown key {_names(extra)}{hint}; {_EXPECTED}")
    if not keys:
        raise InputError(f"the object has no key; {_EXPECTED}")
    key, value = _as_mlflow(keys[0], payload[keys[0]], columns)
    body_complexity.check_cells(key, value, columns)
    _check(keys[0], key, value, columns)
    return PredictionRequest({key: value}, check_params(params_sent, params))


def decode(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises InputError when the body is not JSON in UTF-8, or not an object."""
    try:
        # Decoded here: from bytes, json.loads also reads UTF-16, and `body_complexity` has checked UTF-8 only.
        payload = json.loads(body.decode("utf-8-sig"))
    except RecursionError as error:
        raise InputError("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:
        raise InputError(f"the body is not JSON: {reason(error)}; {_EXPECTED}") from error
    if not isinstance(payload, dict):
        raise InputError(f"the body is {_json_type(payload)}; {_EXPECTED}")
    return payload


def check_names(columns_sent: Iterable[Any], columns: Sequence[Column]) -> None:
    """Raise InputError, naming the columns, if columns of the model are missing or unknown ones were sent."""
    names = dict.fromkeys(column.name for column in columns if column.name is not None)
    if not names:
        return
    columns_sent = list(columns_sent)
    sent = set(columns_sent)
    missing = [column.name for column in columns if column.required and column.name not in sent]
    extra = [name for name in columns_sent if name not in names]
    problems = []
    if missing:
        problems.append(f"missing {_columns(missing)}")
    if extra:
        unused = [str(name) for name in names if name not in sent]
        near = nearest(str(extra[0]), unused[:_MOST_COMPARED]) if unused else None
        problems.append(f"unknown {_columns(extra)}" + (f", did you mean {near!r}?" if near else ""))
    if problems:
        raise InputError(f"{'; '.join(problems)}; the model takes {describe_format(columns)}")


def describe_format(columns: Sequence[Column]) -> str:
    """Describe the columns that a model takes, with their types, for a message."""
    shown = [_describe_column(column) for column in columns[:_LONGEST_LIST]]
    more = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "anything (it has no signature)"


def _describe_column(column: Column) -> str:
    shape = "" if column.shape is None else f" of shape {list(column.shape)}"
    optional = "" if column.required else ", optional"
    kind = f"{column.type}{shape}{optional}"
    return f"{column.name} ({kind})" if column.name is not None else kind


def _as_mlflow(key: str, value: Any, columns: Sequence[Column]) -> tuple[str, Any]:
    """Translate Azure's single key to one of MLflow's four keys, by the form of its value."""
    if key != AZURE:
        return key, value
    named = _named_table(columns)
    if isinstance(value, dict):
        if "data" not in value or "data" in named:
            return "inputs", value  # named tensors or columns
        return "dataframe_split", value if "columns" in value or not named else {"columns": named, **value}
    if not isinstance(value, list):
        raise InputError(f"{AZURE} is {_json_type(value)}; expected an object with columns, index and data, or a list")
    if value and all(isinstance(row, dict) for row in value):
        return "dataframe_records", value
    if not named:
        return "inputs", value
    if not all(isinstance(row, list) for row in value):
        raise InputError(f"{AZURE} is a list of single values; expected a list of rows with {describe_format(columns)}")
    for number, row in enumerate(value):
        if len(row) != len(named):
            raise InputError(
                f"{AZURE}: row {number} has {len(row)} values; expected {len(named)}: {describe_format(columns)}"
            )
    return "dataframe_split", {"columns": named, "data": value}


def _check(where: str, key: str, value: Any, columns: Sequence[Column]) -> None:
    """Check the value of `key`, one of MLflow's; `where` is the key that the client sent, for messages."""
    if key == "dataframe_split":
        _check_split(where, value, columns)
    elif key == "dataframe_records":
        _check_records(where, value, columns)
    elif isinstance(value, list | dict) and not value:
        raise InputError(f"{where} is empty; expected at least one row")
    elif isinstance(value, dict):
        check_names(value, columns)
        _check_lengths(where, value, columns)
        _check_types(((name, items if isinstance(items, list) else [items]) for name, items in value.items()), columns)
    elif isinstance(value, list) and all(isinstance(row, dict) for row in value):
        _check_records(where, value, columns)
    elif len(_named_table(columns)) > 1:
        raise InputError(f"{where} has rows without column names; expected objects with {describe_format(columns)}")
    elif value is None:
        raise InputError(f"{where} is null; expected {describe_format(columns)}")


def _check_lengths(where: str, value: Mapping[str, Any], columns: Sequence[Column]) -> None:
    """Check that the columns of a table have equally many values; named tensors need not."""
    table = _named_table(columns)
    lengths = [(name, len(items)) for name, items in value.items() if name in table and isinstance(items, list)]
    for name, length in lengths[1:]:
        first, expected = lengths[0]
        if length != expected:
            raise InputError(f"{where}: column {name!r} has {length} values; expected {expected}, as column {first!r}")


def _check_split(where: str, value: Any, columns: Sequence[Column]) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {_json_type(value)}; expected an object with columns, index (optional) and data")
    unknown = [key for key in value if key not in _SPLIT]
    if unknown:
        raise InputError(f"{where}: unknown key {_names(unknown)}; expected columns, index (optional) and data")
    data, index, names = value.get("data"), value.get("index"), value.get("columns")
    if not isinstance(data, list):
        raise InputError(
            f"{where}.data is {_json_type(data) if 'data' in value else 'missing'}; expected a list of rows"
        )
    if not data:
        raise InputError(f"{where}.data is empty; expected at least one row")
    for number, row in enumerate(data):
        if not isinstance(row, list):
            raise InputError(f"{where}.data: row {number} is {_json_type(row)}; expected a list of values")
    if index is not None and not (isinstance(index, list) and all(_is_label(item) for item in index)):
        raise InputError(f"{where}.index: expected a list with a number or text for each row")
    if index is not None and len(index) != len(data):
        raise InputError(f"{where}.index has {len(index)} entries; expected {len(data)}, one for each row")
    if names is None:
        if _named_table(columns):
            raise InputError(f"{where}.columns is missing; expected the names of {describe_format(columns)}")
        return
    if not (isinstance(names, list) and all(_is_label(name) for name in names)):
        raise InputError(f"{where}.columns: expected a list of column names")
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(f"{where}.columns: {_names(repeated[:1])} appears twice")
    for number, row in enumerate(data):
        if len(row) != len(names):
            raise InputError(f"{where}.data: row {number} has {len(row)} values; expected {len(names)}, as in columns")
    check_names(names, columns)
    _check_types(((name, [row[place] for row in data]) for place, name in enumerate(names)), columns)


def _check_records(where: str, value: Any, columns: Sequence[Column]) -> None:
    if not isinstance(value, list):
        raise InputError(f"{where} is {_json_type(value)}; expected a list of objects, one for each row")
    if not value:
        raise InputError(f"{where} is empty; expected at least one row")
    names: dict[str, None] = {}
    for number, row in enumerate(value):
        if not isinstance(row, dict):
            raise InputError(
                f"{where}: row {number} is {_json_type(row)}; expected an object with {describe_format(columns)}"
            )
        names.update(dict.fromkeys(row))
    if not names:
        raise InputError(f"{where}: the rows are empty objects; expected {describe_format(columns)}")
    check_names(names, columns)
    _check_types(((name, [row.get(name) for row in value]) for name in names), columns)


def _check_types(values: Iterable[tuple[Any, list[Any]]], columns: Sequence[Column]) -> None:
    """Refuse what MLflow would convert silently: 1.5 to 1, "no" to True, 5 to a text."""
    strict = {column.name: column for column in columns if column.shape is None and column.type in _FITS}
    if not strict:
        return
    for name, items in values:
        column = strict.get(name)
        if column is None:
            continue
        fits, expected = _FITS[column.type]
        for number, item in enumerate(items):
            if item is None and (column.type == "string" or not column.required):
                continue
            if not fits(item):
                raise InputError(f"column {name!r}, row {number}: found {_shown(item)}; expected {expected}")


def check_params(sent: Any, params: Sequence[Column]) -> dict[str, Any]:
    """Return the parameters of a request. Raises InputError for those that the model does not take."""
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise InputError(f"{PARAMS} is {_json_type(sent)}; expected an object")
    names = [param.name for param in params]
    unknown = [name for name in sent if name not in names]
    if unknown:
        takes = f"the model takes {_names(names)}" if names else "the model takes none"
        raise InputError(f"{PARAMS}: unknown {_names(unknown)}; {takes}")
    return sent


def _named_table(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.name is not None and column.shape is None]


def _is_whole(item: Any) -> bool:
    """Return True if a value is a whole number, or a text that MLflow reads as one."""
    if isinstance(item, float):
        return item.is_integer()
    return isinstance(item, int | str)


_FITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "integer": (_is_whole, "a whole number"),
    "long": (_is_whole, "a whole number"),
    "boolean": (lambda item: item in (0, 1) and isinstance(item, bool | int), "true or false"),
    "string": (lambda item: isinstance(item, str), "a text"),
}


def _is_label(item: Any) -> bool:
    return isinstance(item, str | int) and not isinstance(item, bool)


def _columns(names: Sequence[Any]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {_names(names)}"


def _names(names: Sequence[Any]) -> str:
    shown = ", ".join(_shown(name) for name in names[:_LONGEST_LIST])
    return shown + (f" and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else "")


def _shown(item: Any) -> str:
    return _BRIEF.repr(item)


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    for python_type, word in _JSON_TYPES:
        if isinstance(value, python_type):
            return word
    return type(value).__name__


_JSON_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
)


__getattr__ = forwarding(__name__)
