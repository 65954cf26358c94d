"""A CSV and a Parquet file of one table give the same values; what cannot be a dataset is refused in one line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.datasets import canonical_types, readers, table_hashing
from notebooks_lib.errors import DatasetError, UsageError

FAST = settings(max_examples=25, deadline=None, database=None)


def fingerprint(table: pa.Table) -> str:
    return table_hashing.fingerprint(table, table_hashing.row_digests(table))


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
    assert fingerprint(readers.read_table(folder / "t.csv").table) == fingerprint(
        readers.read_table(folder / "t.parquet").table
    )


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
    one, other = (readers.read_table(tmp_path / f"t.{end}").table for end in ("csv", "parquet"))
    assert canonical_types.kinds(one) == canonical_types.kinds(other)
    assert fingerprint(one) == fingerprint(other)


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
        ("a.csv", b"a;b\n1;2\n", "pandas.read_csv('a.csv', sep=';', decimal=',').to_csv('mended.csv', index=False)"),
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
        readers.read_table(tmp_path / name)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        readers.read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="is a folder"):
        readers.read_table(tmp_path)


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
        readers.read_table(tmp_path / "t.parquet")
    assert reason in str(caught.value)


def test_text_keeps_words_that_mean_missing_among_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("country,size\nNA,NA\nDE,2\n")
    assert readers.read_table(tmp_path / "t.csv").table.to_pydict() == {"country": ["NA", "DE"], "size": [None, 2.0]}


def test_a_late_text_in_a_long_column_of_numbers_makes_it_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 400_000 + "x,2\n")
    assert canonical_types.kinds(readers.read_table(tmp_path / "t.csv").table) == {"a": "text", "b": "integer"}
