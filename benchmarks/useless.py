"""A thousand useless trials: real models, fitted on columns and penalties at random, none better than the champion.

Their errors on rows that they have not seen are scaled until each has exactly the champion's RMSE in the population.
So who wins a sweep of them is the luckiest, and whoever promotes one is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.planted import ONCE
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.promotion.decision import decide, decide_each
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.promotion.selftest import planted_evidence, tables

Array = np.ndarray[Any, Any]
POOL = 1000


@dataclass
class Sweeps:
    """What was promoted of the winners of sweeps, in shares."""

    trials: int
    rows: int
    validation: float
    """By a strict `<` on the validation rows that chose the winner."""
    holdout: float
    """By a strict `<` on the holdout."""
    gate: float
    """By the gate at the whole level."""
    default: float
    """By the gate as it is set by default, at a tenth of it."""


@dataclass
class Sequences:
    """What became of several challengers on one holdout, in turn or at once."""

    description: str
    rows: int
    strict: float
    """Share of holdouts on which a strict `<` promoted at least one."""
    uncorrected: float
    """The same for an interval at the whole level each time."""
    gate: float
    """The same for the gate, at a tenth of the level each time, or at the whole once."""


def sweep(trials: int, rows: int, *, repeats: int, seed: int) -> Sweeps:
    """The winner on as many validation rows meets the champion on a holdout."""
    random = np.random.default_rng([seed, trials, rows])
    champion, errors = pool()
    squares = errors**2
    counts = np.zeros(4)
    for _ in range(repeats):
        entered = random.choice(POOL, size=trials, replace=False)
        validation, holdout = random.integers(0, len(champion), size=(2, rows))
        means = squares[validation][:, entered].mean(axis=0)
        winner = entered[int(np.argmin(means))]
        once, tenth = (_answer(champion[holdout], errors[holdout, winner], policy) for policy in (ONCE, Policy()))
        by_luck = means.min() < (champion[validation] ** 2).mean()
        again = squares[holdout, winner].mean() < (champion[holdout] ** 2).mean()
        counts += [by_luck, again, once == "promote", tenth == "promote"]
    return Sweeps(trials, rows, *(counts / repeats))


def sequence(rows: int, *, repeats: int, seed: int, learning: bool = False) -> Sequences:
    """Ten challengers in turn; when `learning`, each after the first is a mean of those that looked better so far.

    That is what somebody does who sees the estimates: it is scaled to the champion's RMSE like any other.
    """
    random = np.random.default_rng([seed, rows, learning])
    champion, errors = pool()
    policy, counts = Policy(), np.zeros(3)
    truth = Truth(np.zeros(rows))
    for _ in range(repeats):
        entered = random.choice(POOL, size=10, replace=False)
        holdout = random.integers(0, len(champion), size=rows)
        any_of = np.zeros(3, dtype=bool)
        better: list[int] = []
        for use, trial in enumerate(entered):
            error = errors[:, trial]
            if learning and better and use % 2:
                error = _scaled(errors[:, better].mean(axis=1), champion)
            new, old = Answers(error[holdout]), Answers(champion[holdout])
            paired = paired_gain(METRICS["rmse"], truth, new, old)
            if paired.gain > 0 and not (learning and use % 2):
                better.append(int(trial))
            answer = decide(planted_evidence(METRICS["rmse"], truth, new, old, paired, uses=policy.uses), policy).answer
            any_of |= [paired.gain > 0, paired.lower(policy.alpha) > 0, answer == "promote"]
        counts += any_of
    description = "ten, every second one made of what looked better" if learning else "ten challengers in turn"
    return Sequences(description, rows, *(counts / repeats))


def together(rows: int, *, repeats: int, seed: int, count: int = 3) -> Sequences:
    """Several challengers in one use, which has the whole level: is any of them promoted?"""
    random = np.random.default_rng([seed, rows, count])
    champion, errors = pool()
    metric, truth, counts = METRICS["rmse"], Truth(np.zeros(rows)), np.zeros(3)
    for _ in range(repeats):
        entered = random.choice(POOL, size=count, replace=False)
        holdout = random.integers(0, len(champion), size=rows)
        old, every = Answers(champion[holdout]), [Answers(errors[holdout, trial]) for trial in entered]
        paired = [paired_gain(metric, truth, new, old) for new in every]
        evidences = [
            planted_evidence(metric, truth, new, old, one, uses=1) for new, one in zip(every, paired, strict=True)
        ]
        promoted = any(decision.answer == "promote" for decision in decide_each(evidences, ONCE))
        counts += [any(one.gain > 0 for one in paired), any(one.lower(ONCE.alpha) > 0 for one in paired), promoted]
    return Sequences(f"{count} challengers in one use at the whole level", rows, *(counts / repeats))


@cache
def pool(trials: int = POOL) -> tuple[Array, Array]:
    """Errors of the champion, and rows x trials of the others."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import KFold

    table = tables()["diabetes"]
    champion = table.models["line"].values - table.truth.values
    x, y = load_diabetes(return_X_y=True)
    x = x / x.std(axis=0)
    x = np.column_stack([x, x**2 - 1, *(x[:, [i]] * x[:, i + 1 :] for i in range(x.shape[1] - 1))])
    random = np.random.default_rng(0)
    folds = list(KFold(5, shuffle=True, random_state=1).split(x))
    errors = np.empty((len(y), trials))
    for trial in range(trials):
        columns = random.choice(x.shape[1], size=random.integers(3, 25), replace=False)
        penalty = 10 ** random.uniform(-2, 3)
        for train, test in folds:
            a, b = x[np.ix_(train, columns)], y[train]
            weights = np.linalg.solve(a.T @ a + penalty * np.eye(len(columns)), a.T @ (b - b.mean()))
            errors[test, trial] = x[np.ix_(test, columns)] @ weights + b.mean() - y[test]
        errors[:, trial] = _scaled(errors[:, trial], champion)
    return champion, errors


def _scaled(error: Array, like: Array) -> Array:
    return np.asarray(error * np.sqrt((like**2).mean() / (error**2).mean()))


def _answer(champion: Array, challenger: Array, policy: Policy) -> str:
    truth, metric = Truth(np.zeros(len(champion))), METRICS["rmse"]
    new, old = Answers(challenger), Answers(champion)
    paired = paired_gain(metric, truth, new, old)
    return decide(planted_evidence(metric, truth, new, old, paired, uses=policy.uses), policy).answer
