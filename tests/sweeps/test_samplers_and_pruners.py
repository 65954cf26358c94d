"""Samplers and pruners are found by name."""

from __future__ import annotations

import pytest

from notebooks_lib.errors import UsageError
from notebooks_lib.sweeps.samplers_and_pruners import parse_pruner, parse_service_pruner


def test_pruners_are_parsed():
    assert parse_pruner("median") == ("median", 50.0)
    assert parse_pruner(" Percentile:12.5 ") == ("percentile", 12.5)
    assert parse_pruner("hyperband") == ("hyperband", 0.0)


@pytest.mark.parametrize(
    "text", ["", "foo", "percentile", "percentile:", "percentile:0", "percentile:100", "percentile:nan", "hyperband:3"]
)
def test_unknown_pruners_are_rejected(text):
    with pytest.raises(UsageError, match="allowed: median, percentile:25, hyperband"):
        parse_pruner(text)


def test_the_services_pruners_are_parsed():
    assert parse_service_pruner("Median") == ("median", 0.0)
    assert parse_service_pruner(" truncation:20 ") == ("truncation", 20.0)
    assert parse_service_pruner("bandit:0.1") == ("bandit", 0.1)


@pytest.mark.parametrize(
    "text", ["", "hyperband", "median:3", "truncation", "truncation:0", "truncation:100", "truncation:2.5", "bandit:0"]
)
def test_what_the_service_does_not_know_is_rejected(text):
    with pytest.raises(UsageError, match="allowed: median, truncation:20, bandit:0.1"):
        parse_service_pruner(text)
