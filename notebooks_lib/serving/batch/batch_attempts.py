"""The jobs that were submitted for the same rows and the same model, one after the other: which of them counts."""

from __future__ import annotations

from collections.abc import Sequence

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.errors import AzureError

_WITHOUT_RESULT = ("Failed", "Canceled", "CancelRequested")


def attempt_name(base: str, number: int) -> str:
    """Return the name of a job: `base` follows from model and rows; attempts are counted from 1."""
    return base if number == 1 else f"{base}-{number}"


def list_attempts(client: RestClient, workspace: Workspace, base: str) -> list[Job]:
    """Return the jobs, the newest last."""
    attempts: list[Job] = []
    while job := find_attempt(client, workspace, attempt_name(base, len(attempts) + 1)):
        attempts.append(job)
    return attempts


def find_attempt(client: RestClient, workspace: Workspace, name: str) -> Job | None:
    """Return a job; None if there is none of that name."""
    try:
        return jobs.find_job(client, workspace, name)
    except AzureError as error:
        if error.status == 404:
            return None
        raise


def job_to_follow(attempts: Sequence[Job], *, fresh: bool = False) -> Job | None:
    """Return which job to follow, or to fetch the result of; None if another must be submitted.

    It is the newest that has not failed. With `fresh` it is only one that scores again and still runs: a command with
    --fresh was left.
    """
    candidates = [job for job in attempts[1:][-1:] if not job.ended] if fresh else attempts[::-1]
    return next((job for job in candidates if job.status not in _WITHOUT_RESULT), None)
