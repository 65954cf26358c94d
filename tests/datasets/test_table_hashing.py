"""What makes two tables one: values, not order, format, or the way a file happens to write them."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.datasets import canonical_types, table_hashing

FAST = settings(max_examples=25, deadline=None, database=None)
ROW = st.fixed_dictionaries(
    {
        "whole": st.integers(-(2**53), 2**53),
        "real": st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
        "text": st.one_of(st.none(), st.text(max_size=5)),
        "flag": st.one_of(st.none(), st.booleans()),
        "day": st.dates(datetime.date(1900, 1, 1), datetime.date(2200, 1, 1)),
    }
)
SCHEMA = pa.schema(
    [("whole", pa.int64()), ("real", pa.float64()), ("text", pa.string()), ("flag", pa.bool_()), ("day", pa.date32())]
)


def table(rows: list[dict[str, object]]) -> pa.Table:
    return canonical_types.normalise(pa.Table.from_pylist(rows, SCHEMA))


def fingerprint(given: pa.Table) -> str:
    normal = canonical_types.normalise(given)
    return table_hashing.fingerprint(normal, table_hashing.row_digests(normal))


def digests(values: object, kind: pa.DataType | None = None) -> list[tuple[int, int]]:
    normal = canonical_types.normalise(pa.table({"c": pa.array(values, kind)}))
    return [tuple(row) for row in table_hashing.row_digests(normal).tolist()]


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=20), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_counts_for_nothing(rows: list[dict[str, object]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    names = list(SCHEMA.names)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert fingerprint(table(rows)) == fingerprint(table(shuffled).select(names))


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=10), changed=ROW)
def test_one_changed_row_changes_the_fingerprint(rows: list[dict[str, object]], changed: dict[str, object]) -> None:
    other = table([*rows[1:], changed])
    same = sorted(table_hashing.row_digests(table(rows)).tolist()) == sorted(table_hashing.row_digests(other).tolist())
    assert (fingerprint(table(rows)) == fingerprint(other)) is same


def test_how_often_a_row_comes_up_counts() -> None:
    row = {"whole": 1, "real": 0.5, "text": "x", "flag": True, "day": datetime.date(2024, 1, 1)}
    assert len({fingerprint(table([row] * count)) for count in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (([1, 2], pa.int64()), ([1.0, 2.0], pa.float64())),
        (([1], pa.int8()), ([1], pa.uint64())),
        (([-0.0], pa.float64()), ([0], pa.int64())),
        (([math.nan], pa.float64()), ([None], pa.float64())),
        (([None], pa.string()), ([""], pa.string())),
        (([None], pa.timestamp("us")), ([None], pa.float64())),
        (([0.1], pa.float32()), ([0.1], pa.float64())),
        ((["e\u0301"], pa.string()), (["\u00e9"], pa.string())),
        (([datetime.date(2024, 1, 1)], pa.date32()), ([datetime.datetime(2024, 1, 1)], pa.timestamp("ns"))),
        (([17, -3], pa.int64()), (["17", "-3"], pa.string())),
        (([0.5], pa.float64()), (["0.5"], pa.string())),
        (([True], pa.bool_()), (["True"], pa.string())),
    ],
)
def test_one_value_has_one_digest(one: tuple[object, pa.DataType], other: tuple[object, pa.DataType]) -> None:
    assert digests(*one) == digests(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((["007"], pa.string()), ([7], pa.int64())),
        ((["1.0"], pa.string()), (["1"], pa.string())),
        ((["nan"], pa.string()), ([None], pa.string())),
        ((["inf"], pa.string()), ([math.inf], pa.float64())),
        (([1], pa.int64()), ([True], pa.bool_())),
        (([2**53 + 1], pa.int64()), ([2**53], pa.int64())),
        (([0], pa.int64()), ([None], pa.int64())),
        (([0], pa.int64()), ([0], pa.timestamp("us"))),
        (([0], pa.timestamp("us")), ([0], pa.timestamp("us", "UTC"))),
        (([1e300], pa.float64()), ([math.inf], pa.float64())),
        ((["a "], pa.string()), (["a"], pa.string())),
    ],
)
def test_two_values_have_two_digests(one: tuple[object, pa.DataType], other: tuple[object, pa.DataType]) -> None:
    assert digests(*one) != digests(*other)


def test_names_and_kinds_of_columns_count() -> None:
    assert fingerprint(pa.table({"a": [1], "b": [2]})) != fingerprint(pa.table({"a": [1], "c": [2]}))
    assert fingerprint(pa.table({"a": ["1"]})) != fingerprint(pa.table({"a": [1]}))
    assert fingerprint(pa.table({"a": [1]})) == fingerprint(pa.table({"a": [1.0]}))


def test_values_in_one_row_are_not_mixed_up_with_their_neighbours() -> None:
    assert fingerprint(pa.table({"a": ["x"], "b": ["y"]})) != fingerprint(pa.table({"a": ["y"], "b": ["x"]}))
    assert fingerprint(pa.table({"a": ["xy"], "b": [None]})) != fingerprint(pa.table({"a": ["x"], "b": ["y"]}))


def test_blocks_do_not_show() -> None:
    table = canonical_types.normalise(pa.table({"a": [f"t{i % 7}" for i in range(100)], "b": list(range(100))}))
    assert np.array_equal(table_hashing.row_digests(table, block_cells=6), table_hashing.row_digests(table))


def test_the_fingerprint_never_changes() -> None:
    """A golden value: when it differs, every recorded fingerprint is void. Raise content.ALGORITHM instead."""
    given = pa.table(
        {
            "n": pa.array([1, -5, None], pa.int64()),
            "x": [0.1, -1e300, math.inf],
            "t": ["a", "Zürich", None],
            "b": [True, False, None],
            "d": pa.array(
                [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(1969, 7, 20)], pa.timestamp("us")
            ),
            "z": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
        }
    )
    assert fingerprint(given) == "c835d58c5d774c7e854cbe8b6d7efa6f415f6c1104564355eccafb7b975446a4"
