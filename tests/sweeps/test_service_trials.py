"""The trials of the service's sweep, read from runs in a real store: pruned, killed, failed and running ones."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import service_trials
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.service_trials import ServiceTrials
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.store import Store
from tests.azure.fixtures import Ask
from tests.azure.test_emulator_jobs import ended
from tests.azure.test_emulator_sweeps import LOG, limits, submit_sweep
from tests.sweeps import building

pytestmark = pytest.mark.tracking

SCHEMA = building.schema(name="str", alpha="float")


class Sweep:
    """A sweep with runs that a test writes."""

    def __init__(self, settings: Settings) -> None:
        self.store: Store = store.connect(settings)
        self.experiment = self.store.client.create_experiment(uuid.uuid4().hex)
        self.run = self.store.client.create_run(self.experiment).info.run_id
        self.trials = ServiceTrials(self.store, self.run, Goal("rmse"), SCHEMA, ["name", "alpha"])

    def trial(self, number: int, status: str, *, values: int = 0, tags: dict[str, str] | None = None) -> str:
        own = {Tag.TRIAL: str(number), Tag.TRIAL_VALUES: json.dumps({"alpha": 1.0})}
        tags = {"mlflow.parentRunId": self.run} | own | (tags or {})
        run = str(self.store.client.create_run(self.experiment, tags=tags).info.run_id)
        for step in range(values):
            self.store.client.log_metric(run, "rmse", 1.0, step=step)
        if status != "RUNNING":
            self.store.client.set_terminated(run, status)
        return run


@pytest.fixture
def sweep(project: Settings) -> Sweep:
    return Sweep(project)


@pytest.mark.parametrize("tags", [{}, {Tag.END: "KILLED", Tag.TRIAL_STATE: "killed", Tag.FAILURE: "Interrupted"}])
def test_only_a_trial_that_could_be_compared_has_been_pruned(sweep: Sweep, tags: dict[str, str]) -> None:
    runs = [sweep.trial(number, "KILLED", values=count, tags=tags) for number, count in enumerate((0, 4, 5))]
    found = sweep.trials.refresh(pruning=True)
    assert [trial.state for trial in found.values()] == ["killed", "killed", "pruned"]
    assert found[1].reason == "it was ended after 4 values of rmse: early termination needs more"
    sweep.trials.end_open()
    again = ServiceTrials(sweep.store, sweep.run, Goal("rmse"), SCHEMA, ["alpha"]).refresh(pruning=True, over=True)
    assert [trial.state for trial in again.values()] == ["killed", "killed", "pruned"]
    assert again[1].reason.startswith("it was ended after 4 values of rmse")
    assert [query.get_run(sweep.store, run).tags[Tag.END] for run in runs] == ["KILLED"] * 3


def test_without_early_termination_no_trial_has_been_pruned(sweep: Sweep) -> None:
    sweep.trial(0, "KILLED", values=9)
    assert sweep.trials.refresh(pruning=False)[0].state == "killed"


def test_a_trial_that_did_not_record_its_end_has_failed_once_the_sweep_is_over(sweep: Sweep) -> None:
    run = sweep.trial(0, "FINISHED", values=1)
    assert sweep.trials.refresh(pruning=False)[0].state == "running"  # its runner may still record it
    sweep.trials.end_open()
    trial = sweep.trials.refresh(pruning=False, over=True)[0]
    assert (trial.state, trial.reason) == ("failed", "NotRecorded: it did not record its end")
    assert query.get_run(sweep.store, run).tags[Tag.END] == "FAILED"


def test_a_trial_is_only_waiting_until_its_notebook_begins(sweep: Sweep) -> None:
    sweep.trial(0, "RUNNING")
    waiting = sweep.trial(1, "RUNNING", tags={Tag.TRIAL: ""})
    assert [trial.state for trial in sweep.trials.refresh(pruning=False).values()] == ["running"] * 2
    assert [run.run_id for run in sweep.trials.waiting] == [waiting]


def test_values_that_are_too_long_for_their_tag_are_read_from_the_params(sweep: Sweep) -> None:
    text = "it's " * 300
    cut = json.dumps({"name": text, "alpha": 0.5})[:1000]
    run = sweep.trial(0, "FINISHED", tags={Tag.TRIAL_VALUES: cut, Tag.END: "FINISHED", Tag.TRIAL_STATE: "finished"})
    for name, value in (("name", text), ("alpha", "0.5"), ("rows", "3")):
        sweep.store.client.log_param(run, name, value)
    assert sweep.trials.refresh(pruning=False)[0].values == {"name": text, "alpha": 0.5}


@pytest.mark.proof
def test_a_trial_that_reached_its_limit_of_time_was_not_pruned(azure_git_project: Settings, ask: Ask) -> None:
    code = LOG.replace('"loss"', '"rmse"')
    run = submit_sweep(ask, f"python -c '{code}'", {"x": ["choice", [[2]]]}, limits=limits(1))
    trial = f"{run}_0"
    connected = store.connect(azure_git_project)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and ask("GET", f"jobs/{trial}").status_code == 404:
        time.sleep(0.1)
    while time.monotonic() < deadline and len(connected.client.get_metric_history(trial, "rmse")) < 5:
        time.sleep(0.1)
    ask("POST", f"jobs/{trial}/cancel")
    assert ended(ask, trial) == "Canceled"
    found = ServiceTrials(connected, run, Goal("rmse"), SCHEMA, [])
    late = found.refresh(pruning=True, trial_timeout=1)[0]
    assert (late.state, late.reason) == ("killed", "its job took longer than 1 s")
    found = ServiceTrials(connected, run, Goal("rmse"), SCHEMA, [])
    pruned = found.refresh(pruning=True, trial_timeout=600)[0]
    assert (pruned.state, pruned.reason) == ("pruned", service_trials.PRUNED)
