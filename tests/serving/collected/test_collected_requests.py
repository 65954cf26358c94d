"""Inputs find their predictions: also where ids are used again, records got lost, or came twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from notebooks_lib.serving.collected.collected_records import CollectedRecord
from notebooks_lib.serving.collected.collected_requests import joining
from tests.serving.collected.collectors import AT, SINCE


def record(
    collection: str,
    request: str,
    *rows: Any,
    after: float = 0,
    slot: str = "blue",
    event: str = "",
    version: str = "3",
) -> CollectedRecord:
    at = AT + timedelta(seconds=after)
    return CollectedRecord(f"model_{collection}", slot, event, request, at, version, json.dumps(rows))


def joined(
    records: Iterable[CollectedRecord], since: datetime = SINCE
) -> list[tuple[str, list[Any], list[Any] | None]]:
    with joining(since) as requests:
        requests.add(records)
        return [(each.request, each.inputs, each.predictions) for each in requests]


def test_rows_and_predictions_of_a_request_keep_their_order_and_requests_that_of_time() -> None:
    records = [
        record("outputs", "late", 3, 4, after=5),
        record("inputs", "late", "c", "d", after=5),
        record("inputs", "early", "a", "b"),
        record("outputs", "early", 1, 2, after=1),
    ]
    assert joined(records) == [("early", ["a", "b"], [1, 2]), ("late", ["c", "d"], [3, 4])]


def test_one_id_for_all_requests_is_paired_by_time_then_by_order() -> None:
    asked = [record("inputs", "same", number, after=number) for number in range(5)]
    answered = [record("outputs", "same", 10 * number, after=number) for number in range(5)]
    expected = [("same", [number], [10 * number]) for number in range(5)]
    assert joined([*answered[::-1], *asked]) == expected
    lost = [*answered[:2], *answered[3:]]
    assert [predictions for _, _, predictions in joined([*asked, *lost])] == [[0], [10], None, [30], [40]]


def test_one_id_with_other_times_is_paired_by_order_only_if_nothing_got_lost() -> None:
    asked = [record("inputs", "same", number, after=number) for number in range(3)]
    answered = [record("outputs", "same", 10 * number, after=number + 0.5) for number in range(3)]
    assert [predictions for _, _, predictions in joined([*asked, *answered])] == [[0], [10], [20]]
    assert [predictions for _, _, predictions in joined([*asked, *answered[1:]])] == [None, None, None]


def test_inputs_alone_stay_and_predictions_alone_and_other_numbers_are_told_apart() -> None:
    records = [
        record("inputs", "alone", 1),
        record("inputs", "more", 1, 2),
        record("outputs", "more", 1),
        record("outputs", "nobody", 1),
    ]
    with joining(SINCE) as requests:
        requests.add(records)
        found = {each.request: (each.predictions, each.answered) for each in requests}
        assert found == {"alone": (None, False), "more": (None, True)}
        assert requests.predictions_alone() == 1


def test_a_record_that_came_twice_counts_once_and_two_records_without_an_id_twice() -> None:
    twice = [record("inputs", "r", 1, event="e1"), record("outputs", "r", 2, event="e2")] * 2
    with joining(SINCE) as requests:
        requests.add(twice)
        assert [(each.inputs, each.predictions) for each in requests] == [([1], [2])]
        assert requests.repeated == 2
    assert len(joined([record("inputs", "r", 1)] * 2)) == 2


def test_each_slot_has_its_own_answer_to_a_mirrored_request() -> None:
    records = [
        record(kind, "r", value, slot=slot)
        for slot, value in (("green", 2), ("blue", 1))
        for kind in ("outputs", "inputs")
    ]
    with joining(SINCE) as requests:
        requests.add([*records, record("inputs", "other", 1)])
        assert [(each.slot, each.predictions) for each in requests] == [("blue", [1]), ("blue", None), ("green", [2])]
        assert requests.in_several_slots() == 1


def test_only_requests_of_the_time_are_given_and_their_predictions_may_be_older_or_newer() -> None:
    records = [
        record("inputs", "before", 1, after=-0.001),
        record("outputs", "before", 1, after=1),
        record("inputs", "in", 2),
        record("outputs", "in", 3, after=-1),
    ]
    with joining(AT) as requests:
        requests.add(records)
        assert [(each.request, each.predictions) for each in requests] == [("in", [3])]
        assert requests.predictions_alone() == 0


def test_a_clock_that_goes_back_changes_the_order_and_loses_nothing() -> None:
    records = [
        record(kind, f"r{number}", number, after=-number) for number in range(4) for kind in ("inputs", "outputs")
    ]
    assert joined(records) == [(f"r{number}", [number], [number]) for number in (3, 2, 1, 0)]


def test_nothing_is_left_on_disk(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with joining(SINCE) as requests:
        requests.add(record("inputs", f"r{number}", "x" * 2000) for number in range(1000))
        assert list(tmp_path.iterdir()) == [], "SQLite unlinks its temporary files at once"
