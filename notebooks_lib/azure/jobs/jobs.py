"""Jobs of a workspace, by plain requests: submit once, look, list, stop. A job's name is the id of its run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files.duration import parse_duration
from notebooks_lib.run_result import RunStatus
from notebooks_lib.tags import Tag

SUBMIT_VERSION = "2025-01-01-preview"
API_VERSION = "2024-01-01-preview"
CANCEL_VERSION = "2023-04-01-preview"
ENDED: Mapping[str, RunStatus] = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
"""The final states -> the status of MLflow."""
STOP_WAIT = 120.0
"""Seconds to wait for the end of a job that is being stopped."""
STEP = "Step"
"""The kind of a pipeline's step, of which Azure tells as a job only that it is there."""
LOOKS = 3
"""How often to look for a job whose submission got no answer."""


@dataclass(frozen=True)
class Job:
    """A job as the workspace knows it."""

    name: str
    status: str
    """In Azure's words, such as Queued."""
    notebook: str
    display_name: str
    experiment: str
    compute: str
    """Empty for a serverless one."""
    created: str
    timeout: int | None = None
    """Seconds for which it may run, after which Azure stops it; None without a limit."""
    kind: str = "Command"
    """Azure's own word: Command, Sweep or Pipeline; or STEP."""
    sweep: str = ""
    """The run of the sweep that it is a trial of; empty if it is none."""
    trial: str = ""
    """The trial's number."""
    pipeline: str = ""
    """The file of the pipeline; empty for other jobs."""
    digest: str = ""
    """Of all that was sent of the pipeline."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Job:
        """Return the job of one of Azure's documents."""
        own = document.get("properties") or {}
        tags = own.get("tags") or {}
        name, sweep = str(document["name"]), str(tags.get("mlflow.parentRunId") or "")
        number = name.removeprefix(f"{sweep}_")  # the service names its trials so, and gives them no tag
        return cls(
            name=name,
            status=str(own.get("status") or "Unknown"),
            notebook=str(tags.get(Tag.NOTEBOOK) or ""),
            display_name=str(own.get("displayName") or ""),
            experiment=str(own.get("experimentName") or ""),
            compute=str(own.get("computeId") or "").rpartition("/")[2],
            created=str((document.get("systemData") or {}).get("createdAt") or ""),
            timeout=parse_duration((own.get("limits") or {}).get("timeout")),
            kind=STEP if document.get("properties", {}) is None else str(own.get("jobType") or "Command"),
            sweep=sweep,
            trial=str(tags.get(Tag.TRIAL) or (number if sweep and number.isdecimal() else "")),
            pipeline=str(tags.get(Tag.PIPELINE) or ""),
            digest=str(tags.get(Tag.PIPELINE_DIGEST) or ""),
        )

    @property
    def ended(self) -> bool:
        """Whether the job has reached a final state."""
        return self.status in ENDED


def submit(
    client: RestClient,
    workspace: Workspace,
    name: str,
    properties: Mapping[str, Any],
    *,
    api_version: str = SUBMIT_VERSION,
) -> Job:
    """Submit a job under a name that nobody has used. It runs once, even if the answer to the request is lost."""
    path, what = _path(workspace, name), f"job {name}"
    try:
        return Job.of(client.request("PUT", path, api_version, what=what, body={"properties": properties}))
    except errors.AzureError as error:
        return look_for(client, workspace, name, error)


def look_for(client: RestClient, workspace: Workspace, name: str, failure: errors.AzureError) -> Job:
    """Return the job whose submission failed, if it has arrived all the same.

    A lost answer is repeated by the client, and Azure then refuses the name as taken, with 400 or 409: nobody else has
    chosen it. Raises the failure if the job was clearly refused, else one that says that it may have arrived.
    """
    status = failure.status or 0
    refused = 400 <= status < 500 and status not in (408, 409, 429)
    for attempt in range(1 if refused else LOOKS):
        time.sleep(attempt)
        try:
            return find_job(client, workspace, name)
        except errors.AzureError as error:
            if error.status != 404:
                refused = refused and status != 400
                break
    if refused:
        raise failure
    step = f"look whether it runs before you submit again: nbops azure jobs follow {name}"
    if failure.step:
        step += f"; if there is none, {failure.step}"
    cause = f"job {name} may have been submitted: {failure.cause}"
    raise errors.JobUncertainError(name, cause, step, status=failure.status)


def find_job(client: RestClient, workspace: Workspace, name: str) -> Job:
    """Return a job. Raises AzureError with status 404 when there is none of that name."""
    return Job.of(find_document(client, workspace, name))


def find_document(client: RestClient, workspace: Workspace, name: str) -> dict[str, Any]:
    """Return Azure's document of a job. Raises AzureError with status 404 when there is none of that name."""
    if_missing = "`nbops azure jobs list` shows those that there are"
    path, what = _path(workspace, name), f"job {name}"
    found: dict[str, Any] = client.request("GET", path, API_VERSION, what=what, if_missing=if_missing)
    return found


def list_jobs(client: RestClient, workspace: Workspace) -> Iterator[Job]:
    """Yield the jobs of notebooks that nbops has submitted, in the order in which Azure lists them."""
    return list_with_tag(client, workspace, Tag.NOTEBOOK)


def list_pipelines(client: RestClient, workspace: Workspace) -> Iterator[Job]:
    """Yield the pipelines that nbops, or a schedule of it, has submitted, in the order in which Azure lists them."""
    return list_with_tag(client, workspace, Tag.PIPELINE)


def list_with_tag(client: RestClient, workspace: Workspace, tag: str) -> Iterator[Job]:
    """Yield the jobs that have a tag of this name: Azure filters by nothing else."""
    query = {"listViewType": "ActiveOnly", "tag": tag}
    for document in client.pages(f"{workspace.path}/jobs", API_VERSION, what=f"jobs of {workspace}", query=query):
        if tag in ((document.get("properties") or {}).get("tags") or {}):
            yield Job.of(document)


def cancel(client: RestClient, workspace: Workspace, name: str) -> None:
    """Ask Azure to end a job, without waiting; one that has ended stays as it is."""
    try:
        client.request("POST", f"{_path(workspace, name)}/cancel", CANCEL_VERSION, what=f"job {name}")
    except errors.AzureError:
        if not find_job(client, workspace, name).ended:
            raise


def stop(
    client: RestClient,
    workspace: Workspace,
    name: str,
    *,
    tell: Callable[[str], None] = lambda line: None,
    wait_seconds: float = STOP_WAIT,
) -> Job:
    """Stop a job and wait for its end; one that has ended stays as it is."""
    job = find_job(client, workspace, name)
    if job.ended:
        return job
    tell(f"stopping job {name} ({job.status})")
    client.operation(
        "POST", f"{_path(workspace, name)}/cancel", CANCEL_VERSION, what=f"job {name}", wait_seconds=wait_seconds
    )
    deadline = time.monotonic() + wait_seconds
    while not (job := find_job(client, workspace, name)).ended and time.monotonic() < deadline:
        time.sleep(0.5)
    return job


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/jobs/{quote(name, safe='')}"
