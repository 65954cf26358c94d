"""Cells of the simulation: from which population holdouts are drawn, and what is counted of the answers.

In every cell the true gain is known: zero where false promotions are counted, the detectable gain where power is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.leave_one_out_methods import leaver_of, mean_method
from notebooks_lib.metrics.metric import Answers, Metric, Truth, log_losses, own_metric
from notebooks_lib.promotion.decision import decide
from notebooks_lib.promotion.holdout_power import holdout_power
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.selftest import planted_evidence, tables
from notebooks_lib.statistics.leave_one_out import Leaver
from notebooks_lib.statistics.simulated_population import Population, planted_population

REPEATS = 2000
POWER = 0.78
DEFAULT = Policy()
ONCE = Policy(uses=1)
"""The whole level for one use: so that what is counted can be compared with 5 %."""

Random = np.random.Generator
Holdout = tuple[Metric, Truth, Answers, Answers, dict[str, Any]]
"""Metric, rows, what challenger and champion said of them, and how the rows hang together."""


@dataclass(frozen=True)
class Cell:
    """One population and size of holdout."""

    description: str
    rows: int
    draw: Callable[[Random], Holdout]
    bar: bool = True
    """Whether more false promotions than `limit` are a failure; else they are shown as they are."""


@dataclass
class Counts:
    """Answers in a cell, in shares of all holdouts."""

    cell: Cell
    repeats: int
    strict: float
    """Promoted by a strict `<` on the same rows."""
    interval: float
    """By the interval alone."""
    ignoring: float
    """By the interval, taking rows for independent that are not."""
    gate: float
    """By all rules together."""
    default: float
    """By all rules together, at the level that a use has by default."""
    undecided: float
    detectable: float = 0.0
    """The median of the detectable gains that were printed."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rules by which it was left open, and how often."""

    @property
    def ok(self) -> bool:
        once, tenth = round(self.gate * self.repeats), round(self.default * self.repeats)
        return not self.cell.bar or (once <= limit(self.repeats) and tenth <= limit(self.repeats, DEFAULT.level(None)))


def limit(repeats: int = REPEATS, level: float = 0.05) -> int:
    """False promotions that a gate at `level` exceeds once in a million cells: 149 of 2,000 at 5 %."""
    return int(stats.binom.ppf(1 - 1e-6, repeats, level))


def least(repeats: int) -> int:
    """True promotions that a gate with power 0.78 falls short of once in a million cells: 2,994 of 4,000."""
    return int(stats.binom.ppf(1e-6, repeats, POWER))


def count(cell: Cell, *, seed: int, policy: Policy = ONCE, repeats: int = REPEATS) -> Counts:
    """Put `repeats` holdouts of a cell before the gate."""
    random = np.random.default_rng([seed, cell.rows, *map(ord, cell.description)])
    level = policy.level(None)
    strict = interval = ignoring = gate = default = undecided = 0
    detectable_gains, reasons = [], {}
    for _ in range(repeats):
        metric, truth, new, old, more = cell.draw(random)
        paired = paired_gain(metric, truth, new, old, **more)
        decision = decide(planted_evidence(metric, truth, new, old, paired, uses=policy.uses), policy)
        strict += paired.gain > 0
        sure = bool(paired.lower(level) > 0)
        interval += sure
        ignoring += bool(paired_gain(metric, truth, new, old).lower(level) > 0) if more else sure
        gate += decision.answer == "promote"
        if decision.answer == "promote":  # what passes at a tenth of the level passes at all of it
            tenth = decide(planted_evidence(metric, truth, new, old, paired, uses=DEFAULT.uses), DEFAULT)
            default += tenth.answer == "promote"
        undecided += decision.answer == "undecided"
        detectable_gains.append(holdout_power(paired, policy, level).detectable)
        for rule in decision.rules:
            if not rule.ok and rule.otherwise == "undecided":
                reasons[rule.id] = reasons.get(rule.id, 0) + 1
    shares = (value / repeats for value in (strict, interval, ignoring, gate, default, undecided))
    return Counts(cell, repeats, *shares, detectable=float(np.median(detectable_gains)), reasons=reasons)


PAIRS = {
    "rmse": ("diabetes", "boosting", "line"),
    "mae": ("diabetes", "boosting", "neighbours"),
    "r2": ("diabetes", "tree", "neighbours"),
    "accuracy": ("cancer", "bayes", "tree"),
    "f1": ("cancer", "bayes", "tree"),
    "auc": ("cancer", "bayes", "neighbours"),
    "brier": ("cancer", "neighbours", "logistic"),
    "log_loss": ("cancer", "neighbours", "logistic"),
    "log_loss, a challenger too sure of itself": ("cancer", "bayes", "logistic"),
    "log_loss, a challenger that rules out whole leaves": ("cancer", "tree", "logistic"),
    "cost": ("cancer", "bayes", "tree"),
    "raw log loss": ("cancer", "bayes", "logistic"),
}
"""Metric -> table, challenger, champion."""


def cost(truth: Any, predicted: Any) -> float:
    """A user's own metric: a tumour that is missed is five times as bad as one that is imagined."""
    return float(np.mean(_cost(truth, predicted)))


def _cost(truth: Any, predicted: Any) -> Any:
    return np.where(truth == 0, 5.0, 1.0) * (truth != predicted)


def metric_of(name: str) -> Metric:
    if name == "cost":
        return own_metric(cost, "min", task="classification")
    if name == "raw log loss":
        return replace(METRICS["log_loss"], name=name, leave_out=mean_method(log_losses))  # no interval holds its level
    return METRICS[name.partition(",")[0]]


def population(name: str, gain: float = 0.0) -> Population:
    """The rows of the metric's table, weighted so that the true gain is `gain`."""
    metric, (which, new, old) = metric_of(name), PAIRS[name]
    table = tables()[which]

    def left(answers: Answers) -> Leaver:
        if name != "cost":
            return leaver_of(metric, table.truth, answers)
        costs = mean_method(
            lambda truth, answers: _cost(truth.values, answers.values)
        )  # only a closed form can be weighted
        return costs(table.truth, answers)

    sign = -1.0 if metric.direction == "min" else 1.0
    pair_of = left(table.models[new]), left(table.models[old])
    return planted_population(*pair_of, len(table.truth.values), sign=sign, gain=gain)


def real_table(name: str, rows: int, gain: float = 0.0, *, bar: bool = True) -> Cell:
    """Holdouts from a bundled table, judged by a metric."""
    metric, (which, new, old), drawn = metric_of(name), PAIRS[name], population(name, gain)
    table = tables()[which]

    def draw(random: Random) -> Holdout:
        at = drawn.draw(rows, random)
        return metric, table.truth.at(at), table.models[new].at(at), table.models[old].at(at), {}

    return Cell(name, rows, draw, bar)


def swapped(rows: int) -> Cell:
    """A median, which no weights bring to zero: on each row a coin says which model gave which answer."""
    metric, table = own_metric(median_error, "min", name="median_ae"), tables()["diabetes"]
    new, old = (table.models[name].values for name in ("boosting", "neighbours"))

    def draw(random: Random) -> Holdout:
        at, heads = random.integers(0, len(new), size=rows), random.random(rows) < 0.5
        one, other = np.where(heads, new[at], old[at]), np.where(heads, old[at], new[at])
        return metric, table.truth.at(at), Answers(one), Answers(other), {}

    return Cell("median_ae", rows, draw)


def median_error(truth: Any, predicted: Any) -> float:
    """As scikit-learn's, without its checks."""
    return float(np.median(np.abs(truth - predicted)))


def _losses(gains: Any, **more: Any) -> Holdout:
    """Rows whose absolute errors are such that the challenger gains these amounts."""
    floor = np.abs(gains)
    truth = Truth(np.zeros(len(gains)))
    return METRICS["mae"], truth, Answers(floor), Answers(floor + gains), more


def grouped(groups: int, *, bar: bool = True, heavy: bool = False) -> Cell:
    """Groups of 1 to 11 rows that share most of their gain; with `heavy` one of them has a third of all rows."""

    def draw(random: Random) -> Holdout:
        sizes = random.integers(1, 12, size=groups)
        if heavy:
            sizes[0] = sizes[1:].sum() // 2
        of_row = np.repeat(np.arange(groups), sizes)
        gains = random.normal(size=groups)[of_row] + random.normal(size=len(of_row))
        return _losses(gains, groups=of_row)

    description = f"{groups} groups{', one with a third of the rows' if heavy else ''}"
    return Cell(description, groups * 6, draw, bar)


def in_time(rows: int, again: float, *, bar: bool = True) -> Cell:
    """A gain that resembles the one before, by `again`."""

    def draw(random: Random) -> Holdout:
        from scipy.signal import lfilter

        steps = random.normal(size=rows + 200)
        return _losses(lfilter([1.0], [1.0, -again], steps)[200:], times=np.arange(rows))

    return Cell(f"time, autocorrelation {again:g}", rows, draw, bar)


def heavy_tails(rows: int, df: float) -> Cell:
    """Gains with the tails of Student's t: with two degrees of freedom their variance is infinite."""

    def draw(random: Random) -> Holdout:
        return _losses(random.standard_t(df, size=rows))

    return Cell(f"heavy tails, t with {df:g} df", rows, draw, bar=False)


def catastrophes(rows: int, rare: int) -> Cell:
    """A small steady gain, and a loss once in `rare` rows that undoes it all: true gain zero."""

    def draw(random: Random) -> Holdout:
        gains = random.normal(0.2, 1.0, size=rows)
        gains[random.random(rows) < 1 / rare] -= 0.2 * rare
        return _losses(gains)

    return Cell(f"a catastrophe in {rare} rows", rows, draw, bar=False)


def nulls() -> Iterator[Cell]:
    """Equal pairs on real tables, metric by metric and size by size."""
    for name in ("rmse", "mae", "r2", "accuracy", "f1", "auc", "brier", "log_loss"):
        for rows in (45, 90, 150, 500, 2000):
            yield real_table(name, rows)
    for rows in (45, 150, 500):
        yield real_table("cost", rows)
    for rows in (45, 150, 500):
        yield swapped(rows)


def dependent() -> Iterator[Cell]:
    """Rows that are not independent, as promotion meets them."""
    yield from (grouped(groups) for groups in (25, 40, 100))
    yield in_time(150, 0.3)
    yield in_time(500, 0.3)
    yield in_time(500, 0.6)
    yield in_time(2000, 0.6)


def hard() -> Iterator[Cell]:
    """Where no method that was tried keeps its level; no bar, the figures are shown."""
    yield from (real_table("raw log loss", rows, bar=False) for rows in (45, 150, 500))
    for name in PAIRS:
        if name.startswith("log_loss,"):
            yield from (real_table(name, rows, bar=False) for rows in (45, 90, 150, 500, 2000))
    yield from (heavy_tails(rows, df) for df in (3, 2) for rows in (45, 500))
    yield from (catastrophes(rows, rare) for rows, rare in ((45, 20), (150, 50), (150, 500)))
    yield from (grouped(groups, bar=False) for groups in (5, 10, 15))
    yield grouped(25, bar=False, heavy=True)
    yield from (in_time(rows, 0.9, bar=False) for rows in (150, 500, 2000))


def detectable(name: str, rows: int, policy: Policy, *, seed: int, bar: bool = True) -> Cell:
    """Holdouts whose true gain is the one that the gate calls detectable on them, in the middle.

    It begins with what the interval alone finds: equal models may differ on too few rows for any gain to be promised.
    """
    random, equal = np.random.default_rng(seed), real_table(name, rows)
    drawn = [paired_gain(*equal.draw(random)[:4]) for _ in range(60)]
    alone = [
        holdout_power(replace(one_population, draws=None), policy, policy.level(None)).detectable
        for one_population in drawn
    ]
    gain = float(np.nanmedian(alone))
    for step in range(5):
        median = count(real_table(name, rows, gain), seed=seed + step, policy=policy, repeats=300).detectable
        gain = median if np.isfinite(median) else gain
    return real_table(name, rows, gain, bar=bar)
