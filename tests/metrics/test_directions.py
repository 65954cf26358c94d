"""Which way a metric is better is known once, for sweeps, compare and promotion."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.metrics import directions
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.sweeps.trials import Goal


@pytest.mark.parametrize("name", directions.DIRECTIONS)
def test_all_parts_know_the_same_direction(name: str):
    assert METRICS[name].direction == directions.DIRECTIONS[name]
    assert Goal.parse(name) == Goal(name, directions.DIRECTIONS[name])
    assert set(METRICS) == set(directions.DIRECTIONS)


def test_direction_comes_from_the_table_or_is_said():
    assert directions.parse("rmse") == ("rmse", "min")
    assert directions.parse("r2:max") == ("r2", "max")
    assert directions.parse("cost:min") == ("cost", "min")
    assert directions.parse("profit:max") == ("profit", "max")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rmes", "did you mean 'rmse'.*rmes:min or rmes:max"),
        ("profit", "profit:min or profit:max"),
        ("rmse:max", "the smaller is better"),
        ("cost:up", "'up' is no direction"),
    ],
)
def test_a_metric_without_direction_is_a_usage_error(text, says):
    with pytest.raises(UsageError, match=says):
        directions.parse(text)
