"""Submits jobs of one notebook to an Azure ML workspace. What they share is sent once; a job is then one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.assets import code_asset, environment
from notebooks_lib.azure.client import http_pipeline, rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute, jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.running import job_inputs
from notebooks_lib.running.job_template import JobDescription, JobTemplate


class JobSubmitter:
    """Submits jobs of one template, whose compute, environment and snapshot are in the workspace."""

    def __init__(self, client: RestClient, workspace: Workspace, ids: Mapping[str, Any]) -> None:
        self.client = client
        self.workspace = workspace
        self.ids = ids
        """Of environment, snapshot and compute, as properties of a job; serverless jobs have no compute."""

    def submit(self, job: JobDescription) -> Job:
        """Submit a job. It runs once, even if it is submitted again under its name."""
        return jobs.submit(self.client, self.workspace, job.name, self.complete(job))

    def complete(self, job: JobDescription) -> dict[str, Any]:
        """Return all that is sent of a job: its own properties, the ids, and data assets as inputs."""
        inputs = job_inputs.dataset_inputs(self.client, self.workspace, job.parameters)
        return {**job.properties, **self.ids, **({"inputs": inputs} if inputs else {})}


def prepare_workspace(
    template: JobTemplate, root: Path, environ: Mapping[str, str], tell: Callable[[str], None] = lambda line: None
) -> JobSubmitter:
    """Create in the workspace what the jobs need and is not there yet. `tell` gets a line for what takes time."""
    client, workspace = rest_client.resource_manager(), template.workspace
    compute_id = compute.find_or_create_compute(client, workspace, template.compute, root, environ, tell=tell)
    ids = {
        "environmentId": environment.find_or_create_environment(client, workspace, template.environment, tell=tell),
        "codeId": code_asset.find_or_upload_snapshot(client, workspace, template.snapshot, tell=tell),
        **({"computeId": compute_id} if compute_id else {}),
    }
    return JobSubmitter(client, workspace, ids)


def is_submitted(workspace: Workspace, name: str) -> bool:
    """Return whether a job has arrived, for one whose submission was interrupted."""
    try:
        jobs.find_job(rest_client.resource_manager(http_pipeline.QUICK), workspace, name)
    except errors.AzureError as error:
        return error.status != 404  # it may have: better to tell how to look for it
    return True
