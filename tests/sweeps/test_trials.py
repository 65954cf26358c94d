"""The values of a sweep: which trial is best, and the progress of a running sweep."""

from __future__ import annotations

import dataclasses
import math
import sys

from notebooks_lib.sweeps import formatting
from notebooks_lib.sweeps.goal import Goal
from tests.sweeps.results import MIXED, finished, trial


def test_nan_and_infinity_are_never_best() -> None:
    assert MIXED.best is not None
    assert [t.number for t in formatting.ranked_trials(MIXED)] == [MIXED.best.number, 0, 6] == [4, 0, 6]
    higher = dataclasses.replace(MIXED, goal=Goal("rmse", "max"))
    assert higher.best is not None
    assert [t.number for t in formatting.ranked_trials(higher)] == [higher.best.number, 0, 4] == [6, 0, 4]
    assert finished(math.nan, math.inf).best is None
    assert finished(2.0, sys.float_info.max, goal=Goal("rmse", "max")).best == trial(0, "finished", 2.0)
    assert formatting.ranked_trials(finished(1.0, 1.0))[0] == finished(1.0, 1.0).best
    assert formatting.ranked_trials(finished(1.0, 2.0, goal=None)) == []
