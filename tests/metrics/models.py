"""Predictions of two models for drawn rows."""

from __future__ import annotations

import numpy as np

from notebooks_lib.metrics.metric import Answers, Truth


def answers(task: str, classes: int = 2, rows: int = 60, seed: int = 0) -> tuple[Truth, Answers, Answers]:
    """Two models of middling quality; chances are rounded, so that some are equal."""
    random = np.random.default_rng(seed)
    if task == "regression":
        truth = random.normal(10, 3, size=rows)
        return Truth(truth), *(Answers(truth + random.normal(size=rows)) for _ in range(2))
    names = np.array(["ant", "bee", "cat"][:classes])
    place = random.integers(0, classes, size=rows)

    def model() -> Answers:
        chances = np.round(random.dirichlet(np.ones(classes), size=rows) + 0.6 * np.eye(classes)[place], 1) + 0.01
        chances /= chances.sum(axis=1, keepdims=True)
        return Answers(names[chances.argmax(axis=1)], chances)

    return Truth(names[place], names), model(), model()
