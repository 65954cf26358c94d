"""Logged values reach the pruner once, and pruned trials are asked to stop."""

from __future__ import annotations

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.intermediate_values import IntermediateValues
from notebooks_lib.sweeps.trials import Proposal, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart


class Strict:
    """Prunes every trial that logs more than ten, and keeps the reports."""

    total = 2

    def __init__(self) -> None:
        self.reports: list[tuple[int, int, float]] = []

    def ask(self) -> Proposal | None:
        return None

    def report(self, number: int, step: int, value: float) -> bool:
        self.reports.append((number, step, value))
        return value > 10

    def tell(self, number: int, state: str, value: float | None) -> None:
        raise AssertionError("it is not the curves that tell of an end")


def opened(project: Settings, name: str, **tags: str) -> OwnedRun:
    return OwnedRun.open(store.connect(project), RunStart("sample", name, "n.ipynb", "", {}, "", "", None, tags))


@pytest.mark.tracking
def test_each_value_is_reported_once_and_a_pruned_trial_is_asked_to_stop(project: Settings) -> None:
    sweep = opened(project, "sweep")
    good, bad, ended = (
        opened(project, str(k), **{"mlflow.parentRunId": sweep.run_id, Tag.TRIAL: str(k)}) for k in range(3)
    )
    client = sweep.store.client
    strict = Strict()
    values = IntermediateValues(sweep.store, sweep.run_id, Goal("rmse"), least_pause=0.0, most_pause=0.0)
    for run in (good, bad):
        client.log_metric(run.run_id, "rmse", 5.0, step=0)
    assert not values.empty, "nothing has ended"
    values.read(strict, {0, 1})
    assert strict.reports == [], "one point is a result, not a curve"
    for value, step in ((4.0, 2), (3.0, 1)):
        client.log_metric(good.run_id, "rmse", value, step=step)
    for value, step in ((20.0, 1), (1.0, 2)):
        client.log_metric(bad.run_id, "rmse", value, step=step)
    for _ in range(2):
        values.read(strict, {0, 1})
    assert sorted(strict.reports) == [(0, 0, 5.0), (0, 1, 3.0), (0, 2, 4.0), (1, 0, 5.0), (1, 1, 20.0)]
    tags = query.get_run(sweep.store, bad.run_id).tags
    assert (tags[Tag.STOP], tags[Tag.STOP_STEP]) == ("pruned", "1")
    assert Tag.STOP not in query.get_run(sweep.store, good.run_id).tags

    for value, step in ((9.0, 4), (8.0, 5)):
        client.log_metric(ended.run_id, "rmse", value, step=step)
    finished = Trial(2, {}, "finished", 8.0, {"rmse": 8.0}, ended.run_id)
    assert values.finished(strict, finished) is finished
    assert strict.reports[-2:] == [(2, 4, 9.0), (2, 5, 8.0)]
    pruned = values.finished(strict, Trial(1, {}, "pruned", 1.0, {"rmse": 1.0}, bad.run_id, reason="cell 3 (for …)"))
    assert (pruned.value, pruned.reason) == (20.0, "at step 1, in cell 3 (for …)"), "not of what it logged since"
