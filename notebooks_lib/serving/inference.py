"""Turn the bytes of a request into the bytes of its predictions. It knows no HTTP."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import from_json, to_json

from notebooks_lib.errors import InputError
from notebooks_lib.models import served_model
from notebooks_lib.models.prediction_json import encode_predictions
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import body_complexity, request_formats


def predict_quickly(model: ServedModel, body: bytes) -> bytes | None:
    """Return the predictions for a JSON body of plain numbers, as `predict` would, but faster; None for other bodies.

    pydantic's JSON parser is several times as fast as Python's, and reads the same numbers. A body that it cannot read,
    such as half of a surrogate pair, is left to `predict`.
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
    """Return the predictions for a request body of media type `kind`, as JSON.

    Raises InputError when the body does not fit the model, PredictionError when the model fails.
    """
    body_complexity.check_body(kind, body, model.columns)
    if kind == "text/csv":
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
        data, params = model.parse_csv(text), {}
        request_formats.check_names(data.columns, model.columns)
    else:
        with _collector_paused(len(body)):
            answer = predict_quickly(model, body)
            if answer is not None:
                return answer
            request = request_formats.read_request(body, model.columns, model.params)
        data, params = model.parse(request.payload), request.params
    if served_model.rows(data) == 0:
        raise InputError("there are no rows; expected at least one")
    return b'{"predictions":' + encode_predictions(model.predict(data, params)) + b"}"


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
