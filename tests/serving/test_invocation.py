"""One invocation: each error has its status and its JSON, whatever serves the model."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from notebooks_lib.errors import InputError, PredictionError
from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving import invocation
from notebooks_lib.serving.invocation import RefusedRequest


class Model:
    """As much of a ServedModel as an invocation asks for; it raises `error` instead of predicting."""

    columns = (Column("x", "double"),)
    params = ()
    quick = False

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def parse(self, payload: Any) -> Any:
        return [1.0]

    def predict(self, data: Any, params: Any) -> Any:
        if self.error is not None:
            raise self.error
        return [2.0]


BODY = b'{"dataframe_records": [{"x": 1}]}'


def answer(model: Model, body: bytes = BODY) -> invocation.InvocationAnswer:
    return invocation.answer(model, "application/json", body)  # type: ignore[arg-type]


def test_predictions_are_200() -> None:
    assert answer(Model()) == invocation.InvocationAnswer(200, b'{"predictions":[2.0]}')


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (InputError("row 3 is wrong"), 400, "BAD_REQUEST", "row 3 is wrong"),
        (PredictionError("the model raised X"), 500, "INTERNAL_ERROR", "the model raised X"),
        (
            RuntimeError("a bug of nbops"),
            500,
            "INTERNAL_ERROR",
            "the endpoint failed: a bug of nbops; its log says where",
        ),
    ],
)
def test_what_is_raised_becomes_a_status_and_a_message(
    error: Exception, status: int, code: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = answer(Model(error))

    assert (given.status, json.loads(given.body)) == (status, {"error_code": code, "message": words})
    given.log(logging.getLogger("nbops.endpoint"), "/score")
    assert ("Traceback" in caplog.text) == (status == 500)
    assert "/score: " in caplog.text


def test_a_message_may_quote_half_of_a_surrogate_pair() -> None:
    given = answer(Model(), b'{"\\ud800": 1}')
    assert given.status == 400
    assert given.body.isascii()


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=UTF-8", "application/json"),
        ('text/csv; header=present; charset="utf8"', "text/csv"),
        (" text/csv ", "text/csv"),
    ],
)
def test_json_and_csv_in_utf_8_are_read(content_type: str, kind: str) -> None:
    assert invocation.media_type(content_type) == kind


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json; charset=utf-16", "application/jsonx", ";"]
)
def test_other_content_types_are_415(content_type: str) -> None:
    with pytest.raises(RefusedRequest) as caught:
        invocation.media_type(content_type)
    given = invocation.refused(caught.value)
    assert (given.status, json.loads(given.body)["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
