"""Requests of a number of rows, made of one example."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.serving.profile.load_test_grid import make_batch


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"dataframe_split": {"columns": ["x"], "index": [7, 8], "data": [[1], [2]]}}, {"columns": ["x"], "data": [[1], [2], [1]]}),
        ({"dataframe_records": [{"x": 1}]}, [{"x": 1}] * 3),
        ({"instances": [[1], [2]]}, [[1], [2], [1]]),
        ({"inputs": {"x": [1, 2]}}, {"x": [1, 2, 1]}),
        ({"inputs": [[1.0]]}, [[1.0]] * 3),
        ({"input_data": {"columns": ["x"], "index": [0], "data": [[1]]}}, {"columns": ["x"], "data": [[1]] * 3}),
        ({"input_data": [[1]], "params": {"a": 1}}, [[1]] * 3),
    ],
)  # fmt: skip
def test_a_batch_repeats_the_rows(payload: dict[str, Any], expected: Any) -> None:
    found = make_batch(payload, 3)
    key = next(iter(payload))
    assert found[key] == expected
    assert found.get("params") == payload.get("params")


@pytest.mark.parametrize(
    "payload", [{}, {"rows": [1]}, {"inputs": "text"}, {"inputs": []}, {"inputs": 1, "instances": 1}]
)
def test_a_request_without_rows_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make_batch(payload, 2)
