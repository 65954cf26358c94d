"""The table is whole or not there, reads back as it was, and replaces nothing that is not its own."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from notebooks_lib import errors
from notebooks_lib.datasets import readers
from notebooks_lib.serving.collected.collected_table import check_output, write_table

AT = datetime(2026, 11, 20, 10, 59, 58, 5, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("a", pa.float64()),
        ("t", pa.string()),
        ("b", pa.bool_()),
        ("y", pa.int64()),
    ]
)
ROWS: list[tuple[dict[str, Any], int]] = [
    ({"time": AT, "a": 0.1, "t": 'x, "ä"\n', "b": True}, 1),
    ({"time": AT, "a": 1e-7, "t": None}, 0),
    ({"time": AT, "t": "007"}, 1),
]
LABELS = pa.table({"y": pa.array([10, 20], pa.int64())})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_both_kinds_read_back_as_the_same_table(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "new" / f"t{suffix}"
    assert write_table(file, "houses", SCHEMA, ROWS, LABELS) == 3
    table = readers.read_table(file).table
    assert table.column_names == SCHEMA.names
    assert table.to_pydict() == {
        "time": [AT, AT, AT],
        "a": [0.1, 1e-7, None],
        "t": ['x, "ä"\n', None, "007"],
        "b": [True, None, None],
        "y": [20, 10, 20],
    }
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_many_rows_are_written_in_row_groups(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    assert (
        write_table(tmp_path / "t.parquet", "houses", schema, (({"a": i}, None) for i in range(25_000)), None) == 25_000
    )
    file = parquet.ParquetFile(tmp_path / "t.parquet")
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 25_000)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_table_that_is_cut_short_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "t.csv"
    file.write_text("before")

    def rows() -> Iterator[tuple[dict[str, Any], None]]:
        yield {"a": 1}, None
        raise error

    expected = errors.DatasetError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_table(file, "houses", pa.schema([("a", pa.int64())]), rows(), None)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert file.read_text() == "before"


def test_only_a_parquet_file_of_the_same_endpoint_is_replaced_unless_told(tmp_path: Path) -> None:
    mine, other, csv, foreign = (tmp_path / name for name in ("a.parquet", "b.parquet", "c.csv", "d.parquet"))
    write_table(mine, "houses", SCHEMA, ROWS, LABELS)
    write_table(other, "cars", SCHEMA, ROWS, LABELS)
    write_table(csv, "houses", SCHEMA, ROWS, LABELS)
    foreign.write_bytes(b"PAR1 no")
    check_output(mine, "houses", replace=False)
    check_output(tmp_path / "new.csv", "houses", replace=False)
    for file in (other, csv, foreign):
        with pytest.raises(errors.UsageError, match="exists, and is no Parquet file that was written for 'houses'"):
            check_output(file, "houses", replace=False)
        check_output(file, "houses", replace=True)
    for file in (tmp_path / "a.json", tmp_path / "a"):
        with pytest.raises(errors.UsageError, match=r"expected a name that ends in \.parquet or \.csv"):
            check_output(file, "houses", replace=True)
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(errors.UsageError, match="is a folder"):
        check_output(tmp_path / "f.csv", "houses", replace=True)
