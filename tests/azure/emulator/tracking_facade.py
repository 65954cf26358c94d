"""What a workspace's tracking answers, in front of a real MLflow server: it refuses what Azure ML refuses.

Every rule here names where it was seen; docs/azure.md has the rest. It is a test's stand-in and proves nothing about
the real service beyond these rules.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tests.azure.emulator.blobs import ACCOUNT, SIGNED

SCOPE = "subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
API = "api/2.0"
CONTAINER = "azureml"
"""Where the artifacts of runs are kept."""

KNOWN = re.compile(
    r"mlflow/(experiments/|runs/(?!log-inputs|outputs|link)|metrics/|registered-models/(?!alias)|model-versions/)"
)
"""All else is 404: logged-models (azure-sdk-for-python#44896), traces (#40261), /api/3.0; unproven: aliases, inputs."""
UNSUPPORTED = ("mlflow/registered-models/rename", "mlflow/registered-models/delete")  # how-to-manage-models-mlflow.md

MAX_PARAMS = 200  # azure-sdk-for-python#35685
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 100, 1000  # resource-limits-capacity.md
MAX_VALUES_OF_A_METRIC = 250  # per batch: mlflow#11462


class TrackingFacade:
    """The workspace's tracking and registry, and the artifacts of its run history."""

    def __init__(self, backend: str, folder: Path) -> None:
        self._backend = httpx.AsyncClient(base_url=backend, timeout=60, trust_env=False)
        self._address, self._database = backend, folder / "mlflow.db"
        self.blobs = folder / "blobs"
        self._experiments: dict[str, str] = {}
        self.registered: Callable[[str, dict[str, Any]], object] = lambda path, document: None
        """Told of each version of a model that is registered: the workspace has it as an asset."""
        self.asset: Callable[[str], dict[str, Any] | None] = lambda path: None
        """Returns that asset, whose tags are those of the version."""
        scope = "/" + SCOPE
        artifacts = f"/history/v1.0{scope}/experiments/{{experiment}}/runs/{{run}}/artifacts"
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        routes = [
            Route(f"/mlflow/v2.0{scope}/{{call:path}}", self.mlflow, methods=every),
            Route(f"{artifacts}/batch/metadata", self.create_artifacts, methods=["POST"]),
            Route(f"{artifacts}/contentinfo", self.content_info),
            Route(artifacts, self.list_artifacts),
        ]
        self.router = Router(routes)

    # -- MLflow

    async def mlflow(self, request: Request) -> Response:
        """Refuse what the workspace refuses, else ask the MLflow server and put Azure's locations in its answer."""
        call = request.path_params["call"]
        body = await request.body()
        given = json.loads(body) if body else dict(request.query_params)
        if call == f"{API}/preview/mlflow/runs/log-batch-async":  # the plugin's own, for asynchronous logging
            answered = await self._backend.post(f"/{API}/mlflow/runs/log-batch", content=body, headers=_JSON)
            return (
                JSONResponse({"batch_tracking_id": ""}) if answered.is_success else _passed(answered, answered.content)
            )
        short = call.removeprefix(f"{API}/")
        if short == call or not KNOWN.match(short):
            return Response(status_code=404)
        if short in UNSUPPORTED:
            return refused("UserError", f"{short} is not supported")
        if problem := await self._over_a_limit(short, given) or _unsupported_search(short, given):
            return problem
        if short == "mlflow/experiments/create":
            given.pop("artifact_location", None)
            body = json.dumps(given).encode()
        answered = await self._backend.request(
            request.method, f"/{call}", content=body, params=request.query_params, headers=_JSON if body else None
        )
        if short == "mlflow/model-versions/create" and answered.is_success:
            made = answered.json()["model_version"]
            _, _, path = made["source"].partition("/artifacts/")
            store = "azureml://datastores/workspaceartifactstore/paths"
            place = f"{store}/ExperimentRun/dcid.{made['run_id']}/{path}"
            own = {"modelType": "mlflow_model", "modelUri": place, "flavors": {}, "tags": _tags(made.get("tags", []))}
            self.registered(_asset_path(request, made), {"properties": own})
        if short == "mlflow/model-versions/set-tag" and answered.is_success:
            asset = self.asset(_asset_path(request, given))
            if asset is not None:
                asset["properties"].setdefault("tags", {}).update(_tags([given]))
        return _passed(answered, self._relocated(answered, request))

    def _relocated(self, answered: httpx.Response, request: Request) -> bytes:
        if not answered.is_success or b"artifact_" not in answered.content:
            return answered.content
        scope = SCOPE.format(**request.path_params)
        host = request.url.hostname

        def visit(value: Any) -> Any:
            if isinstance(value, list):
                return [visit(item) for item in value]
            if not isinstance(value, dict):
                return value
            changed = {key: visit(item) for key, item in value.items()}
            if "artifact_uri" in changed and "run_id" in changed:
                where = f"experiments/{changed['experiment_id']}/runs/{changed['run_id']}/artifacts"
                changed["artifact_uri"] = f"azureml://{host}/mlflow/v2.0/{scope}/{where}"
            if "artifact_location" in changed:
                changed["artifact_location"] = ""
            return changed

        return json.dumps(visit(answered.json())).encode()

    async def _over_a_limit(self, call: str, given: dict[str, Any]) -> Response | None:
        """Azure ML's limits on one run: parameters, tags, values of one metric in a batch."""
        tags = [*given.get("tags", [])] + ([given] if call.endswith("/set-tag") else [])
        for tag in tags:
            if len(tag.get("key", "")) > MAX_TAG_KEY:
                return too_large("Tags.Key/Length", MAX_TAG_KEY, len(tag["key"]))
            if len(tag.get("value") or "") > MAX_TAG_VALUE:
                return too_large(f"Tags.Value/Length ({tag['key']})", MAX_TAG_VALUE, len(tag["value"]))
        if call == "mlflow/runs/create" and len(tags) > MAX_TAGS:
            return too_large("Tags", MAX_TAGS, len(tags))
        if call not in ("mlflow/runs/log-batch", "mlflow/runs/log-parameter", "mlflow/runs/set-tag"):
            return None
        counts: dict[str, int] = {}
        for metric in given.get("metrics", []):
            counts[metric["key"]] = counts.get(metric["key"], 0) + 1
        if counts and max(counts.values()) > MAX_VALUES_OF_A_METRIC:
            return too_large("MetricV2Dto.Value/Count", MAX_VALUES_OF_A_METRIC, max(counts.values()))
        params = [*given.get("params", [])] + ([given] if call.endswith("/log-parameter") else [])
        if not params and not tags:
            return None
        there = await self._backend.get(f"/{API}/mlflow/runs/get", params={"run_id": given.get("run_id", "")})
        data = there.json().get("run", {}).get("data", {}) if there.is_success else {}
        for kind, new, limit in (("Parameters", params, MAX_PARAMS), ("Tags", tags, MAX_TAGS)):
            keys = {item["key"] for item in [*data.get(kind.lower().replace("parameters", "params"), []), *new]}
            if new and len(keys) > limit:
                return too_large(kind, limit, len(keys))
        return None

    # -- artifacts: run history hands out SAS URLs

    async def create_artifacts(self, request: Request) -> Response:
        """Empty artifacts with an address to upload to; a path that exists is a conflict (lightly-train#256)."""
        run = request.path_params["run"]
        answer: dict[str, dict[str, Any]] = {"artifacts": {}, "artifactContentInformation": {}, "errors": {}}
        for path in [item["path"] for item in (await request.json())["paths"]]:
            if self._file(run, path).exists():
                message = f"Resource Conflict: ArtifactId ExperimentRun/dcid.{run}/{path} already exists."
                answer["errors"][path] = {"error": {"code": "UserError", "message": message}}
            else:
                answer["artifacts"][path] = self._artifact(run, path)
                answer["artifactContentInformation"][path] = self._content(run, path)
        return JSONResponse(answer)

    async def content_info(self, request: Request) -> Response:
        """Where to read an artifact."""
        run, path = request.path_params["run"], request.query_params["path"]
        if not self._file(run, path).is_file():
            return JSONResponse({"error": {"code": "UserError", "message": f"Artifact {path} not found"}}, 404)
        return JSONResponse(self._content(run, path))

    async def list_artifacts(self, request: Request) -> Response:
        """All paths of a run: the service knows no folders."""
        run = request.path_params["run"]
        root = self._file(run, "")
        paths = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
        return JSONResponse({"value": [self._artifact(run, path) for path in paths], "continuationToken": None})

    def _file(self, run: str, path: str) -> Path:
        return self.artifact_file(run, path)

    def _artifact(self, run: str, path: str) -> dict[str, str]:
        where = {"origin": "ExperimentRun", "container": f"dcid.{run}", "path": path}
        return {"artifactId": "/".join(where.values()), **where}

    def _content(self, run: str, path: str) -> dict[str, str]:
        return {
            "contentUri": self.address(run, path),
            "origin": "ExperimentRun",
            "container": f"dcid.{run}",
            "path": path,
        }

    # -- runs of jobs

    async def start_run(self, name: str, job: dict[str, Any]) -> None:
        """Make the run of a job, which bears the job's name as its id: no request of MLflow's can do that."""
        wanted = job.get("experimentName") or "Default"
        query = {"experiment_name": wanted}
        there = await self._backend.get(f"/{API}/mlflow/experiments/get-by-name", params=query)
        if there.is_success:
            experiment = there.json()["experiment"]["experiment_id"]
        else:
            made = await self._backend.post(f"/{API}/mlflow/experiments/create", json={"name": wanted})
            experiment = made.json()["experiment_id"]
        tags = [{"key": key, "value": str(value)} for key, value in (job.get("tags") or {}).items()]
        body = {"experiment_id": experiment, "run_name": job.get("displayName"), "tags": tags}
        body["start_time"] = int(time.time() * 1000)
        made = await self._backend.post(f"/{API}/mlflow/runs/create", json=body)
        run = made.json()["run"]["info"]["run_id"]
        self._experiments[name] = experiment
        with sqlite3.connect(self._database, timeout=30) as database:
            for table in ("runs", "tags"):
                database.execute(f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (name, run))
        database.close()

    def end_run(self, name: str, status: str) -> None:
        """The service's own end of a job's run; called outside the event loop."""
        body = {"run_id": name, "status": status, "end_time": int(time.time() * 1000)}
        httpx.post(f"{self._address}/{API}/mlflow/runs/update", json=body, timeout=60, trust_env=False)

    def metric_values(self, name: str, metric: str) -> list[float]:
        """All values of a metric that a run has logged, in order; called outside the event loop."""
        query = {"run_id": name, "metric_key": metric}
        found = httpx.get(
            f"{self._address}/{API}/mlflow/metrics/get-history", params=query, timeout=60, trust_env=False
        )
        return [float(each["value"]) for each in found.json().get("metrics", [])]

    def experiment_of(self, name: str) -> str:
        """The id of the experiment of a job's run."""
        return self._experiments[name]

    def artifact_file(self, run: str, path: str) -> Path:
        """Where an artifact lies on this machine's disk."""
        return self.blobs / CONTAINER / "ExperimentRun" / f"dcid.{run}" / path

    def address(self, run: str, path: str) -> str:
        """The signed address of an artifact."""
        return f"https://{ACCOUNT}/{CONTAINER}/ExperimentRun/dcid.{run}/{path}?{SIGNED}"


_JSON = {"Content-Type": "application/json"}


def refused(code: str, message: str) -> Response:
    """Azure ML's form of a refusal (azure-sdk-for-python#35685)."""
    inner = {"Error": {"Code": code, "Message": message}, "ComponentName": "mlflow", "statusCode": 400}
    return JSONResponse({"error_code": "INVALID_PARAMETER_VALUE", "message": f"Response: {inner}"}, 400)


def too_large(field: str, limit: int, size: int) -> Response:
    """Azure ML's answer beyond a limit."""
    rest = "See https://aka.ms/azure-machine-learning-limits for service limits documentation."
    message = f"A field of the entity is over the size limit. FieldName={field}, Limit={limit}, Size={size}. {rest}"
    return refused("ValidationError", message)


def _unsupported_search(call: str, given: dict[str, Any]) -> Response | None:
    """What searches cannot do: azure-sdk-for-python#42155, how-to-track-experiments-mlflow.md."""
    condition = str(given.get("filter") or "")
    rules: dict[str, Callable[[], bool]] = {
        "mlflow/registered-models/search": lambda: bool(condition),
        "mlflow/model-versions/search": lambda: not re.fullmatch(r"\s*(name|run_id)\s*=\s*'[^']*'\s*", condition),
        "mlflow/runs/search": lambda: (
            bool(re.search(r"\bOR\b", condition)) or bool(re.search(r"tags?\.\S+\s*!=", condition))
        ),
    }
    if call in rules and rules[call]():
        return refused("UserError", f"Currently unsupported filter string format: {condition!r}")
    order = given.get("order_by") or []
    if call == "mlflow/runs/search" and any(re.match(r"(metric|param|tag)s?\.", each) for each in order):
        return refused("UserError", f"Order by is supported for attributes only: {order}")
    return None


def _asset_path(request: Request, version: dict[str, Any]) -> str:
    return f"/{SCOPE.format(**request.path_params)}/models/{version['name']}/versions/{version['version']}"


def _tags(tags: list[dict[str, Any]]) -> dict[str, str]:
    return {each["key"]: str(each["value"]) for each in tags}


def _passed(answered: httpx.Response, content: bytes) -> Response:
    return Response(content, answered.status_code, media_type=answered.headers.get("Content-Type"))
