"""Ten useless challengers in turn on one holdout, metric by metric: how often is any of them promoted?

All of them, and the champion, answer by the same chances, so none is better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.planted import DEFAULT, ONCE
from benchmarks.useless import Sequences
from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.promotion.decision import decide
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.selftest import planted_evidence

Array = np.ndarray[Any, Any]
METRIC_NAMES = ("mae", "r2", "accuracy", "balanced_accuracy", "f1", "precision", "recall", "mcc", "auc", "brier")
METRIC_NAMES += ("log_loss", "log_loss, ten classes", "f1_macro, ten classes")
SHARED = 0.7
"""Of a model's score, what all of them have in common."""


def ten(name: str, rows: int, *, repeats: int, seed: int) -> Sequences:
    """As `useless.sequence`, for any metric of the table; a quarter of the rows are positive."""
    random = np.random.default_rng([seed, rows, *map(ord, name)])
    metric, counts = METRICS[name.partition(",")[0]], np.zeros(3)
    for _ in range(repeats):
        truth, answers = _drawn(random, metric.task, rows, 10 if "ten" in name else 2)
        champion, *challengers = answers
        any_of = np.zeros(3, dtype=bool)
        for new in challengers:
            paired = paired_gain(metric, truth, new, champion)
            promoted = paired.lower(DEFAULT.level(None)) > 0
            if promoted:
                evidence = planted_evidence(metric, truth, new, champion, paired, uses=DEFAULT.uses)
                promoted = decide(evidence, DEFAULT).answer == "promote"
            any_of |= [paired.gain > 0, paired.lower(ONCE.alpha) > 0, promoted]
        counts += any_of
    return Sequences(f"ten challengers in turn, {name}", rows, *(counts / repeats))


def _drawn(random: np.random.Generator, task: str, rows: int, classes: int) -> tuple[Truth, list[Answers]]:
    """Eleven models that share most of their noise."""
    noise = np.sqrt(SHARED) * random.normal(size=(rows, classes)) + np.sqrt(1 - SHARED) * random.normal(
        size=(11, rows, classes)
    )
    if task == "regression":
        values = random.normal(size=rows)
        return Truth(values), [Answers(values + column[:, 0]) for column in noise]
    if classes == 2:
        values = (random.random(rows) < 0.25).astype(int)
        positive = expit(1.5 * (noise[:, :, 0] + 2 * values - 1.2))
        predictions = [
            Answers((column > 0.5).astype(int), np.column_stack([1 - column, column])) for column in positive
        ]
        return Truth(values, np.arange(2)), predictions
    values = random.integers(0, classes, rows)
    noise[:, np.arange(rows), values] += 2.5
    chances = np.exp(2 * noise)
    chances /= chances.sum(axis=2, keepdims=True)
    return Truth(values, np.arange(classes)), [Answers(column.argmax(axis=1), column) for column in chances]
