"""What endpoints were asked and answered: in files that others can read, without a request that waits for it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving import data_collector as collecting
from notebooks_lib.serving.data_collector import FIELDS, CollectedRequest, DataCollector

AT = 1_769_900_399.25  # 2026-01-31 22:59:59
BODY = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [3, None]]}}).encode()
ANSWER = b'{"predictions":[4.0,5.0]}'


def seen(number: int = 0, **more: Any) -> CollectedRequest:
    given = {"slot": "blue", "version": "3", "id": f"r{number}", "trace": "", "kind": "application/json", "at": AT}
    return CollectedRequest(**{**given, "body": BODY, "answer": ANSWER, **more})


def read(root: Path, collection: str) -> list[dict[str, Any]]:
    return list(pyarrow.dataset.dataset(root / "sample" / "blue" / collection).to_table().to_pylist())


def test_files_lie_and_read_as_those_of_azures_collector(tmp_path: Path) -> None:
    collector = DataCollector(tmp_path, "sample")
    collector.offer(seen(0, trace="00-t"))
    collector.offer(seen(1, at=AT + 2))
    collector.offer(seen(2, slot="green"))
    collector.close()
    assert (collector.collected, collector.dropped) == (3, 0)
    hours = sorted({str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")})
    assert hours == [
        "sample/blue/model_inputs/2026/01/31/22",
        "sample/blue/model_inputs/2026/01/31/23",
        "sample/blue/model_outputs/2026/01/31/22",
        "sample/blue/model_outputs/2026/01/31/23",
        "sample/green/model_inputs/2026/01/31/22",
        "sample/green/model_outputs/2026/01/31/22",
    ]
    assert not list(tmp_path.rglob("*.part"))
    asked = min(read(tmp_path, "model_inputs"), key=lambda record: record["time"])
    answered = min(read(tmp_path, "model_outputs"), key=lambda record: record["time"])
    assert tuple(asked) == FIELDS
    assert json.loads(asked["data"]) == [{"a": 1, "b": 2.5}, {"a": 3, "b": None}]
    assert json.loads(answered["data"]) == [{"prediction": 4.0}, {"prediction": 5.0}]
    assert asked["time"] == "2026-01-31T22:59:59.250000Z"
    assert asked["correlationid"] == asked["xrequestid"] == answered["correlationid"] == "r0"
    assert asked["id"] != answered["id"]
    assert (asked["modelversion"], asked["traceparent"]) == ("3", "00-t")
    assert asked["source"].endswith("/onlineEndpoints/sample/deployments/blue")


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_of_the_requests_is_kept(share: float, tmp_path: Path) -> None:
    collector = DataCollector(tmp_path, "sample", share=share)
    for number in range(200):
        collector.offer(seen(number))
    collector.close()
    assert collector.collected == pytest.approx(200 * share, abs=2)
    assert len(read(tmp_path, "model_inputs")) == collector.collected


def test_what_the_writer_cannot_follow_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, going = threading.Event(), threading.Event()

    def wait(*_: Any) -> Any:
        going.set()
        stuck.wait(20)
        return []

    monkeypatch.setattr(collecting, "input_rows", wait)
    collector = DataCollector(tmp_path, "sample", waiting=10)
    collector.offer(seen())
    going.wait(20)
    began = time.perf_counter()
    for number in range(1000):
        collector.offer(seen(number))
    assert time.perf_counter() - began < 1  # nobody waited for the writer
    assert collector.dropped == 990
    stuck.set()
    collector.close()
    assert collector.collected == 11


def test_a_file_is_closed_when_its_time_has_come(tmp_path: Path) -> None:
    collector = DataCollector(tmp_path, "sample", rotate=0.01)
    collector.offer(seen())
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(read(tmp_path, "model_inputs")) == 1
    collector.close()


def test_a_disk_that_is_full_costs_the_records_only(tmp_path: Path) -> None:
    (tmp_path / "sample").write_text("no folder")
    collector = DataCollector(tmp_path, "sample")
    collector.offer(seen())
    collector.offer(seen(1, body=b"{"))
    collector.close()
    assert (collector.collected, collector.dropped) == (0, 2)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"dataframe_records": [{"a": 1}]}, [{"a": 1}]),
        ({"dataframe_split": {"data": [[1]]}}, [[1]]),
        ({"inputs": {"a": [1, 2], "b": [3, 4]}}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ({"inputs": {"a": "x"}}, [{"a": "x"}]),
        ({"instances": [[1, 2]]}, [[1, 2]]),
        ({"params": {"k": 1}, "input_data": {"columns": ["a"], "index": [0], "data": [[1]]}}, [{"a": 1}]),
        ({"inputs": 5}, [5]),
    ],
)
def test_rows_of_every_format_are_objects_where_columns_have_names(body: Any, expected: Any) -> None:
    assert collecting.input_rows("application/json", json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1, 2]], [{"a": 1, "b": 2}]),
        ({"data": [[1, 2]]}, [{"a": 1, "b": 2}]),
        ([[1, 2, 3]], [[1, 2, 3]]),
        ([{"b": 2, "a": 1}], [{"b": 2, "a": 1}]),
    ],
)
def test_rows_without_names_get_those_of_the_model(value: Any, expected: Any) -> None:
    columns = (Column("a", "double"), Column("b", "double"))
    body = json.dumps({"input_data": value}).encode()
    assert collecting.input_rows("application/json", body, columns) == expected
    tensor = (Column("a", "float64", shape=(-1, 2)),)
    assert collecting.input_rows("application/json", b'{"input_data": [[1, 2]]}', tensor) == [[1, 2]]


def test_csv_rows_are_objects_too() -> None:
    assert collecting.input_rows("text/csv", b"a,b\n1,x\n") == [{"a": "1", "b": "x"}]
    assert collecting.output_rows(b'{"predictions":{"mean":1}}') == [{"mean": 1}]
