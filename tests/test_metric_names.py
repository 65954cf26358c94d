"""Which way a metric is better is known once, for sweeps, compare and promotion."""

from __future__ import annotations

import pytest

from notebooks_lib import metric_names
from notebooks_lib.errors import UsageError
from notebooks_lib.promotion.deciding.metrics import METRICS
from notebooks_lib.running.sweeps.records import Goal
from notebooks_lib.running.sweeps.sweepfile import goal


@pytest.mark.parametrize("name", metric_names.DIRECTIONS)
def test_all_parts_know_the_same_direction(name: str):
    assert METRICS[name].direction == metric_names.DIRECTIONS[name]
    assert goal(name) == Goal(name, metric_names.DIRECTIONS[name])
    assert set(METRICS) == set(metric_names.DIRECTIONS)


def test_direction_comes_from_the_table_or_is_said():
    assert metric_names.parse("rmse") == ("rmse", "min")
    assert metric_names.parse("r2:max") == ("r2", "max")
    assert metric_names.parse("cost:min") == ("cost", "min")
    assert metric_names.parse("profit:max") == ("profit", "max")


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
        metric_names.parse(text)
