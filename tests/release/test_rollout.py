"""What a version waits for is read from a tag, which anybody may have written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError
from notebooks_lib.release import pending_approval
from notebooks_lib.release.pending_approval import WaitingRecord
from notebooks_lib.tags import Tag

TOLD = {"stages": ["prod"], "compared": "1", "run": "r", "reason": "", "passed": ["test"]}


def version(text: str) -> Any:
    return type("Version", (), {"waiting": text, "version": "2", "model": "houses"})()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "Expecting value"),
        ("[" * 100_000, "maximum recursion"),
        ("[]", "it is list, expected an object"),
        ("5", "it is int"),
        ("null", "it is NoneType"),
        ("{}", "'stages' is missing"),
        (json.dumps(TOLD | {"stages": []}), "'stages' is empty"),
        (json.dumps(TOLD | {"stages": "prod"}), "'stages' is str, expected list"),
        (json.dumps(TOLD | {"stages": ["moon"]}), "unknown stage 'moon'"),
        (json.dumps(TOLD | {"stages": [5]}), "unknown stage 5"),
        (json.dumps(TOLD | {"compared": 1}), "'compared' is int"),
        (json.dumps(TOLD | {"run": None}), "'run' is NoneType"),
        (json.dumps(TOLD | {"passed": "test"}), "'passed' is str"),
        (json.dumps(TOLD | {"passed": ["x"]}), "unknown stage 'x'"),
    ],
)
def test_a_foreign_tag_is_shown_with_the_way_out(text: str, problem: str) -> None:
    found = f"found {text[:60]!r}"[:-1]
    with pytest.raises(PromotionError) as raised:
        pending_approval.read_waiting_tag(version(text))
    message = str(raised.value)
    assert message.startswith(f"version 2 of 'houses': nbops did not write its tag {Tag.WAITING}: {found}")
    assert problem in message
    assert message.endswith("remove the tag, and promote again: nbops promote --live")
    assert len(message) < 400


def test_a_version_without_the_tag_does_not_wait() -> None:
    assert pending_approval.read_waiting_tag(version("")) is None


def test_a_wait_is_read_as_it_was_written() -> None:
    record = WaitingRecord(("prod",), "1", "r", "", ("test",))
    assert pending_approval.read_waiting_tag(version(json.dumps(asdict(record)))) == record
    assert pending_approval.read_waiting_tag(version(json.dumps(TOLD))) == record
    older = {key: value for key, value in TOLD.items() if key != "passed"}
    assert pending_approval.read_waiting_tag(version(json.dumps(older))) == replace(record, passed=())
