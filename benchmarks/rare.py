"""Equal models where few rows or groups carry the answer: rare calls, rare classes, classes of whole groups.

True gain zero by construction: both models err by the same chances, or their scores have the same area.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.planted import Cell, Holdout, Random
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth

CLASSES = np.array([0, 1])
Array = np.ndarray[Any, Any]


def cells() -> Iterator[Cell]:
    """All of them; each is held to its level."""
    yield from (few_calls(rows, 0.0015, 0.02, right=0.6) for rows in (1000, 2000, 5000))
    yield few_calls(2000, 0.01, 0.1, right=0.05)
    yield few_calls(2000, 0.01, 0.1, right=0.95)
    for name in ("recall", "f1", "auc", "balanced_accuracy", "precision"):
        yield patients(name, 100, 0.05, 1000)
        yield patients(name, 100, 0.3, 1000)
    yield from (patients(name, 60, 0.5, 600, unequal=True) for name in ("f1", "recall", "auc"))
    yield from (rare_class(rows, spread) for rows in (150, 500, 2000) for spread in (1.0, 1.5))
    yield from (ten_classes(name, rows) for name in ("log_loss", "f1_macro", "auc") for rows in (500, 2000))
    yield own_ratio(1000)


def few_calls(rows: int, old: float, new: float, *, right: float) -> Cell:
    """Precision: the champion flags a share `old` of the rows, the challenger `new`; `right` of both are so."""

    def draw(random: Random) -> Holdout:
        flagged = random.choice(3, rows, p=[old, new, 1 - old - new])
        truth = np.where(flagged < 2, random.random(rows) < right, random.random(rows) < 0.03).astype(int)
        champion, challenger = (_called(flagged == number) for number in (0, 1))
        return METRICS["precision"], Truth(truth, CLASSES), challenger, champion, {}

    return Cell(f"precision, {100 * right:g} % of {old * rows:g} and {new * rows:g} calls are right", rows, draw)


def own_ratio(rows: int) -> Cell:
    """A user's function of rare calls, which is computed anew for blocks of rows."""
    from notebooks_lib.metrics.metric import own_metric

    metric = own_metric(hit_rate, "max", task="classification")
    cell = few_calls(rows, 0.0015, 0.02, right=0.6)

    def draw(random: Random) -> Holdout:
        return metric, *cell.draw(random)[1:]

    return Cell("a user's hit rate of rare calls", rows, draw)


def hit_rate(truth: Any, predicted: Any) -> float:
    """Of the rows that are called, how many are so."""
    return float((truth[predicted == 1] == 1).mean()) if (predicted == 1).any() else 0.0


def patients(name: str, groups: int, share: float, rows: int, *, unequal: bool = False) -> Cell:
    """All rows of a patient are ill or none; the challenger finds all of them or none, with the champion's chance."""

    def draw(random: Random) -> Holdout:
        sizes = random.integers(1, 2 * rows // groups, groups) if unequal else np.full(groups, rows // groups)
        patient = np.repeat(np.arange(groups), sizes)
        ill = (random.random(groups) < share)[patient]
        by_row, by_patient = random.random(len(patient)), random.random(groups)[patient]
        scores = random.normal(size=len(patient)), random.normal(size=groups)[patient]
        answers = [
            Answers(np.where(ill, luck < 0.7, luck < 0.05).astype(int), _chances(expit(score + 1.2 * ill - 1)))
            for luck, score in zip((by_row, by_patient), scores, strict=True)
        ]
        champion, challenger = answers
        return METRICS[name], Truth(ill.astype(int), CLASSES), challenger, champion, {"groups": patient}

    description = f"{name}, {groups} patients{' of all sizes' if unequal else ''}, {100 * share:g} % ill"
    return Cell(description, rows, draw)


def rare_class(rows: int, spread: float) -> Cell:
    """Areas of two scores of one class in ten, equal though the challenger's spread differs."""

    def draw(random: Random) -> Holdout:
        ill = random.random(rows) < 0.1
        champion = random.normal(size=rows)
        challenger = 0.8 * champion + 0.6 * random.normal(size=rows)

        def scored(noise: Array, spread: float) -> Answers:
            apart = 1.5 * np.sqrt((1 + spread**2) / 2)
            return _scored(np.where(ill, apart + spread * noise, noise))

        return METRICS["auc"], Truth(ill.astype(int), CLASSES), scored(challenger, spread), scored(champion, 1.0), {}

    return Cell(f"auc, 10 % positive, spread {spread:g}", rows, draw)


def ten_classes(name: str, rows: int) -> Cell:
    """Two models of ten classes that are as good and as sure as each other."""

    def draw(random: Random) -> Holdout:
        truth = random.integers(0, 10, rows)

        def answers() -> Answers:
            score = random.normal(size=(rows, 10))
            score[np.arange(rows), truth] += 2.5
            chances = np.exp(2 * score)
            return Answers(score.argmax(axis=1), chances / chances.sum(axis=1, keepdims=True))

        return METRICS[name], Truth(truth, np.arange(10)), answers(), answers(), {}

    return Cell(f"{name}, ten classes", rows, draw)


def _called(flag: Array) -> Answers:
    return Answers(flag.astype(int), _chances(np.where(flag, 0.9, 0.1)))


def _scored(score: Array) -> Answers:
    chance = expit(score - 1.5)
    return Answers((chance > 0.5).astype(int), _chances(chance))


def _chances(positive: Array) -> Array:
    return np.column_stack([1 - positive, positive])
