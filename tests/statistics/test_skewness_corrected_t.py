"""Critical values are those of t, unless few blocks carry the spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from notebooks_lib.statistics import blocks, skewness_corrected_t


def test_few_blocks_that_carry_the_spread_are_few_degrees_of_freedom():
    random = np.random.default_rng(3)
    light, rare = random.normal(size=400), random.normal(size=400) * (random.random(400) < 0.05)
    assert skewness_corrected_t.degrees_of_freedom(light, blocks.single_rows(400)) > 300
    assert 5 < skewness_corrected_t.degrees_of_freedom(rare, blocks.single_rows(400)) < 40
    assert skewness_corrected_t.degrees_of_freedom(rare[:10], blocks.time_stretches(10)) == 9.0  # too few to tell


def test_the_critical_value_is_that_of_t_unless_the_tail_is_heavier():
    assert skewness_corrected_t.critical_value(0.005, 99.0, 0.0, 100) == pytest.approx(stats.t.ppf(0.995, 99))
    assert skewness_corrected_t.critical_value(0.005, 99.0, -3.0, 100) == skewness_corrected_t.critical_value(
        0.005, 99.0, 0.0, 100
    )
    assert skewness_corrected_t.critical_value(0.005, 99.0, 3.0, 100) > skewness_corrected_t.critical_value(
        0.005, 99.0, 0.0, 100
    )
