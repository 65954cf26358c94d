"""The interval for the next values: as in the tables of Student's t, and right as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from notebooks_lib.statistics.prediction_interval import half_width


@pytest.mark.parametrize(
    ("number", "level", "more", "width"),
    [
        (5, 0.05, 1, 2.776 * math.sqrt(1.2)),
        (10, 0.05, 1, 2.262 * math.sqrt(1.1)),
        (10, 0.01, 4, 3.250 * math.sqrt(1 / 4 + 1 / 10)),
        (2, 0.05, 1, 12.706 * math.sqrt(1.5)),
    ],
)
def test_widths_are_those_of_the_tables(number: int, level: float, more: int, width: float) -> None:
    assert half_width(1.0, number, level, more=more) == pytest.approx(width, rel=3e-4)
    assert half_width(2.5, number, level, more=more) == pytest.approx(2.5 * width, rel=3e-4)


def test_one_value_says_nothing_about_the_next() -> None:
    assert half_width(0.0, 1, 0.05) == math.inf


@pytest.mark.parametrize("more", [1, 5])
def test_it_misses_as_often_as_its_level_says(more: int) -> None:
    random = np.random.default_rng(0)
    learned = random.normal(3.0, 2.0, (6, 40_000))
    new = random.normal(3.0, 2.0, (more, 40_000)).mean(axis=0)
    half = half_width(1.0, 6, 0.02, more=more) * learned.std(axis=0, ddof=1)
    missed = float((abs(new - learned.mean(axis=0)) > half).mean())
    assert missed == pytest.approx(0.02, abs=0.0025), "three and a half standard errors"
