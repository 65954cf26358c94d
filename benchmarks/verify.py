"""How well `nbops verify` decides: false alarms a year, and how often a shift is found within a week.

python -m benchmarks.verify [--bands 20000] [--seed 1]

Notebooks are simulated, not run: each logs some metrics whose values over seeds are normal (or skewed, or with heavy
tails), learns its bands from a few runs, and is verified on each night of a year, or of a week in which one metric has
shifted by twice its true spread. Markdown on standard output; exit code 1 when there are more than 1.2 false alarms a
year. The seed is fixed and no figure is left out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measuring import table
from notebooks_lib.review.metric_bands import MetricBand, MetricBands
from notebooks_lib.statistics.prediction_interval import half_width

YEAR, WEEK = 365, 7
MOST_ALARMS = 1.2
SHIFT = 2.0
LEARNED = (5, 10, 20)
NIGHTLY = (1, 3, 5, 7)
CHUNK = 500
"""Notebooks that are simulated at once."""

Array = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """The distribution for which the interval is exact."""
    return random.standard_normal(shape)


def heavy_tails(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with five degrees of freedom, of spread 1."""
    return random.standard_t(5, shape) / math.sqrt(5 / 3)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Gamma of shape 4, whose skewness is 1, of mean 0 and spread 1."""
    return (random.standard_gamma(4.0, shape) - 4.0) / 2.0


@dataclass
class Figures:
    """What was counted for one way to learn and verify."""

    alarms: float
    """Nights with a false alarm in a year, on average over notebooks."""
    quiet: float
    """Share of the notebooks without any in a year."""
    many: float
    """Nights with a false alarm that one notebook in twenty exceeds."""
    found: float
    """Share of the notebooks in which a metric that shifted is outside at least once within a week."""


def simulate(
    learned: int,
    *,
    runs: int = 1,
    metrics: int = 1,
    shift: float = SHIFT,
    bands: int = 20_000,
    draw: Draw = normal,
    seed: int = 1,
) -> Figures:
    """Learn from so many runs and verify with the mean of `runs`, for as many notebooks as `bands`."""
    random = np.random.default_rng([seed, learned, runs, metrics])
    level = MetricBands("", {str(number): MetricBand(0.0, 1.0, learned) for number in range(metrics)}).level
    alarms, found = [], []
    for start in range(0, bands, CHUNK):
        values = draw(random, (learned, min(CHUNK, bands - start), metrics))
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
        half = half_width(spread, learned, level, more=runs)  # an array works as well
        year, week = (sum(draw(random, (nights, *mean.shape)) for _ in range(runs)) / runs for nights in (YEAR, WEEK))
        alarms.append((abs(year - mean) > half).any(axis=2).sum(axis=0))
        found.append((abs(week + shift - mean) > half)[..., 0].any(axis=0))
    counts = np.concatenate(alarms)
    return Figures(
        float(counts.mean()),
        float((counts == 0).mean()),
        float(np.quantile(counts, 0.95)),
        float(np.concatenate(found).mean()),
    )


def reliable_shift(learned: int, *, runs: int, metrics: int, bands: int, seed: int) -> float:
    """Return the smallest shift, in quarters of the spread, that nine notebooks in ten show within a week."""
    return next(
        shift
        for shift in np.arange(0.5, 25, 0.25)
        if simulate(learned, runs=runs, metrics=metrics, shift=shift, bands=bands, seed=seed).found >= 0.9
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 when there are too many false alarms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bands", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    bands, seed = options.bands, options.seed
    ways = [(learned, metrics) for learned in LEARNED for metrics in (1, 5)]
    years = [simulate(learned, metrics=metrics, bands=bands, seed=seed) for learned, metrics in ways]
    print("### False alarms\n")
    titles = ("learned from", "metrics", "false alarms a year", "notebooks without any", "exceeded by one in twenty")
    rows = [
        (*way, f"{one.alarms:.2f}", f"{one.quiet:.0%}", f"{one.many:.0f}") for way, one in zip(ways, years, strict=True)
    ]
    print(table(titles, rows))
    print(f"\n### A shift of {SHIFT:g} times the spread, found within a week; and the shift that nine in ten show\n")
    print(
        table(
            ("learned from", "metrics", *(f"{runs} a night" for runs in NIGHTLY)), list(_found(ways, bands // 4, seed))
        )
    )
    print("\n### False alarms a year where values are not normal\n")
    odd = [
        (
            learned,
            *(f"{simulate(learned, draw=draw, bands=bands, seed=seed).alarms:.2f}" for draw in (heavy_tails, skewed)),
        )
        for learned in LEARNED
    ]
    print(table(("learned from", "heavy tails (t, 5 df)", "skewness 1"), odd))
    return 1 if max(one.alarms for one in years) > MOST_ALARMS else 0


def _found(ways: Sequence[tuple[int, int]], bands: int, seed: int) -> Iterator[tuple[object, ...]]:
    for learned, metrics in ways:
        cells = []
        for runs in NIGHTLY:
            share = simulate(learned, runs=runs, metrics=metrics, bands=bands, seed=seed).found
            shift = reliable_shift(learned, runs=runs, metrics=metrics, bands=bands // 5, seed=seed)
            cells.append(f"{share:.0%}; {shift:g}")
        yield learned, metrics, *cells


if __name__ == "__main__":
    sys.exit(main())
