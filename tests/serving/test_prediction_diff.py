"""Predictions of two models for the same rows, compared row by row."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.serving.prediction_diff import compare_answers


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], (2, 0, 0, 0.0)),
        ([1.0, 2.0], [1.0, 4.0], (2, 1, 0, 0.5)),
        (["yes", "no"], ["yes", "yes"], (2, 1, 0, 0.0)),
        ([["a", "b"]], [["a"]], (1, 1, 0, 0.0)),
        ([1.0, None], [None, None], (2, 1, 0, 0.0)),
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 1.0}], (1, 1, 0, 0.5)),
        ([1.0, 2.0], ["1", 2.0], (2, 1, 1, 0.0)),
        ([True], [1], (1, 1, 1, 0.0)),
        ([[0.5, 0.5]], [[0.2, 0.3, 0.5]], (1, 1, 1, 0.0)),
        ([{"a": 1.0}], [{"b": 1.0}], (1, 1, 1, 0.0)),
        (["a"], ["a", "b"], (1, 1, 1, 0.0)),
        ({"mean": [1.0]}, {"mean": [1.0]}, (1, 0, 0, 0.0)),
        ([1.0], [1.0 + 1e-9], (1, 0, 0, pytest.approx(1e-9))),
    ],
)
def test_answers_are_compared_row_by_row(one: Any, other: Any, expected: Any) -> None:
    difference = compare_answers(one, other)
    assert (difference.rows, difference.different, difference.misshapen, difference.largest) == expected
