"""A population in which the true gain of one model over another is exactly what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from notebooks_lib.statistics.leave_one_out import Mean, Placements, Recomputed, Sums
from notebooks_lib.statistics.simulated_population import planted_population, weighted_metric


def mean_of(values: np.ndarray) -> Sums:
    return Sums(np.column_stack([np.ones(len(values)), values]), lambda sums: sums[..., 1] / sums[..., 0])


@pytest.fixture
def errors() -> tuple[np.ndarray, np.ndarray]:
    """Skewed errors of two models on the same rows."""
    random = np.random.default_rng(0)
    return random.gamma(2.0, size=400), random.gamma(2.2, size=400)


@pytest.mark.parametrize("gain", [0.0, 0.1, -0.2])
def test_the_gain_of_the_population_is_the_wished_one(errors, gain):
    new, old = map(mean_of, errors)
    population = planted_population(new, old, 400, sign=-1.0, gain=gain)
    assert weighted_metric(old, population.weights) - weighted_metric(new, population.weights) == pytest.approx(
        gain, abs=1e-9
    )
    assert population.weights.sum() == pytest.approx(1)
    assert 0 < population.effective <= 400


def test_holdouts_are_drawn_with_the_weights_of_the_population(errors):
    new, old = map(mean_of, errors)
    population = planted_population(new, old, 400, sign=-1.0, gain=0.3)
    places = population.draw(40_000, np.random.default_rng(1))
    assert (errors[1] - errors[0])[places].mean() == pytest.approx(0.3, abs=0.05)


def test_a_gain_that_no_weights_give_is_refused(errors):
    new, old = mean_of(errors[0]), mean_of(errors[0] + 50.0 + errors[1] / 100)
    with pytest.raises(ValueError, match="no weights"), np.errstate(all="ignore"):
        planted_population(new, old, 400, sign=-1.0)


def test_weights_count_as_repeated_rows_would():
    random = np.random.default_rng(0)
    values, positive = random.integers(0, 9, size=60).astype(float), random.random(60) < 0.4
    times = random.integers(0, 4, size=60)
    repeated = np.repeat(np.arange(60), times)
    weights = times / times.sum()
    assert weighted_metric(mean_of(values), weights) == pytest.approx(values[repeated].mean())
    area, again = Placements(positive, values), Placements(positive[repeated], values[repeated])
    assert weighted_metric(area, weights) == pytest.approx(again.whole)
    assert weighted_metric(Mean((area, mean_of(values))), weights) == pytest.approx(
        (again.whole + values[repeated].mean()) / 2
    )


def test_a_metric_that_is_recomputed_has_no_weights():
    with pytest.raises(TypeError, match="closed form"):
        weighted_metric(Recomputed(3, lambda at: 0.0), np.full(3, 1 / 3))
