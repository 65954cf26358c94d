"""The jobs of a sweep are found by its run, and stopped together."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.jobs import jobs, trial_jobs
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from notebooks_lib.tracking.owned_run import OwnedRun, RunStart
from tests.azure.fixtures import Ask, AzureProject
from tests.azure.jobs.test_jobs import properties

pytestmark = pytest.mark.tracking


def test_stopping_a_sweep_stops_all_its_jobs_and_no_other(azure_workspace: AzureProject, ask: Ask) -> None:
    settings = azure_workspace.settings
    client, place = rest_client.resource_manager(), workspace.find_workspace(settings)
    history, connected = RunHistory(workspace.tracking_uri(settings)), store.connect(settings)
    sweeps = [
        OwnedRun.open(connected, RunStart(settings.experiment, "s", "n.ipynb", "", {}, "", "", None)).run_id
        for _ in range(2)
    ]
    names: dict[str, list[str]] = {sweep: [] for sweep in sweeps}
    for sweep in sweeps:
        for number in range(2):
            body = properties(ask, "exec sleep 60")
            body["tags"] |= trial_jobs.tags(sweep, number)
            names[sweep].append(jobs.submit(client, place, uuid.uuid4().hex, body).name)
    mine, other = sweeps
    lines: list[str] = []
    stopped = trial_jobs.stop_sweep(client, place, history, mine, tell=lines.append, look=0.1)

    assert sorted(job.name for job in stopped) == sorted(names[mine])
    assert {job.status for job in stopped} == {"Canceled"}
    assert sorted((job.trial, job.sweep) for job in stopped) == [("0", mine), ("1", mine)]
    assert sorted(line.split(" (")[0] for line in lines) == sorted(
        f"stopping job {name} of trial {number}" for number, name in enumerate(names[mine])
    )
    assert history.tracked(mine).tags[Tag.STOP] == "stopped"
    assert not any(job.ended for job in trial_jobs.find_sweep_jobs(client, place, other))
    trial_jobs.stop_sweep(client, place, history, other, look=0.1)
    with pytest.raises(errors.AzureError, match="none is neither a job nor a sweep with jobs; `nbops azure jobs list`"):
        trial_jobs.find_sweep_jobs(client, place, "none")
