"""What makes two tables one: values, not order, format, or the way a file happens to write them."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.datasets import hashing, readers, splits
from notebooks_lib.errors import DatasetError, UsageError

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
    return hashing.normalise(pa.Table.from_pylist(rows, SCHEMA))


def fingerprint(given: pa.Table) -> str:
    normal = hashing.normalise(given)
    return hashing.fingerprint(normal, hashing.row_digests(normal))


def digests(values: object, kind: pa.DataType | None = None) -> list[tuple[int, int]]:
    normal = hashing.normalise(pa.table({"c": pa.array(values, kind)}))
    return [tuple(row) for row in hashing.row_digests(normal).tolist()]


def masks(given: pa.Table) -> list[str]:
    found = splits.split(hashing.row_digests(given), validation_share=0.2, holdout_share=0.3)
    return [next(name for name in splits.NAMES if found[name][row]) for row in range(len(given))]


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=20), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_counts_for_nothing(rows: list[dict[str, object]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    names = list(SCHEMA.names)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert fingerprint(table(rows)) == fingerprint(table(shuffled).select(names))


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=20), more=st.lists(ROW, max_size=20))
def test_adding_rows_moves_none_and_duplicates_stay_together(
    rows: list[dict[str, object]], more: list[dict[str, object]]
) -> None:
    alone = masks(table(rows))
    assert masks(table(more + rows + rows))[len(more) :] == alone + alone


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=10), changed=ROW)
def test_one_changed_row_changes_the_fingerprint(rows: list[dict[str, object]], changed: dict[str, object]) -> None:
    other = table([*rows[1:], changed])
    same = sorted(hashing.row_digests(table(rows)).tolist()) == sorted(hashing.row_digests(other).tolist())
    assert (fingerprint(table(rows)) == fingerprint(other)) is same


def test_how_often_a_row_comes_up_counts() -> None:
    row = {"whole": 1, "real": 0.5, "text": "x", "flag": True, "day": datetime.date(2024, 1, 1)}
    assert len({fingerprint(table([row] * count)) for count in (1, 2, 3)}) == 3


@FAST
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "whole": st.integers(-(2**53), 2**53),
                "real": st.floats(allow_nan=False),
                "gap": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
                "text": st.text("ab ,\"'é中;x", min_size=1, max_size=5).map(lambda text: f"t{text}t"),
                "flag": st.booleans(),
                "at": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)),
            }
        ),
        min_size=2,
        max_size=10,
    )
)
def test_a_csv_and_a_parquet_file_of_the_same_table_have_one_fingerprint(
    rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    frame = pd.DataFrame(rows)
    frame["at"] = frame["at"].astype("datetime64[us]")
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    assert fingerprint(readers.read(folder / "t.csv").table) == fingerprint(readers.read(folder / "t.parquet").table)


def test_formats_agree_on_categories_small_floats_missing_values_and_zones(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["low", None, "high"]),
            "code": pd.Categorical([3, 1, 3]),
            "small": pd.array([0.1, 0.2, 1e-30], dtype="float32"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "zoned": pd.to_datetime(["2024-06-01 12:00", "2024-01-01 00:00", None]).tz_localize("Europe/Berlin"),
            "empty": [None, None, None],
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    one, other = (readers.read(tmp_path / f"t.{end}").table for end in ("csv", "parquet"))
    assert hashing.kinds(one) == hashing.kinds(other)
    assert fingerprint(one) == fingerprint(other)


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
    table = hashing.normalise(pa.table({"a": [f"t{i % 7}" for i in range(100)], "b": list(range(100))}))
    assert np.array_equal(hashing.row_digests(table, block_cells=6), hashing.row_digests(table))


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


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"a,b\n1,2\n", ".txt are not read; give one of .csv, .tsv, .parquet"),
        ("a", b"a,b\n1,2\n", "(none) are not read"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n\n", "cannot be read as CSV"),
        ("a.csv", b"a,b\n", "has columns but no rows"),
        ("a.csv", b"a,b,a\n1,2,3\n", "used more than once: 'a'"),
        ("a.csv", "\u00e9,e\u0301\n1,2\n".encode(), "used more than once: '\u00e9'"),
        ("a.csv", b"a,b\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a.csv", b"a;b\n1;2\n", "looks separated by ';'"),
        ("a.csv", b",b\n0,2\n", "column 1 has no name"),
        ("a.csv", "a,b\n1,é\n".encode("latin-1"), "column 'b' is not UTF-8"),
        ("a.csv", "é,b\n1,2\n".encode("latin-1"), "the line of column names is not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("a.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_cannot_be_a_dataset_is_refused_in_one_line(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((DatasetError, UsageError)) as caught:
        readers.read(tmp_path / name)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        readers.read(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is a folder"):
        readers.read(tmp_path)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([[1]]), "'c' is of type list"),
        (pa.array([1], pa.duration("s")), "'c' is of type duration"),
        (pa.array([1], pa.timestamp("ns")), "'c' does not fit: Casting from timestamp"),
    ],
)
def test_a_column_that_would_lose_something_is_refused_by_name(tmp_path: Path, column: pa.Array, reason: str) -> None:
    pq.write_table(pa.table({"c": column}), tmp_path / "t.parquet")
    with pytest.raises(DatasetError) as caught:
        readers.read(tmp_path / "t.parquet")
    assert reason in str(caught.value)


def test_text_keeps_words_that_mean_missing_among_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("country,size\nNA,NA\nDE,2\n")
    assert readers.read(tmp_path / "t.csv").table.to_pydict() == {"country": ["NA", "DE"], "size": [None, 2.0]}


def test_a_late_text_in_a_long_column_of_numbers_makes_it_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 400_000 + "x,2\n")
    assert hashing.kinds(readers.read(tmp_path / "t.csv").table) == {"a": "text", "b": "integer"}
