"""What a version waits for is read from a tag, which anybody may have written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from notebooks_lib.release import pending_approval
from notebooks_lib.release.pending_approval import WaitingRecord

TOLD = {"stages": ["prod"], "compared": "1", "run": "r", "reason": "", "passed": ["test"]}


def version(text: str) -> Any:
    return type("Version", (), {"waiting": text})()


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "5", "{}", "[" * 100_000]
    + [json.dumps(TOLD | other) for other in (
        {"stages": []}, {"stages": "prod"}, {"stages": ["moon"]}, {"stages": [5]}, {"compared": 1}, {"run": None},
        {"passed": "test"}, {"passed": ["x"]},
    )],
)  # fmt: skip
def test_a_wait_of_another_shape_is_none(text: str) -> None:
    assert pending_approval.read_waiting_tag(version(text)) is None


def test_a_wait_is_read_as_it_was_written() -> None:
    record = WaitingRecord(("prod",), "1", "r", "", ("test",))
    assert pending_approval.read_waiting_tag(version(json.dumps(asdict(record)))) == record
    assert pending_approval.read_waiting_tag(version(json.dumps(TOLD))) == record
    older = {key: value for key, value in TOLD.items() if key != "passed"}
    assert pending_approval.read_waiting_tag(version(json.dumps(older))) == replace(record, passed=())
