"""Labels are found by a key of the same kind, whatever the file is; what is doubtful is refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.serving.collected.collected_columns import CollectedColumns
from notebooks_lib.serving.collected.collected_labels import LabelIndex, LabelTable, key_text
from notebooks_lib.serving.collected.collected_requests import joining
from tests.serving.collected.collectors import SINCE


def places(folder: Path, labels: pd.DataFrame | str, inputs: list[Any], *, key: str = "id") -> list[int | None]:
    """Return the place of the label of each input."""
    return index(folder, labels, inputs, key=key)[0]


def index(
    folder: Path, labels: pd.DataFrame | str, inputs: list[Any], *, key: str = "id", training: bool = False
) -> tuple[list[int | None], LabelIndex]:
    file = folder / ("truth.csv" if isinstance(labels, str) else "truth.parquet")
    if isinstance(labels, str):
        file.write_text(labels)
    else:
        labels.to_parquet(file, index=False)
    columns = CollectedColumns()
    columns.see([{"id": value, "x": 1} for value in inputs], [{"prediction": 1}], "1")
    table = LabelTable.read(file, key)
    with joining(SINCE) as requests:
        found = table.index(columns, requests.database, training=training)
        convert = columns.inputs["id"].convert
        return [found.place(convert(value)) for value in inputs], found


@pytest.mark.parametrize(
    ("labels", "inputs"),
    [
        ("id,y\n7,1\n8,2\n", [8, 7, 9]),
        ("id,y\n7,1\n8,2\n", ["8", "7", "9"]),
        ("id,y\n7,1\n8,2\n", [8.0, 7, 9]),
        ("id,y\n007,1\n8,2\n", ["8", "007", "7"]),
        ("id,y\ntrue,1\nfalse,2\n", ["false", "true", "x"]),
        ("id,y\n20000000000000000007,1\n20000000000000000008,2\n", [20000000000000000008, 20000000000000000007, 1]),
        (pd.DataFrame({"id": [7, 8], "y": [1, 2]}), [8, 7, 9]),
        (pd.DataFrame({"id": ["a", "b"], "y": [1, 2]}), ["b", "a", "c"]),
        (pd.DataFrame({"id": [7.0, None, 8.0], "y": [1, 5, 2]}).iloc[[0, 2]], [8, 7, None]),
    ],
)
def test_keys_of_one_kind_meet(tmp_path: Path, labels: pd.DataFrame | str, inputs: list[Any]) -> None:
    assert places(tmp_path, labels, inputs) == [1, 0, None]


@pytest.mark.parametrize(
    ("labels", "inputs", "error", "message"),
    [
        (pd.DataFrame({"id": [7], "y": [1]}), ["7"], UsageError, "is text in the requests and number in .*, as '7'"),
        (pd.DataFrame({"id": ["7"], "y": [1]}), [7], UsageError, "is number in the requests and text in .*, as '7'"),
        ("id,y\n7,1\n7,2\n", [7], DatasetError, "rows 1 and 2 have different labels for id '7'"),
        ("id,x\n7,1\n", [7], UsageError, "column 'x' is an input of the requests too"),
        ("id,prediction\n7,1\n", [7], UsageError, "column 'prediction' is a column of the collected table too"),
        ("id\n7\n", [7], UsageError, "has only the key 'id'"),
        ("ids,y\n7,1\n", [7], UnknownNameError, "unknown key column 'id', did you mean 'ids'"),
    ],
)
def test_what_is_doubtful_is_refused(
    tmp_path: Path, labels: pd.DataFrame | str, inputs: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        places(tmp_path, labels, inputs)


def test_a_key_that_the_requests_lack_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown key 'order' \(known: id, request_id, x\)"):
        places(tmp_path, "order,y\n1,2\n", [7], key="order")


def test_a_label_may_be_called_as_a_column_of_ours_where_ours_are_left_out(tmp_path: Path) -> None:
    found, _ = index(tmp_path, "id,prediction\n7,1\n", [7], training=True)
    assert found == [0]


def test_labels_said_twice_empty_or_without_a_key_are_counted(tmp_path: Path) -> None:
    found, counted = index(tmp_path, "id,y\n7,1\n7,1\n,3\n8,\n", [7, 8])
    assert found == [0, None]
    assert (counted.repeated, counted.without_key, counted.empty) == (1, 1, 1)


def test_a_key_is_the_same_as_number_of_either_kind() -> None:
    assert [key_text(value) for value in (7, 7.0, 7.5, "7", "", None, float("nan"))] == [
        *("7", "7", "7.5", "7"),
        *(None, None, None),
    ]
