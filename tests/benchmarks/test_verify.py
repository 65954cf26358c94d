"""`nbops verify` raises at most 1.2 false alarms a year, and how soon it finds a shift is what the page says."""

from __future__ import annotations

import pytest

from benchmarks.verify import LEARNED, MOST_ALARMS, simulate

BANDS = 4000


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("metrics", [1, 5])
def test_a_year_of_nights_has_one_false_alarm(learned: int, metrics: int) -> None:
    figures = simulate(learned, metrics=metrics, bands=BANDS)
    assert 0.7 <= figures.alarms <= MOST_ALARMS


@pytest.mark.parametrize(
    ("learned", "runs", "least", "most"), [(20, 5, 0.96, 1.0), (20, 1, 0.3, 0.5), (5, 1, 0.0, 0.12)]
)
def test_a_shift_of_twice_the_spread_is_found_as_often_as_the_page_says(
    learned: int, runs: int, least: float, most: float
) -> None:
    """One run a night is too little for it; with five and twenty to learn from it is found within a week."""
    assert least <= simulate(learned, runs=runs, bands=1000).found <= most
