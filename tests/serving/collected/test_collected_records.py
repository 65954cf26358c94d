"""A record of a collector is read, or refused with what is wrong with it; a file is read if its time may matter."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notebooks_lib.serving.collected.collected_records import (
    CollectedFile,
    Damages,
    RecordFault,
    parse_record,
    read_records,
)

FILE = CollectedFile("blue.jsonl", "blue", "model_inputs")
EVENT: dict[str, Any] = {
    "id": "e1",
    "time": "2026-11-20T10:59:58Z",
    "data": [{"a": 1}],
    "correlationid": "r1",
    "modelversion": "3",
}


@pytest.mark.parametrize(
    ("folder", "begins", "lasts"),
    [
        ("2026", datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=366)),
        ("2026/02", datetime(2026, 2, 1, tzinfo=UTC), timedelta(days=31)),
        ("2026/02/28", datetime(2026, 2, 28, tzinfo=UTC), timedelta(days=1)),
        ("2026/02/28/23", datetime(2026, 2, 28, 23, tzinfo=UTC), timedelta(hours=1)),
        ("2026/02/28/23/59", datetime(2026, 2, 28, 23, 59, tzinfo=UTC), timedelta(minutes=1)),
        ("2026/13/40", None, None),
        ("archive", None, None),
    ],
)
def test_a_file_has_the_time_of_its_folder_whatever_the_rolling_rate(
    folder: str, begins: datetime | None, lasts: timedelta | None
) -> None:
    file = CollectedFile.at(f"blue/model_inputs/{folder}/x.jsonl", "name")
    assert file is not None
    assert (file.slot, file.collection, file.begins) == ("blue", "model_inputs", begins)
    if begins is None or lasts is None:
        assert file.may_hold(datetime.max.replace(tzinfo=UTC)), "a file without a time is read"
    else:
        assert file.may_hold(begins + lasts - timedelta(seconds=1))
        assert not file.may_hold(begins + lasts)


@pytest.mark.parametrize("path", ["blue/request/2026/x.jsonl", "blue/model_inputs_outputs/2026/x.jsonl", "x.jsonl"])
def test_files_of_other_collections_are_none(path: str) -> None:
    assert CollectedFile.at(path, "name") is None


@pytest.mark.parametrize(
    "time", ["2026-11-20T10:59:58Z", "2026-11-20T10:59:58.0000000Z", "2026-11-20T12:59:58+02:00", "2026-11-20T10:59:58"]
)
def test_times_are_utc_whatever_zone_they_are_written_in(time: str) -> None:
    assert parse_record({**EVENT, "time": time}, FILE).at == datetime(2026, 11, 20, 10, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([{"a": 1}], [{"a": 1}]),
        ('[{"a": 1}]', [{"a": 1}]),
        ({"a": 1}, [{"a": 1}]),
        ([], []),
        ([[1, [2]], 3], [[1, [2]], 3]),
    ],
)
def test_rows_are_a_list_or_the_text_of_one(data: object, rows: list[Any]) -> None:
    assert json.loads(parse_record({**EVENT, "data": data}, FILE).rows) == rows


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"correlationid": None}, "has no correlationid"),
        ({"correlationid": 7}, "has no correlationid"),
        ({"time": "yesterday"}, "has no time, found 'yesterday'"),
        ({"time": None}, "has no time, found 'None'"),
        ({"data": "[1,"}, "its data is no JSON"),
        ({"data": 7}, "its data is no list of rows"),
        ({"data": None}, "its data is no list of rows"),
        ({"data": [{"a": "\ud800"}]}, "holds half of a Unicode character"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_record({**EVENT, **change}, FILE)


def test_rows_that_lie_elsewhere_are_said_to() -> None:
    event = {key: value for key, value in EVENT.items() if key != "data"}
    with pytest.raises(ValueError, match="too large for the record and lie elsewhere"):
        parse_record({**event, "dataref": "https://account/raw"}, FILE)
    with pytest.raises(ValueError, match="has no data"):
        parse_record(event, FILE)


def test_damaged_records_are_counted_by_file_and_the_others_read() -> None:
    damages, other = Damages(), CollectedFile("green.jsonl", "green", "model_inputs")
    documents = iter([("line 1", EVENT), ("line 2", [7]), RecordFault("line 3", "is no JSON"), ("line 4", {})])
    records = list(read_records([(FILE, documents), (other, iter([RecordFault("", "was deleted")]))], damages))
    assert [record.request for record in records] == ["r1"]
    assert damages.count == 4
    assert damages.as_json() == [
        {"file": "blue.jsonl", "count": 3, "first": "line 2: is no JSON object"},
        {"file": "green.jsonl", "count": 1, "first": "was deleted"},
    ]
