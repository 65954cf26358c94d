"""The result is one file, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from notebooks_lib.errors import BatchError, UsageError
from notebooks_lib.serving.batch import batch_result
from notebooks_lib.serving.batch.batch_result import ResultFile

ROWS = pa.table({"row": [0, 1], "prediction": [0.1, 1e-300], "city": ["Łódź", 'a,"b"\n']})


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".PARQUET"])
def test_the_rows_of_all_mini_batches_are_in_one_file(suffix: str, tmp_path: Path) -> None:
    output = tmp_path / f"out{suffix}"
    for _ in range(2):  # a second time it takes the place of the first
        with ResultFile(output) as file:
            file.write(ROWS)
            file.write(ROWS)
    options = csv.ParseOptions(newlines_in_values=True)
    table = csv.read_csv(output, parse_options=options) if suffix == ".csv" else parquet.read_table(output)
    assert table.equals(pa.concat_tables([ROWS, ROWS]).cast(table.schema))
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_file_is_what_it_was_before(error: type[BaseException], tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    for before in (None, "kept"):
        if before:
            output.write_text(before)
        with pytest.raises(error), ResultFile(output) as file:
            file.write(ROWS)
            raise error
        assert [path.name for path in tmp_path.iterdir()] == (["out.csv"] if before else [])
    assert output.read_text() == "kept"


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), ResultFile(tmp_path / "out.parquet") as file:
        file.write(ROWS)
    assert not list(tmp_path.iterdir())


def test_rights_are_those_of_any_new_file_or_of_the_one_before(tmp_path: Path) -> None:
    for name, rights in (("new.csv", None), ("old.csv", 0o640)):
        if rights:
            (tmp_path / name).touch(rights)
        with ResultFile(tmp_path / name) as file:
            file.write(ROWS)
        (tmp_path / "any").touch()
        assert (tmp_path / name).stat().st_mode & 0o777 == (rights or (tmp_path / "any").stat().st_mode & 0o777)


def test_types_that_no_later_mini_batch_may_have_are_not_taken_from_the_first(tmp_path: Path) -> None:
    first = pa.table({"a": pa.nulls(1), "b": pa.array(["x"]).dictionary_encode()})
    with ResultFile(tmp_path / "out.parquet") as file:
        file.write(first)
        file.write(pa.table({"a": ["late"], "b": pa.array(["y"]).dictionary_encode()}))
    assert parquet.read_table(tmp_path / "out.parquet").to_pydict() == {"a": [None, "late"], "b": ["x", "y"]}


def test_other_columns_in_a_later_mini_batch_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="rows from number 2 on"), ResultFile(tmp_path / "out.csv") as file:
        file.write(ROWS)
        file.write(ROWS.rename_columns(["row", "other", "city"]))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_rows_without_predictions_take_the_columns_of_those_with_some(suffix: str, tmp_path: Path) -> None:
    without = pa.table({"row": [0], "prediction": pa.nulls(1), "error": ["x"]})
    some = pa.table({"row": [1], "prediction.a": [0.5], "prediction.b": [2], "error": pa.nulls(1)})
    with ResultFile(tmp_path / f"out{suffix}") as file:
        for table in (without, some, without):
            file.write(table)
    read = parquet.read_table if suffix == ".parquet" else csv.read_csv
    assert read(tmp_path / f"out{suffix}").to_pydict() == {
        "row": [0, 1, 0],
        "prediction.a": [None, 0.5, None],
        "prediction.b": [None, 2, None],
        "error": ["x", None if suffix == ".parquet" else "", "x"],
    }


def test_rows_that_wait_for_a_prediction_are_not_in_memory(tmp_path: Path) -> None:
    """With `--error-threshold -1` they may be all rows of a large table."""
    output, before = tmp_path / "out.parquet", pa.total_allocated_bytes()
    with ResultFile(output) as file:
        for _ in range(20):
            file.write(pa.table({"row": pa.nulls(1000, pa.int64()), "prediction": pa.nulls(1000)}))
        assert pa.total_allocated_bytes() - before < 20 * 1000 * 8
    assert parquet.read_metadata(output).num_rows == 20_000
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_rows_that_waited_are_named_by_their_own_number(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="rows from number 1 on have"), ResultFile(tmp_path / "out.csv") as file:
        file.write(pa.table({"row": [0], "prediction": pa.nulls(1)}))
        file.write(pa.table({"row": [1], "other": [2], "prediction": pa.nulls(1)}))
        file.write(pa.table({"row": [2], "prediction": [0.5]}))


def test_a_form_of_predictions_that_changes_is_told_with_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(
            BatchError,
            match=r"rows from number 1 on have prediction where others have prediction\.0: .*--mini-batch",
        ),
        ResultFile(tmp_path / "out.csv") as file,
    ):
        file.write(pa.table({"row": [0], "prediction.0": [1.0]}))
        file.write(pa.table({"row": [1], "prediction": ["[1, 2]"]}))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.xlsx", r"expected a file \.parquet or \.csv"),
        ("out.parqet", r"did you mean out\.parquet\?"),
        ("folder.csv", "is a folder; name a file in it"),
        ("none/out.csv", "no folder none; make it first"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_scored(output: str, message: str) -> None:
    Path("folder.csv").mkdir()
    with pytest.raises(UsageError, match=message):
        batch_result.check_output(Path(output))
