"""What a workspace knows of a run, by plain requests: its state, logs, tags, metrics and files. It needs no MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.rest import HttpRequest

from notebooks_lib import errors
from notebooks_lib.azure import clouds, error_messages, http_pipeline, workspace
from notebooks_lib.azure.rest_client import RestClient
from notebooks_lib.run_result import restore_infinity


@dataclass(frozen=True)
class RunDetails:
    """What Azure says of a run that is a job's."""

    status: str
    error: str
    """Why it failed, in Azure's words; empty if it did not."""
    code: str
    logs: Mapping[str, str]
    """Name of a log -> its signed address."""
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


class RunHistory:
    """The runs of one workspace, as its tracking URI names it."""

    def __init__(self, tracking_uri: str) -> None:
        self.host = f"https://{urlsplit(tracking_uri).netloc}"
        self._client = RestClient(self.host, clouds.current().scope)
        self._workspace = workspace.of_tracking_uri(tracking_uri).path

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

    def tracked(self, run_id: str) -> TrackedRun:
        """Return tags, metrics and status of a run."""
        path = f"/mlflow/v2.0{self._workspace}/api/2.0/mlflow/runs/get"
        run = self._client.request("GET", path, "", what=f"run {run_id}", query={"run_id": run_id})["run"]
        info, data = run["info"], run.get("data") or {}
        began, ended = int(info.get("start_time") or 0), int(info.get("end_time") or 0)
        return TrackedRun(
            run_id=run_id,
            experiment_id=str(info.get("experiment_id") or ""),
            status=str(info.get("status") or ""),
            tags={tag["key"]: tag["value"] for tag in data.get("tags") or ()},
            metrics={each["key"]: restore_infinity(float(each["value"])) for each in data.get("metrics") or ()},
            seconds=max(0.0, (ended - began) / 1000) if ended else 0.0,
        )

    def file(self, run: TrackedRun, path: str) -> bytes:
        """Return one of a run's files. Raises AzureError with status 404 when there is none."""
        base = f"/history/v1.0{self._workspace}/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/contentinfo"
        answer: Any = self._client.request("GET", base, "", what=f"{path} of run {run.run_id}", query={"path": path})
        return self.blob(str(answer["contentUri"]), path)

    def blob(self, address: str, what: str) -> bytes:
        """Return what lies at a signed address, such as a log's."""
        with error_messages.translated(what):
            answer = http_pipeline.send(HttpRequest("GET", address), http_pipeline.USUAL)
        if answer.status_code == 416:  # an empty one
            return b""
        if answer.status_code != 200:
            cause = f"{what} cannot be read: storage answers {answer.status_code}"
            raise errors.AzureError(cause, "do it again", status=answer.status_code)
        return bytes(answer.content)


def _seconds_between(start: str | None, end: str | None) -> float:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() if start and end else 0.0
    except (ValueError, TypeError):
        return 0.0
