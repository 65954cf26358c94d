"""Tables come in mini-batches of one size, in the order of their rows, whatever their format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from notebooks_lib.errors import InputError, UsageError
from notebooks_lib.serving.batch.batch_input import DatasetInput, FileInput
from notebooks_lib.settings import Settings

FRAME = pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5, 5.5], "city": ["Graz", "Łódź", "a,b", 'q"q', "two\nlines"]})


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pandas(FRAME), path, row_group_size=3)
    elif path.suffix in (".csv", ".tsv"):
        FRAME.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    else:
        FRAME.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl", "t.ndjson", "T.CSV"])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_every_format_gives_the_same_rows(name: str, size: int, tmp_path: Path) -> None:
    data = FileInput(write(tmp_path / name.lower()).rename(tmp_path / name))
    assert data.column_names() == ["x", "city"]
    batches = list(data.batches(["city", "x"], size))
    assert [len(batch.table) for batch in batches] == [len(FRAME.iloc[at : at + size]) for at in range(0, 5, size)]
    table = pa.concat_tables([batch.table.select(["x", "city"]) for batch in batches]).to_pandas()
    assert table.astype({"x": float}).equals(FRAME)
    assert [row for batch in batches for row in batch.rows.tolist()] == [0, 1, 2, 3, 4]


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        assert [b.table.column_names for b in FileInput(write(tmp_path / name)).batches(["city"], 9)] == [["city"]]


def test_a_line_that_cannot_be_read_is_named_and_the_rows_after_it_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n\n4,5,6\n7,8\n")
    (batch,) = FileInput(tmp_path / "t.csv").batches(None, 9)
    assert batch.faults == {
        1: "has 1 values; expected 2, as in the header",
        2: "has 3 values; expected 2, as in the header",
    }
    assert (batch.rows.tolist(), batch.table["a"].to_pylist()) == ([0, 3], ["1", "7"])

    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": \n[1]\n{"a": 2}\n')
    (batch,) = FileInput(tmp_path / "t.jsonl").batches(None, 9)
    assert (batch.rows.tolist(), batch.table["a"].to_pylist(), batch.faults[2]) == (
        [0, 3],
        [1, 2],
        "is not a JSON object",
    )
    assert batch.faults[1].startswith("is not JSON: ")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([1, None], [1, None]),
        ([True, None], [True, None]),
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        ([2**62, 1], [2**62, 1]),
        ([1, "x"], ["1", '"x"']),
        ([1, True], ["1", "true"]),
        ([[1], [2]], ["[1]", "[2]"]),
        ([2**70], [str(2**70)]),
        (["\ud800"], ['"\\ud800"']),
        ([None], [None]),
    ],
)
def test_the_type_of_a_column_of_json_is_that_of_all_its_rows(
    values: list[Any], expected: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"a": value}) + "\n" for value in values))
    for size in (1, 9):
        batches = list(FileInput(tmp_path / "t.jsonl").batches(["a", "b"], size))
        assert [item for batch in batches for item in batch.table["a"].to_pylist()] == expected
        assert len({str(batch.table["a"].type) for batch in batches}) == 1


def test_a_column_of_json_that_begins_late_is_read(tmp_path: Path) -> None:
    lines = [json.dumps({"a": 1} | ({"late": 2} if row > 1200 else {})) for row in range(1300)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    data = FileInput(tmp_path / "t.jsonl")
    assert data.column_names() == ["a", "late"]
    late = [item for batch in data.batches(None, 100) for item in batch.table["late"].to_pylist()]
    assert late == [None] * 1201 + [2] * 99


@pytest.mark.parametrize("value", ["text", 2**70, [1]])
def test_json_lines_that_grow_while_they_are_read_are_an_input_error(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    for first in (1, "\u0142", None):
        file.write_text(json.dumps({"a": first}) + "\n")
        batches = FileInput(file).batches(None, 1)
        next(batches)
        with file.open("a") as more:
            more.write(json.dumps({"a": value if first != "\u0142" else 2}) + "\n")
        with pytest.raises(InputError, match=r"t\.jsonl: changed while it was read: "):
            list(batches)


def test_a_name_that_is_no_text_is_a_fault_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"\\ud800": 2}\n')
    (batch,) = FileInput(tmp_path / "t.jsonl").batches(None, 9)
    assert batch.faults == {1: "has a name with half a surrogate pair, which is no text"}
    assert batch.table.to_pydict() == {"a": [1]}


def test_an_empty_line_of_a_single_column_is_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n\n2\n")
    (batch,) = FileInput(tmp_path / "t.csv").batches(None, 9)
    assert batch.table["a"].to_pylist() == ["1", "", "2"]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("t.csv", b'a,b\n1,"2\n', InputError, r"t\.csv: line 2: unexpected end of data"),
        ("t.csv", b"a\n\xff\n", InputError, r"t\.csv: is not UTF-8 after line \d: invalid start byte"),
        ("t.csv", b"a,a\n1,2\n", InputError, r"column 'a' appears twice"),
        ("t.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', InputError, r"is not UTF-8"),
        ("t.parquet", b"PAR1", InputError, r"t\.parquet: cannot be read as Parquet"),
        ("t.xlsx", b"", UsageError, r"expected a file \.parquet, \.csv, \.tsv, \.jsonl or \.ndjson"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    name: str, content: bytes, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        data = FileInput(tmp_path / name)
        data.column_names()
        list(data.batches(None, 10))


def test_a_parquet_file_that_was_cut_is_refused_after_the_rows_that_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"x": [f"{number**5 % 99991}" for number in range(2000)]})
    parquet.write_table(table, path, row_group_size=1000, compression="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) * 3 // 4] = bytes(len(content) * 3 // 4 - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read after row"):
        list(FileInput(path).batches(None, 500))


def test_of_a_dataset_with_a_target_the_holdout_is_left_out(empty_project: Settings) -> None:
    data = DatasetInput("diabetes@1", empty_project)
    rows = [row for batch in data.batches(["age"], 100) for row in batch.rows.tolist()]
    assert (len(rows) + data.held_out, data.held_out > 50, rows == sorted(rows)) == (442, True, True)
    assert "target" in data.no_features


def test_of_a_dataset_without_a_target_all_rows_are_scored(empty_project: Settings, tmp_path: Path) -> None:
    from notebooks_lib.datasets import add

    pd.DataFrame({"id": range(200), "x": [n / 7 for n in range(200)]}).to_csv(tmp_path / "new.csv", index=False)
    add(tmp_path / "new.csv", name="new", key="id", settings=empty_project)
    data = DatasetInput("new@1", empty_project)
    assert (sum(len(batch.rows) for batch in data.batches(None, 64)), data.held_out, data.key) == (200, 0, "id")
