"""Whole columns give what a request to the endpoint gives value by value: the same values, types, and refusals."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.errors import InputError
from notebooks_lib.models import input_schema
from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving.batch import arrow_columns
from notebooks_lib.serving.batch.arrow_columns import read_column

KINDS = ("double", "float", "long", "integer", "boolean", "string", "datetime")
TEXTS = (
    "",
    "1",
    "-7",
    "+3",
    "+-1",
    "1.5",
    "1e3",
    "-0.10000000000000000555",
    "123456789012345678901.5e-22",
    "1e400",
    " 2 ",
    "NaN",
    "inf",
    "NA",
    "1_000",
    "true",
    "ä",
    "007",
    "9" * 19,
)
NUMBERS = (0, 1, -7, 2**31, 2**53 + 1, 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, 1.5, math.nan, math.inf, 2.0**31, 2.0**63, 1e300)
COLUMNS = st.one_of(
    st.lists(st.sampled_from([*TEXTS, None]), min_size=1, max_size=5).map(lambda items: pa.array(items, pa.string())),
    st.lists(st.sampled_from([*NUMBERS, None]), min_size=1, max_size=5).map(lambda items: pa.array(items, pa.int64())),
    st.lists(st.sampled_from([*FLOATS, None]), min_size=1, max_size=5).map(lambda items: pa.array(items, pa.float64())),
    st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=5).map(
        lambda items: pa.array(items, pa.bool_())
    ),
)


@settings(max_examples=25)
@given(COLUMNS, st.sampled_from(KINDS), st.booleans())
def test_a_column_is_read_as_its_values_would_be_one_by_one(values: pa.Array, kind: str, required: bool) -> None:
    check_column(values, kind, required)


@pytest.mark.proof
@settings(max_examples=2000)
@given(COLUMNS, st.sampled_from(KINDS), st.booleans())
def test_any_column_is_read_as_its_values_would_be_one_by_one(values: pa.Array, kind: str, required: bool) -> None:
    check_column(values, kind, required)


def check_column(values: pa.Array, kind: str, required: bool) -> None:
    column = Column("x", kind, required)
    series, faults = read_column(pa.chunked_array([values]), column)
    for row, item in enumerate(values.to_pylist()):
        if row in faults:
            with pytest.raises(InputError) as refusal:
                input_schema.column_values([item], column)
            assert str(refusal.value).replace(", row 0", "") == faults[row]
            continue
        alone = input_schema.column_values([item], column)
        if not faults:
            assert series.dtype == alone.dtype
        same = pd.Series([series.iloc[row]]).astype(object), alone.astype(object)
        assert same[0].equals(same[1]) or math.copysign(1, same[0][0]) == math.copysign(1, same[1][0]), (item, kind)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array(["a", "b"]).dictionary_encode(), "string", ["a", "b"]),
        (pa.array([Decimal("1.50")]), "double", [1.5]),
        (pa.array([1, 2], pa.uint64()), "long", [1, 2]),
        (pa.array([1.5], pa.float32()), "double", [1.5]),
        (pa.array([datetime.date(2026, 12, 31)]), "datetime", [pd.Timestamp("2026-12-31")]),
        (
            pa.array([datetime.datetime(2026, 1, 1, 2)], pa.timestamp("us", "Europe/Vienna")),
            "datetime",
            [pd.Timestamp("2026-01-01 02:00")],
        ),
        (pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(["1", '"2"'])), "double", [1.0, 2.0]),
    ],
)
def test_the_types_of_other_tools_are_read(values: Any, kind: str, expected: list[Any]) -> None:
    series, faults = read_column(pa.chunked_array([values]), Column("x", kind))
    assert (series.tolist(), faults) == (expected, {})


def test_each_row_that_does_not_fit_has_its_cause_and_the_others_their_values() -> None:
    series, faults = read_column(pa.chunked_array([["1.5", "one", "", "2e1", "?"]]), Column("x", "double"))
    assert faults == {1: "column 'x': found 'one'; expected a number", 4: "column 'x': found '?'; expected a number"}
    assert series.drop([1, 4]).fillna(-1).tolist() == [1.5, -1, 20]


def test_times_that_pandas_cannot_hold_are_refused_by_row() -> None:
    times = pa.array([datetime.datetime(1500, 1, 1), datetime.datetime(2026, 1, 1)])
    _, faults = read_column(pa.chunked_array([times]), Column("x", "datetime"))
    assert list(faults) == [0]
    assert "expected a time such as" in faults[0]


def test_only_the_number_of_a_single_row_is_taken_out_of_a_message() -> None:
    assert arrow_columns.without_row("column 'a, row 0: b', row 0: found 1") == "column 'a, row 0: b': found 1"
    assert arrow_columns.without_row("the model raised KeyError: row 0: x") == "the model raised KeyError: row 0: x"
