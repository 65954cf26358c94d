"""The jobs of one sweep's trials: found by a tag whose name holds the sweep's run, and stopped together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.tags import Tag

LOOK_EVERY = 2.0
"""Seconds between two looks at jobs that are being stopped."""


def tags(sweep: str, number: int) -> dict[str, str]:
    """Return the tags of a trial's job, which it has before its notebook begins."""
    return {f"{Tag.JOB_OF_SWEEP_PREFIX}{sweep}": str(number), Tag.TRIAL: str(number), "mlflow.parentRunId": sweep}


def list_trials(client: RestClient, workspace: Workspace, sweep: str) -> Iterator[Job]:
    """Yield the jobs of a sweep's trials, those that have ended too."""
    return jobs.list_with_tag(client, workspace, f"{Tag.JOB_OF_SWEEP_PREFIX}{sweep}")


def stop_sweep(
    client: RestClient,
    workspace: Workspace,
    history: RunHistory,
    sweep: str,
    *,
    tell: Callable[[str], None] = lambda line: None,
    wait_seconds: float = jobs.STOP_WAIT,
    look: float = LOOK_EVERY,
) -> list[Job]:
    """Stop a sweep and wait for the end of its jobs; return them all. Those that have ended stay as they are.

    The process that owns the sweep reads the tag on its run, and starts no more trials.
    """
    history.set_tag(sweep, Tag.STOP, "stopped")
    deadline = time.monotonic() + wait_seconds
    asked: set[str] = set()
    while True:
        trials = list(list_trials(client, workspace, sweep))
        left = [job for job in trials if not job.ended]
        if not left or time.monotonic() > deadline:
            return trials
        for job in left:
            if job.name not in asked:
                tell(f"stopping job {job.name} of trial {job.trial} ({job.status})")
                jobs.cancel(client, workspace, job.name)
                asked.add(job.name)
        time.sleep(look)


def find_sweep_jobs(client: RestClient, workspace: Workspace, run: str) -> list[Job]:
    """Return the jobs of the sweep whose run this is. Raises AzureError when there is no job of it, nor of its name."""
    trials = list(list_trials(client, workspace, run))
    if not trials:
        step = "`nbops azure jobs list` shows those that there are"
        raise errors.AzureError(f"{run} is neither a job nor a sweep with jobs", step, status=404)
    return trials
