"""What counts as the same answer, and how rows are sent."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from notebooks_lib.release.golden import as_dataframe_split
from notebooks_lib.release.slot_checks import too_slow
from notebooks_lib.serving.prediction_diff import largest_difference


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1.0, 2.0], [1, 2], 0.0),
        ([1.0, 100.0], [1.0, 101.0], 1 / 101),
        ([0.0], [0.0], 0.0),
        ([None], [None], 0.0),
        (["yes"], ["yes"], 0.0),
        ([{"a": 1.0, "b": 2.0}], [{"a": 1.0, "b": 4.0}], 0.5),
        ([[0.25, 0.75]], [[0.25, 0.75]], 0.0),
    ],
)
def test_the_largest_relative_difference(one, other, apart):
    assert largest_difference(one, other) == pytest.approx(apart)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1.0], [1.0, 2.0]),
        ([1.0], None),
        (["yes"], ["no"]),
        ([True], [1]),
        ([1.0], [None]),
        ([1.0], [math.inf]),
        ([{"a": 1.0}], [{"b": 1.0}]),
    ],
)
def test_another_form_or_another_name_is_no_small_difference(one, other):
    assert largest_difference(one, other) == math.inf


def test_rows_are_sent_as_plain_json():
    rows = pd.DataFrame(
        {
            "n": np.array([1, 2]),
            "x": [0.1, None],
            "city": ["Graz", None],
            "when": pd.to_datetime(["2024-01-01", "2024-02-01"]),
            "ok": [True, False],
        }
    )
    assert json.loads(json.dumps(as_dataframe_split(rows), allow_nan=False)) == {
        "columns": ["n", "x", "city", "when", "ok"],
        "data": [[1, 0.1, "Graz", "2024-01-01 00:00:00", True], [2, None, None, "2024-02-01 00:00:00", False]],
    }
    assert "columns" not in as_dataframe_split(rows, named=False)


@pytest.mark.parametrize(
    ("new", "old", "slow"),
    [(0.1, 0.04, True), (0.1, 0.06, False), (0.02, 0.001, False), (0.022, 0.001, True), (None, 0.1, False)],
)
def test_twice_as_long_is_too_slow_unless_it_is_a_trifle(new, old, slow):
    assert bool(too_slow(new, old, 2.0)) == slow
