"""The parent run of a sweep keeps what it was about, and one process at a time holds it."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.run_result import Failure
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import parent_run
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.parent_run import SweepDescription
from notebooks_lib.sweeps.search_space import SearchSpace
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from tests import building
from tests.sweeps import results
from tests.sweeps.building import grid, spread


@pytest.mark.tracking
def test_only_one_process_holds_a_sweep(project: Settings) -> None:
    with (
        parent_run.locked_sweep(project, "abc"),
        pytest.raises(errors.UsageError, match="sweep abc is running in another process"),
        parent_run.locked_sweep(project, "abc"),
    ):
        pass
    with parent_run.locked_sweep(project, "abc"), parent_run.locked_sweep(project, "other"):
        pass


def test_the_tag_and_the_digest_are_those_of_version_0_1() -> None:
    description = SweepDescription.of(SearchSpace({"name": "ü"}, grid("alpha=0.1,1", "seed=1..2")), Goal("rmse"))
    tag = '{"grid": {"alpha": "[0.1, 1.0]", "seed": "[1, 2]"}, "fixed": {"name": "\'ü\'"}, "goal": "rmse:min"}'
    assert description.to_tag() == tag
    assert description.digest("n.ipynb") == "0e72105b9fdfede814ed4438d6ce5097a8281bff7f09130cae7b3ac53d132cc7"
    assert SweepDescription.from_tag(tag) == description
    assert str(description) == "alpha in [0.1, 1.0], seed in [1, 2], name='ü', rmse:min"
    space = SweepDescription.of(SearchSpace({}, spread("alpha=uniform(1, 2)")), None)
    assert space.to_tag() == '{"space": {"alpha": "uniform(1, 2)"}, "fixed": {}, "goal": null}'
    assert SweepDescription.from_tag(space.to_tag()) == space


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"grid": 1, "fixed": {}, "goal": null}'])
def test_a_tag_that_a_store_has_cut_off_is_unreadable_and_no_error(text: str) -> None:
    assert SweepDescription.from_tag(text) is None


@pytest.mark.tracking
def test_a_session_that_ends_before_its_first_trial_leaves_the_numbers_of_the_last_one(project: Settings) -> None:
    start = RunStart("sample", "s", "n.ipynb", "", {}, "", "", None)
    first = OwnedRun.open(store.connect(project), start)
    parent_run.end_sweep(first, results.MIXED)
    counts = {key: tag for key, tag in query.get_run(first.store, first.run_id).tags.items() if Tag.SWEEP_COUNT in key}
    assert counts[Tag.SWEEP_COUNT + "finished"] == "5"
    second = OwnedRun.reopen(first.store, first.run_id, start)
    parent_run.end_sweep(second, results.sweep(status="KILLED"), Failure("interrupt", "KeyboardInterrupt", ""))
    run = query.get_run(first.store, first.run_id)
    assert run.status == "KILLED"
    assert counts.items() <= run.tags.items()


@pytest.mark.tracking
def test_a_trial_with_a_copy_of_the_sweeps_tags_is_not_taken_for_the_sweep(project: Settings) -> None:
    connected = store.connect(project)
    source = NotebookPlanner(
        building.write(project.root / "experimentation" / "n.ipynb", parameters="alpha: float = 1.0"), project
    )
    start = parent_run.parent_start(source, SearchSpace({}, grid("alpha=1,2")), Goal("rmse"), None, service="azureml")
    experiment = connected.experiment_id(start.experiment)
    sweep = connected.client.create_run(experiment, start_time=1000, tags=dict(start.tags or {})).info.run_id
    copied = {**(start.tags or {}), "mlflow.parentRunId": sweep}
    trial = connected.client.create_run(experiment, start_time=2000, tags=copied).info.run_id

    assert parent_run.find_sweep(connected, start, "").run_id == sweep
    assert parent_run.find_sweep(connected, start, sweep).run_id == sweep
    with pytest.raises(errors.UsageError, match=f"run {trial} is not a sweep"):
        parent_run.find_sweep(connected, start, trial)
