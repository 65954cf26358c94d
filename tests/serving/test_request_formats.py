"""What is sent is read as MLflow reads it, or refused with the field and what is expected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notebooks_lib.errors import InputError
from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving import request_formats

TABLE = (Column("age", "double"), Column("rooms", "long"), Column("city", "string", required=False))
TENSOR = (Column(None, "float64", shape=(-1, 3)),)
ROW = {"age": 1.5, "rooms": 2, "city": "Graz"}


def read(payload: Any, columns: tuple[Column, ...] = TABLE) -> request_formats.PredictionRequest:
    return request_formats.read_request(json.dumps(payload).encode(), columns)


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ({"dataframe_split": {"columns": ["age", "rooms"], "data": [[1, 2]]}}, "dataframe_split"),
        ({"dataframe_records": [ROW]}, "dataframe_records"),
        ({"instances": [ROW]}, "instances"),
        ({"inputs": {"age": [1.5], "rooms": [2]}}, "inputs"),
        ({"inputs": [ROW]}, "inputs"),
    ],
)
def test_mlflow_formats_pass_unchanged(payload: Any, key: str) -> None:
    assert read(payload).payload == {key: payload[key]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"columns": ["age", "rooms"], "index": [0], "data": [[1, 2]]},
            {"dataframe_split": {"columns": ["age", "rooms"], "index": [0], "data": [[1, 2]]}},
        ),
        ({"data": [[1, 2, "a"]]}, {"dataframe_split": {"columns": ["age", "rooms", "city"], "data": [[1, 2, "a"]]}}),
        ([[1, 2, "a"]], {"dataframe_split": {"columns": ["age", "rooms", "city"], "data": [[1, 2, "a"]]}}),
        ([ROW], {"dataframe_records": [ROW]}),
        ({"age": [1], "rooms": [2]}, {"inputs": {"age": [1], "rooms": [2]}}),
    ],
)
def test_azures_input_data_is_translated(value: Any, expected: Any) -> None:
    assert read({"input_data": value}).payload == expected


def test_azures_plain_list_is_a_tensor_for_a_tensor_model() -> None:
    assert read({"input_data": [[1, 2, 3]]}, TENSOR).payload == {"inputs": [[1, 2, 3]]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ["not JSON", "dataframe_split"]),
        (b"{", ["not JSON"]),
        (b"\xff", ["not UTF-8"]),
        ('{"inputs": 1}'.encode("utf-16-le"), ["not JSON"]),
        ('{"inputs": 1}'.encode("utf-16"), ["not UTF-8"]),
        (b"[1, 2]", ["a list", "expected an object"]),
        (b"5", ["a number"]),
        (b"null", ["null"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b'{"inputs": ' + b"9" * 5000 + b"}", ["not JSON"]),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        request_formats.read_request(body, TABLE)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, ["no key", "exactly one of"]),
        ({"dataframe_splitt": {}}, ["'dataframe_splitt'", "did you mean 'dataframe_split'"]),
        ({"inputs": {"age": [1], "rooms": [1]}, "signature_name": "x"}, ["unknown key 'signature_name'"]),
        ({"inputs": [1], "instances": [1]}, ["'inputs', 'instances' together"]),
        ({"dataframe_records": [ROW], "params": {"k": 1}}, ["params", "'k'", "takes none"]),
        ({"dataframe_records": [ROW], "params": 5}, ["params is a number"]),
        ({"dataframe_split": []}, ["dataframe_split is a list", "columns"]),
        ({"dataframe_split": {"columns": ["age"]}}, ["data is missing"]),
        ({"dataframe_split": {"columns": ["age"], "data": []}}, ["data is empty", "at least one row"]),
        ({"dataframe_split": {"columns": ["age"], "data": [5]}}, ["row 0 is a number"]),
        ({"dataframe_split": {"data": [[1, 2]]}}, ["columns is missing", "age (double)"]),
        ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, ["'age'", "twice"]),
        ({"dataframe_split": {"columns": [["age"]], "data": [[1]]}}, ["columns: expected a list of column names"]),
        ({"dataframe_split": {"columns": ["age", "rooms"], "data": [[1, 2], [1]]}}, ["row 1 has 1 values", "2"]),
        (
            {"dataframe_split": {"columns": ["age", "rooms"], "index": [1, 2], "data": [[1, 2]]}},
            ["index has 2 entries", "expected 1"],
        ),
        ({"dataframe_split": {"columns": ["age", "rooms"], "index": [[]], "data": [[1, 2]]}}, ["index"]),
        ({"dataframe_split": {"colums": [], "data": [[1]]}}, ["unknown key 'colums'"]),
        ({"dataframe_records": {"age": 1}}, ["an object", "list of objects"]),
        ({"dataframe_records": []}, ["empty", "at least one row"]),
        ({"dataframe_records": [ROW, 5]}, ["row 1 is a number"]),
        ({"dataframe_records": [{}]}, ["empty objects"]),
        ({"dataframe_records": [{"age": 1}]}, ["missing column 'rooms'", "rooms (long)"]),
        ({"dataframe_records": [ROW | {"zip": 1}]}, ["unknown column 'zip'"]),
        ({"dataframe_records": [{"agee": 1, "rooms": 2}]}, ["missing column 'age'", "did you mean 'age'"]),
        ({"dataframe_records": [ROW | {"rooms": 1.5}]}, ["'rooms', row 0", "found 1.5", "a whole number"]),
        ({"dataframe_records": [ROW, ROW | {"city": 5}]}, ["'city', row 1", "a text"]),
        ({"inputs": {"age": [1.0], "rooms": [None]}}, ["'rooms', row 0", "None"]),
        ({"inputs": {"age": [1.0, 2.0], "rooms": [1]}}, ["column 'rooms' has 1", "expected 2, as column 'age'"]),
        ({"instances": []}, ["instances is empty"]),
        ({"instances": [[1, 2, "a"]]}, ["without column names", "age (double)"]),
        ({"inputs": None}, ["without column names"]),
        ({"input_data": 5}, ["input_data is a number"]),
        ({"input_data": [1, 2]}, ["single values", "list of rows"]),
        ({"input_data": [[1, 2]]}, ["row 0 has 2 values", "expected 3"]),
        ({"input_data": {"columns": ["age"], "data": [[1]]}}, ["missing column 'rooms'"]),
    ],
)
def test_a_wrong_request_is_refused_by_name(payload: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(payload)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_quoted_stays_short() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(InputError) as caught:
        read({"dataframe_records": [ROW | {"city": deep, "x" * 5000: 1}]})
    assert len(str(caught.value)) < 500


def test_an_optional_column_may_be_null_or_absent() -> None:
    assert read({"dataframe_records": [{"age": 1, "rooms": 2, "city": None}]}).params == {}
    assert read({"dataframe_records": [{"age": 1, "rooms": 2.0}]}).payload
