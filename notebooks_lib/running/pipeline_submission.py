"""Submits pipelines to an Azure ML workspace. The same pipeline is not submitted again while it has not ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.assets import code_asset, environment
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute, jobs, pipeline_job
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.jobs.pipeline_job import PipelineParts
from notebooks_lib.running.pipeline_template import PipelineTemplate
from notebooks_lib.tags import Tag


@dataclass(frozen=True)
class SubmittedPipeline:
    """A pipeline that is in the workspace."""

    job: Job
    is_new: bool
    """False: the same was submitted before and has not ended."""


def prepare_pipeline(
    template: PipelineTemplate,
    client: RestClient,
    root: Path,
    environ: Mapping[str, str],
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Create in the workspace what the steps need and is not there yet; return the properties of the pipeline's job.

    A schedule can have them as those of the job that it starts. `tell` gets a line for what takes time.
    """
    workspace = template.workspace
    parts = PipelineParts(
        environment=environment.find_or_create_environment(client, workspace, template.environment, tell=tell),
        code=code_asset.find_or_upload_snapshot(client, workspace, template.snapshot, tell=tell),
        computes={
            name: compute.find_or_create_compute(client, workspace, name, root, environ, tell=tell)
            for name in template.computes
        },
    )
    request = pipeline_job.pipeline_request(
        workspace, template.file, template.values, parts, always_run=template.always_run, environ=environ
    )
    pipeline_job.create_components(client, request)
    properties = dict(request.properties)
    return {**properties, "tags": {**properties["tags"], Tag.PIPELINE_DIGEST: template.digest}}


def submit_pipeline(client: RestClient, workspace: Workspace, properties: Mapping[str, Any]) -> SubmittedPipeline:
    """Submit a pipeline, or find the same one that has not ended: after a kill, from another machine, two at once."""
    digest = properties["tags"][Tag.PIPELINE_DIGEST]
    same = [job for job in jobs.list_pipelines(client, workspace) if job.digest == digest]
    if running := next((job for job in same if not job.ended), None):
        return SubmittedPipeline(running, is_new=False)
    previous = max(same, key=lambda job: job.created).name if same else ""
    while True:
        name = pipeline_job.job_name(digest, previous)
        try:
            job = jobs.find_job(client, workspace, name)
        except errors.AzureError as error:
            if error.status != 404:
                raise
            version = pipeline_job.API_VERSION
            return SubmittedPipeline(jobs.submit(client, workspace, name, properties, api_version=version), is_new=True)
        if not job.ended:
            return SubmittedPipeline(job, is_new=False)
        previous = name  # it ended, and is not listed, for example because somebody archived it
