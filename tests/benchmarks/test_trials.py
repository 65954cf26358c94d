"""A contestant's time counts only when all that it was timed for stands in its store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks import contestants, trials
from benchmarks.measuring import Failed
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import connect

pytestmark = pytest.mark.tracking


@pytest.fixture
def log(project):
    """Write a trial's run as a contestant leaves it."""
    store = connect(project)
    experiment = store.experiment_id(trials.EXPERIMENT)

    def write(alpha, rmse=50.0, status="FINISHED", model=True, **tags):
        run_id = store.client.create_run(experiment, tags=tags).info.run_id
        store.client.log_param(run_id, "alpha", alpha)
        if rmse is not None:
            store.client.log_metric(run_id, "rmse", rmse)
        if model:
            found = store.client.create_logged_model(experiment, name="model", source_run_id=run_id)
            folder = Path(urlsplit(found.artifact_location).path)
            folder.mkdir(parents=True)
            (folder / "MLmodel").touch()
        store.client.set_terminated(run_id, status)

    return write


def test_all_trials_with_metric_and_model_are_a_result(project, log):
    known = {}
    for alpha in contestants.alphas(2):
        log(alpha, rmse=10 * alpha)
    log(contestants.WARMING)
    assert trials.check(project.root, 2, None, known) == {None: 2}
    assert known == {alpha: 10 * alpha for alpha in contestants.alphas(2)}


def test_of_ours_the_trials_of_the_one_sweep_count_with_their_kind_of_kernel(project, log):
    for alpha in contestants.alphas(2):
        mine = {"mlflow.parentRunId": "mine", Tag.END: "FINISHED", Tag.KERNEL: "warm"}
        log(alpha, **mine)
        log(alpha, rmse=None, **mine | {"mlflow.parentRunId": "warming"})
    assert trials.check(project.root, 2, "mine", {}) == {"warm": 2}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (None, "1 of 2 trials"),
        ({"rmse": None}, "has no metric"),
        ({"model": False}, "has no model"),
        ({"status": "FAILED"}, "is FAILED"),
        ({"rmse": 51.0}, "another contestant 50.0"),
    ],
)
def test_what_is_not_there_is_told(project, log, second, reason):
    first, other = contestants.alphas(2)
    log(first)
    if second is not None:
        log(other, **second)
    with pytest.raises(Failed, match=reason):
        trials.check(project.root, 2, None, {other: 50.0})


def test_a_run_of_ours_that_its_owner_did_not_end_is_no_result(project, log):
    log(contestants.alphas(1)[0], **{"mlflow.parentRunId": "mine"})
    with pytest.raises(Failed, match="is FINISHED, but was not ended"):
        trials.check(project.root, 1, "mine", {})
