"""Results of sweeps for tests, made without running anything."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import SweepResult, Trial, TrialState

PARENT = "ab" * 16


URL = "http://127.0.0.1:5000/#/experiments/1/runs/"


def trial(number: int, state: TrialState = "finished", value: float | None = None, **more: Any) -> Trial:
    values = more.pop("values", {"alpha": 10.0 ** (number % 5 - 3), "seed": number})
    metrics = {} if value is None else {"rmse": value, "mae": value / 2}
    return Trial(number, values, state, value, metrics, f"{number:032x}", 1.5, **more)


def sweep(*trials: Trial, goal: Goal | None = Goal("rmse"), **more: Any) -> SweepResult:  # noqa: B008
    return dataclasses.replace(SweepResult(PARENT, URL + PARENT, "FINISHED", goal, trials, len(trials), 83.0), **more)


def finished(*values: float | None, goal: Goal | None = Goal("rmse")) -> SweepResult:  # noqa: B008
    return sweep(*(trial(number, "finished", value) for number, value in enumerate(values)), goal=goal)


MIXED = sweep(
    trial(0, "finished", 3.0),
    trial(1, "failed", reason="cell 3 (fit()): ValueError: no"),
    trial(2, "finished", math.nan),
    trial(3, "pruned", 9.0, reason="at step 4"),
    trial(4, "skipped", 2.0),
    trial(5, "killed", reason="SIGKILL"),
    trial(6, "finished", 5.0),
    trial(7, "finished", None),
    trial(8, "finished", -math.inf),
    trial(9, "pruned"),
)


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
