"""Each column has one type that holds all of its values; names of inputs stay, and what a reader must know is said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from notebooks_lib.serving.collected.collected_columns import (
    CollectedColumn,
    CollectedColumns,
    input_row,
    prediction_row,
)

NAN = math.nan


def column(*values: object) -> CollectedColumn:
    made = CollectedColumn()
    for value in values:
        made.see(value, "1")
    return made


@pytest.mark.parametrize(
    ("values", "type_", "converted"),
    [
        ([None, NAN], "number", [None, None]),
        ([True, None, False], "boolean", [True, None, False]),
        ([1, None, -(2**63)], "integer", [1, None, -(2**63)]),
        ([1, 2.5, NAN, math.inf], "number", [1.0, 2.5, None, math.inf]),
        (["a", None, ""], "text", ["a", None, ""]),
        ([1, "2.5", "", "NA"], "number", [1.0, 2.5, None, None]),
        (["1", "2"], "text", ["1", "2"]),
        ([1, "007"], "text", ["1", "007"]),
        ([1, "x", True], "text", ["1", "x", "true"]),
        ([True, 1], "text", ["true", "1"]),
        ([2**53 + 1, 0.5], "text", ["9007199254740993", "0.5"]),
        ([2**70, 1], "text", ["1180591620717411303424", "1"]),
        ([[0.1, 0.9], {"ä": None}], "text", ["[0.1, 0.9]", '{"ä": null}']),
    ],
)
def test_no_value_loses_anything(values: list[Any], type_: str, converted: list[Any]) -> None:
    made = column(*values)
    assert made.type == type_
    assert [made.convert(value) for value in values] == converted


def test_a_reader_is_told_of_mixed_nested_and_changed_columns_and_of_taken_names() -> None:
    columns = CollectedColumns()
    columns.see([{"a": 1, "n": [1], "c": "1", "time": 1}], [{"prediction": 1}], "1")
    columns.see([{"a": "x", "c": "2", "new": 1, "prediction": 2, "nbops_time": 3}], [{"prediction": 1}], "2")
    assert columns.remarks() == [
        "column 'a' has values of several kinds: all are text",
        "column 'n' has nested values: they are text, as JSON",
        "column 'c' has numbers as text, as requests in CSV have: -o FILE.csv lets `data add` read numbers",
        "input 'n' came with version 1 only",
        "input 'time' came with version 1 only",
        "input 'new' came with version 2 only",
        "input 'prediction' came with version 2 only",
        "input 'nbops_time' came with version 2 only",
        "'time' is an input: ours is 'nbops_nbops_time'",
        "'prediction' is an input: ours is 'nbops_prediction'",
    ]
    assert columns.schema([], training=False).names == [
        *("request_id", "row", "nbops_nbops_time", "slot", "version"),
        *("a", "n", "c", "time", "new", "prediction", "nbops_time", "nbops_prediction"),
    ]
    assert columns.schema([], training=True).names == ["a", "n", "c", "time", "new", "prediction", "nbops_time"]


def test_rows_without_names_have_their_places_as_names() -> None:
    assert input_row([1, [2]]) == {"0": 1, "1": [2]}
    assert input_row(7) == {"0": 7}
    assert input_row({"a": 1}) == {"a": 1}


def test_predictions_with_names_are_told_from_inputs() -> None:
    assert prediction_row({"prediction": [0.1, 0.9]}) == {"prediction": [0.1, 0.9]}
    assert prediction_row({"label": 1, "prediction": 2}) == {"prediction.label": 1, "prediction": 2}
    assert prediction_row(3.5) == {"prediction": 3.5}
