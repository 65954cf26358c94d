"""What a version waits for is read from a tag, which anybody may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notebooks_lib.release import rollout
from notebooks_lib.tags import Tag

TOLD = {"stages": ["prod"], "compared": "1", "run": "r", "reason": "", "passed": ["test"]}


def version(text: str) -> Any:
    return type("Version", (), {"tags": {Tag.WAITING: text}})()


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "5", "{}", "[" * 100_000]
    + [json.dumps(TOLD | other) for other in (
        {"stages": []}, {"stages": "prod"}, {"stages": ["moon"]}, {"stages": [5]}, {"compared": 1}, {"run": None},
        {"passed": "test"}, {"passed": ["x"]},
    )],
)  # fmt: skip
def test_a_wait_of_another_shape_is_none(text: str) -> None:
    assert rollout.read_waiting_tag(version(text)) is None


def test_a_wait_is_read_as_it_was_written() -> None:
    assert rollout.read_waiting_tag(version(json.dumps(TOLD))) == TOLD
    older = {key: value for key, value in TOLD.items() if key != "passed"}
    assert rollout.read_waiting_tag(version(json.dumps(older))) == older | {"passed": []}
