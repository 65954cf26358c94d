"""A goal is a metric and a direction."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.sweeps.goal import Goal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rmse", Goal("rmse", "min")),
        ("rmse:min", Goal("rmse", "min")),
        ("auc", Goal("auc", "max")),
        ("r2", Goal("r2", "max")),
        (" auc : MAX ", Goal("auc", "max")),
        ("val:loss:max", Goal("val:loss", "max")),
    ],
)
def test_a_goal_is_a_metric_and_a_direction(text, found):
    assert Goal.parse(text) == found


@pytest.mark.parametrize("text", ["", ":max", "auc:", "auc:up", "auc:min", "rmse:max", "val:loss", "my_score"])
def test_invalid_goals_are_rejected(text):
    with pytest.raises(UsageError, match=f"metric '{text}.*write |metric 'auc.*write "):
        Goal.parse(text)
