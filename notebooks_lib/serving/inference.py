"""Turn the bytes of a request into the bytes of its predictions, and compare two answers. It knows no HTTP."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import from_json, to_json

from notebooks_lib.errors import InputError
from notebooks_lib.models import scorer
from notebooks_lib.models.predictions import encode
from notebooks_lib.models.scorer import ServedModel
from notebooks_lib.serving import body_limits, formats


def predict_quickly(model: ServedModel, body: bytes) -> bytes | None:
    """Answer a JSON body of plain numbers exactly as `predict` does, but faster; None for any other body.

    pydantic's JSON is several times as fast as Python's, and reads the same numbers; what it does not read, such as
    half of a surrogate pair, is left to the other way.
    """
    if not model.quick:
        return None
    try:
        payload = from_json(body, cache_strings="keys")
        answer = model.answer_quickly(payload) if type(payload) is dict else None
        return None if answer is None else b'{"predictions":' + to_json(answer, inf_nan_mode="null") + b"}"
    except ValueError:
        return None


def predict(model: ServedModel, kind: str, body: bytes) -> bytes:
    """Answer a body of media type `kind`. Raises InputError or PredictionError."""
    body_limits.check_body(kind, body, model.columns)
    if kind == "text/csv":
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
        data, params = model.parse_csv(text), {}
        formats.check_names(data.columns, model.columns)
    else:
        with _collector_paused(len(body)):
            answer = predict_quickly(model, body)
            if answer is not None:
                return answer
            request = formats.read_request(body, model.columns, model.params)
        data, params = model.parse(request.payload), request.params
    if scorer.rows(data) == 0:
        raise InputError("there are no rows; expected at least one")
    return b'{"predictions":' + encode(model.predict(data, params)) + b"}"


_LARGE_BODY = 32 * 1024
_pauses = 0
_pausing = threading.Lock()


@contextmanager
def _collector_paused(size: int) -> Iterator[None]:
    """Pause the garbage collector while a large body is read: it would look at hundreds of thousands of lists many
    times.

    Half a million lists are read in a tenth of the time; what is read holds no cycles.
    """
    global _pauses
    if size <= _LARGE_BODY:
        yield
        return
    with _pausing:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _pausing:
            _pauses -= 1
            if not _pauses:
                gc.enable()


def difference(one: Any, other: Any) -> float:
    """Return the largest relative difference of two answers; infinite when they differ in form or in other than
    numbers.
    """
    return max((_relative_difference(*pair) for pair in _pairs(one, other)), default=0.0)


def largest_finite_difference(one: Any, other: Any) -> float:
    """Return the same for numbers only, which is finite; other differences have no size."""
    differences = (_relative_difference(*pair) for pair in _pairs(one, other) if all(map(_is_number, pair)))
    return max((size for size in differences if math.isfinite(size)), default=0.0)


def same_form(one: Any, other: Any) -> bool:
    """Whether code that reads one answer can read the other: the same names, lengths and kinds of values.

    JSON's null is a missing value of any kind. Lists of texts, as of several labels, may differ in length.
    """
    return all(_same_kind(*pair) for pair in _pairs(one, other))


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the single values of two answers side by side; where their structures differ, the parts that differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for key in one:
            yield from _pairs(one[key], other[key])
    elif _is_list(one) and _is_list(other) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from _pairs(*pair)
    else:
        yield one, other


def _relative_difference(one: Any, other: Any) -> float:
    if _is_number(one) and _is_number(other):
        if one == other or (math.isnan(one) and math.isnan(other)):
            return 0.0
        apart = abs(one - other) / max(abs(one), abs(other))
        return apart if math.isfinite(apart) else math.inf
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _same_kind(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return not isinstance(one, Mapping) and not isinstance(other, Mapping)
    if _is_number(one) and _is_number(other):
        return True
    if _is_list(one) and _is_list(other):
        return all(isinstance(each, str) for each in (*one, *other))
    return type(one) is type(other) and not isinstance(one, Mapping)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
