"""What a workspace knows of a run, by plain requests: its state, logs, tags, metrics and files. It needs no MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.rest import HttpRequest

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, error_messages, http_pipeline, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.run_result import restore_infinity
from notebooks_lib.tags import Tag


@dataclass(frozen=True)
class RunDetails:
    """What Azure says of a run that is a job's."""

    status: str
    error: str
    """Why it failed, in Azure's words; empty if it did not."""
    code: str
    logs: Mapping[str, str]
    """Name of a log -> its SAS URL."""
    seconds: float
    """For how long it has run; 0.0 if it did not, or has not ended."""


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow says of a run."""

    run_id: str
    experiment_id: str
    status: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float
    """Of its notebook; of the job, with its wait for a machine, if the notebook's are not known."""


@dataclass(frozen=True)
class ChildRun:
    """The run of a pipeline's step that has started."""

    run_id: str
    name: str
    """The name of the step."""
    status: str
    """In Azure's words, such as Queued."""
    reused: str
    """The run of an earlier pipeline whose results it took instead of running; empty if it runs itself."""
    created: str
    seconds: float
    """For how long it has run; 0.0 if it did not, or has not ended."""


class RunHistory:
    """The runs of one workspace, as its tracking URI names it."""

    def __init__(self, tracking_uri: str) -> None:
        self.host = f"https://{urlsplit(tracking_uri).netloc}"
        self._client = RestClient(self.host, clouds.current().scope)
        self._workspace = workspace.of_tracking_uri(tracking_uri).path
        self._mlflow = f"/mlflow/v2.0{self._workspace}/api/2.0/mlflow/runs"

    def details(self, run_id: str) -> RunDetails:
        """Return the state of a job's run, and where its logs are."""
        answer = self._client.request(
            "GET", f"/history/v1.0{self._workspace}/runs/{run_id}/details", "", what=f"run {run_id}"
        )
        error = (answer.get("error") or {}).get("error") or {}
        return RunDetails(
            status=str(answer.get("status") or ""),
            error=str(error.get("message") or ""),
            code=str(error.get("code") or ""),
            logs=dict(answer.get("logFiles") or {}),
            seconds=_seconds_between(answer.get("startTimeUtc"), answer.get("endTimeUtc")),
        )

    def children(self, run_id: str) -> list[ChildRun]:
        """Return the runs of a pipeline's steps that have started, in that order."""
        path, what = f"/history/v1.0{self._workspace}/runs/{run_id}/children", f"steps of pipeline {run_id}"
        found = list(self._client.pages(path, "", what=what))
        return sorted(map(_child, found), key=lambda child: child.created)

    def parent(self, run_id: str) -> str:
        """Return the run that a run is a child of, such as a step's pipeline; empty if there is none."""
        answer = self._client.request("GET", f"/history/v1.0{self._workspace}/runs/{run_id}", "", what=f"run {run_id}")
        return str(answer.get("parentRunId") or "")

    def tracked(self, run_id: str) -> TrackedRun:
        """Return tags, metrics and status of a run."""
        run = self._client.request("GET", f"{self._mlflow}/get", "", what=f"run {run_id}", query={"run_id": run_id})[
            "run"
        ]
        info, data = run["info"], run.get("data") or {}
        tags = {tag["key"]: tag["value"] for tag in data.get("tags") or ()}
        began, ended = int(info.get("start_time") or 0), int(info.get("end_time") or 0)
        return TrackedRun(
            run_id=run_id,
            experiment_id=str(info.get("experiment_id") or ""),
            status=str(info.get("status") or ""),
            tags=tags,
            metrics={each["key"]: restore_infinity(float(each["value"])) for each in data.get("metrics") or ()},
            seconds=_seconds(tags, began, ended),
        )

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Write a tag on a run."""
        path, body = f"{self._mlflow}/set-tag", {"run_id": run_id, "key": key, "value": value}
        self._client.request("POST", path, "", what=f"run {run_id}", body=body)

    def file(self, run: TrackedRun, path: str) -> bytes:
        """Return one of a run's files. Raises AzureError with status 404 when there is none."""
        base = f"/history/v1.0{self._workspace}/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/contentinfo"
        answer: Any = self._client.request("GET", base, "", what=f"{path} of run {run.run_id}", query={"path": path})
        return self.blob(str(answer["contentUri"]), path)

    def blob(self, address: str, what: str) -> bytes:
        """Return what is at a SAS URL, such as a log's."""
        with error_messages.translated(what):
            answer = http_pipeline.send(HttpRequest("GET", address), http_pipeline.USUAL)
        if answer.status_code == 416:  # an empty one
            return b""
        if answer.status_code != 200:
            cause = f"{what} cannot be read: storage answers {answer.status_code}"
            raise errors.AzureError(cause, "do it again", status=answer.status_code)
        return bytes(answer.content)


def _child(answer: Mapping[str, Any]) -> ChildRun:
    properties = answer.get("properties") or {}
    return ChildRun(
        run_id=str(answer["runId"]),
        name=str(answer.get("displayName") or ""),
        status=str(answer.get("status") or "Unknown"),
        reused=str(properties.get("azureml.reusedrunid") or ""),
        created=str(answer.get("createdUtc") or ""),
        seconds=_seconds_between(answer.get("startTimeUtc"), answer.get("endTimeUtc")),
    )


def _seconds_between(start: str | None, end: str | None) -> float:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() if start and end else 0.0
    except (ValueError, TypeError):
        return 0.0


def _seconds(tags: Mapping[str, str], began_ms: int, ended_ms: int) -> float:
    try:
        return float(tags[Tag.SECONDS])
    except (KeyError, ValueError):
        return max(0.0, (ended_ms - began_ms) / 1000) if ended_ms else 0.0
