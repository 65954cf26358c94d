"""Schedules of a workspace, by plain requests: found, listed, made, switched, started once, deleted, their last run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.azure.project_files.schedule_trigger import Trigger

API_VERSION = "2023-06-01-preview"
NOW_VERSION = "2024-01-01-preview"
"""Of starting a schedule once, and of listing the jobs that it started."""
WAIT = 300.0
"""Seconds in which a schedule must be made, changed or deleted."""
_KINDS = {"createjob": "pipeline", "createmonitor": "monitor"}
_SENT = ("action", "trigger", "displayName", "description", "tags", "properties", "isEnabled")
"""What of a schedule Azure takes; the rest of its answer it sets itself."""
_SET_BY_AZURE = ("status", "services")
"""What Azure answers of the job that a schedule starts, and sets itself."""


@dataclass(frozen=True)
class Schedule:
    """A schedule as the workspace knows it."""

    name: str
    kind: str
    """pipeline or monitor, else Azure's own word."""
    enabled: bool
    trigger: Mapping[str, Any]
    tags: Mapping[str, str]
    created: str
    properties: Mapping[str, Any] = field(repr=False)
    """What Azure answered, from which a change starts."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Schedule:
        """Return the schedule of one of Azure's documents."""
        own = document.get("properties") or {}
        action = str((own.get("action") or {}).get("actionType") or "")
        return cls(
            name=str(document["name"]),
            kind=_KINDS.get(action.lower(), action),
            enabled=bool(own.get("isEnabled", True)),
            trigger=dict(own.get("trigger") or {}),
            tags=dict(own.get("tags") or {}),
            created=str((document.get("systemData") or {}).get("createdAt") or ""),
            properties=own,
        )

    def next_run(self, now: datetime) -> datetime | None:
        """Return when it fires next; None if it is off, has ended, or has a trigger that nbops cannot read."""
        if not self.enabled:
            return None
        try:
            created = datetime.fromisoformat(self.created) if self.created else now
            created = created if created.tzinfo else created.replace(tzinfo=UTC)
            return Trigger.of(self.trigger).next_run(now, created)
        except (ValueError, LookupError, OverflowError):
            return None


def find_schedule(client: RestClient, workspace: Workspace, name: str) -> Schedule | None:
    """Return a schedule; None if there is none of that name."""
    try:
        return Schedule.of(client.request("GET", _path(workspace, name), API_VERSION, what=f"schedule {name}"))
    except errors.AzureError as error:
        if error.status == 404 and f"workspaces/{workspace.name}'".casefold() not in error.cause.casefold():
            return None
        raise


def require_schedule(client: RestClient, workspace: Workspace, name: str) -> Schedule:
    """Return a schedule. Raises UnknownNameError, which names those that there are, for one that is not there."""
    found = find_schedule(client, workspace, name)
    if found is None:
        names = [each.name for each in list_schedules(client, workspace)]
        raise errors.UnknownNameError("schedule", name, names, "make those of the project: nbops azure schedule apply")
    return found


def list_schedules(client: RestClient, workspace: Workspace) -> Iterator[Schedule]:
    """Yield all schedules of a workspace, those that are off among them."""
    path, query = f"{workspace.path}/schedules", {"listViewType": "All"}
    for document in client.pages(path, API_VERSION, what=f"schedules of workspace {workspace}", query=query):
        yield Schedule.of(document)


def put_schedule(
    client: RestClient, workspace: Workspace, name: str, properties: Mapping[str, Any], *, wait_seconds: float = WAIT
) -> Schedule:
    """Make a schedule, or replace what it was, and wait until it holds. Raises AzureError."""
    body = {"properties": _settable({key: properties[key] for key in _SENT if key in properties})}
    path, what = _path(workspace, name), f"schedule {name}"
    return Schedule.of(client.operation("PUT", path, API_VERSION, what=what, body=body, wait_seconds=wait_seconds))


def switch(client: RestClient, workspace: Workspace, schedule: Schedule, *, on: bool) -> Schedule:
    """Switch a schedule on or off; nothing is sent to one that is so already."""
    if schedule.enabled == on:
        return schedule
    return put_schedule(client, workspace, schedule.name, {**schedule.properties, "isEnabled": on})


def delete_schedule(client: RestClient, workspace: Workspace, schedule: Schedule) -> None:
    """Switch a schedule off, as Azure wants, and delete it; the jobs that it started stay."""
    switch(client, workspace, schedule, on=False)
    path, what = _path(workspace, schedule.name), f"schedule {schedule.name}"
    client.operation("DELETE", path, API_VERSION, what=what, wait_seconds=WAIT)


def start_now(client: RestClient, workspace: Workspace, name: str, moment: datetime) -> str:
    """Start what a schedule starts, once, and return the job's name. It is the request by which new data wakes one.

    The client must not repeat it, for each arrival starts a job: give it limits without retries. Raises
    AzureError, also when no answer says whether it has started.
    """
    path, body = f"{_path(workspace, name)}/trigger", {"scheduleTime": moment.isoformat()}
    try:
        answer = client.request("POST", path, NOW_VERSION, what=f"schedule {name}", body=body)
    except errors.AzureError as error:
        if error.status is not None and error.status < 500 and error.status != 408:
            raise
        step = "look whether it did before you start it again: nbops azure schedule list"
        cause = f"schedule {name} may have started a job: {error.cause}"
        raise errors.AzureError(cause, step, status=error.status) from error
    return str((answer or {}).get("submissionId") or "")


def last_job(client: RestClient, workspace: Workspace, name: str) -> Job | None:
    """Return the job that a schedule started last; None if it has started none. Azure lists the newest first."""
    query = {"listViewType": "ActiveOnly", "scheduleId": name}
    page = client.request("GET", f"{workspace.path}/jobs", NOW_VERSION, what=f"jobs of schedule {name}", query=query)
    return max(map(Job.of, page["value"]), key=lambda job: job.created, default=None)


def _settable(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Azure takes of what it answered: no nulls, and not what it sets itself."""
    body: dict[str, Any] = _without_nulls(properties)
    job = (body.get("action") or {}).get("jobDefinition") or {}
    for key in _SET_BY_AZURE:
        job.pop(key, None)
    return body


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/schedules/{quote(name, safe='')}"
