"""What earlier sessions left is read from the tags of their runs."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import earlier_trials
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart


@pytest.mark.tracking
def test_trials_are_read_from_their_runs_and_damaged_values_are_one_line(project: Settings) -> None:
    connected = store.connect(project)

    def opened(**tags: str) -> OwnedRun:
        return OwnedRun.open(connected, RunStart("sample", "n", "n.ipynb", "", {}, "", "", None, tags))

    parent = opened()
    trial = opened(**{"mlflow.parentRunId": parent.run_id, Tag.TRIAL: "0", Tag.TRIAL_VALUES: '{"alpha": 0.1}'})
    connected.client.log_metric(trial.run_id, "rmse", 3.0)
    trial.end("FINISHED", tags={Tag.TRIAL_STATE: "finished"})
    earlier = earlier_trials.take_over(connected, parent.run_id, Goal("rmse"))[0].trial
    assert (earlier.values, earlier.state, earlier.value) == ({"alpha": 0.1}, "finished", 3.0)

    late = opened(**{"mlflow.parentRunId": parent.run_id, Tag.TRIAL: "0", Tag.TRIAL_VALUES: '{"alpha": 0.1}'})
    late.end("KILLED", tags={Tag.TRIAL_STATE: "killed"})  # by a session that had lost the sweep
    assert earlier_trials.take_over(connected, parent.run_id, None)[0].run.run_id == trial.run_id

    connected.client.set_tag(trial.run_id, Tag.TRIAL_VALUES, '{"alpha": 0.')  # cut off by a store
    assert earlier_trials.take_over(connected, parent.run_id, None)[0].trial.values == {}
    connected.client.set_tag(trial.run_id, Tag.TRIAL_VALUES, "[1, 2]")
    message = (
        rf"run {trial.run_id}: found the tag nbops.sweep.values '\[1, 2\]', allowed a JSON object .*; mend the tag"
    )
    with pytest.raises(errors.TrackingError, match=message):
        earlier_trials.take_over(connected, parent.run_id, None)

    connected.client.set_tag(trial.run_id, Tag.TRIAL_VALUES, "{}")
    connected.client.set_terminated(trial.run_id, status="FAILED")  # its job failed after its notebook's end
    assert earlier_trials.take_over(connected, parent.run_id, None)[0].trial.state == "failed"
