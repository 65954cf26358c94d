"""What an Azure ML workspace answers, in front of a real MLflow server: it refuses what Azure ML refuses.

One TLS port plays Azure Resource Manager (workspaces.get), the managed-identity endpoint, the workspace's MLflow
facade, its run-history artifact service and its blob storage. Every rule here names where it was seen; docs/azure.md has the
rest. It is a test's stand-in and proves nothing about the real service beyond these rules.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SCOPE = "subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
API = "api/2.0"

KNOWN = re.compile(
    r"mlflow/(experiments/|runs/(?!log-inputs|outputs|link)|metrics/|registered-models/(?!alias)|model-versions/)"
)
"""All else is 404: logged-models (azure-sdk-for-python#44896), traces (#40261), /api/3.0; unproven: aliases, inputs."""
UNSUPPORTED = ("mlflow/registered-models/rename", "mlflow/registered-models/delete")  # how-to-manage-models-mlflow.md

MAX_PARAMS = 200  # azure-sdk-for-python#35685
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 50, 100, 1000  # resource-limits-capacity.md
MAX_VALUES_OF_A_METRIC = 250  # per batch: mlflow#11462


class Facade:
    """The ASGI application; `base` is its own address, known once it listens."""

    def __init__(self, backend: str, blobs: Path) -> None:
        self.backend = httpx.AsyncClient(base_url=backend, timeout=60)
        self.blobs = blobs
        self.blocks: dict[str, bytes] = {}
        self.base = ""
        self.identity = "emulated-identity"
        self.token = _jwt()
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        scope = "/" + SCOPE
        artifacts = f"/history/v1.0{scope}/experiments/{{experiment}}/runs/{{run}}/artifacts"
        self.app = Starlette(
            routes=[
                Route("/msi/token", self.managed_identity),
                Route(scope, self.workspace),
                Route(f"/mlflow/v2.0{scope}/{{call:path}}", self.mlflow, methods=every),
                Route(f"{artifacts}/batch/metadata", self.create_artifacts, methods=["POST"]),
                Route(f"{artifacts}/contentinfo", self.content_info),
                Route(artifacts, self.list_artifacts),
                Route("/account.blob.core.windows.net/azureml/{path:path}", self.blob, methods=["GET", "PUT", "HEAD"]),
            ]
        )

    # -- Azure itself

    async def managed_identity(self, request: Request) -> Response:
        """App Service's managed identity (2019-08-01), which DefaultAzureCredential asks."""
        if request.headers.get("X-IDENTITY-HEADER") != self.identity:
            return JSONResponse({"error": "invalid_client"}, 401)
        answer = {"access_token": self.token, "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        return JSONResponse(answer | {"resource": request.query_params.get("resource", "")})

    async def workspace(self, request: Request) -> Response:
        """Azure Resource Manager's answer to workspaces.get."""
        if refusal := self._unauthorised(request):
            return refusal
        name = request.path_params["workspace"]
        if name.startswith("missing"):
            message = f"The Resource 'Microsoft.MachineLearningServices/workspaces/{name}' was not found."
            return JSONResponse({"error": {"code": "ResourceNotFound", "message": message}}, 404)
        scope = "/" + SCOPE.format(**request.path_params)
        host = self.base.removeprefix("https://")
        return JSONResponse(
            {
                "id": scope,
                "name": name,
                "type": "Microsoft.MachineLearningServices/workspaces",
                "location": "westeurope",
                "properties": {
                    "friendlyName": name,
                    "workspaceId": "00000000-0000-0000-0000-000000000001",
                    "discoveryUrl": f"{self.base}/discovery",
                    "mlFlowTrackingUri": f"azureml://{host}/mlflow/v1.0{scope}",
                    "provisioningState": "Succeeded",
                },
            }
        )

    # -- MLflow

    async def mlflow(self, request: Request) -> Response:
        """Refuse what the workspace refuses, else ask the MLflow server and put Azure's locations in its answer."""
        if refusal := self._unauthorised(request):
            return refusal
        call = request.path_params["call"]
        body = await request.body()
        given = json.loads(body) if body else dict(request.query_params)
        if call == f"{API}/preview/mlflow/runs/log-batch-async":  # the plugin's own, for asynchronous logging
            answered = await self.backend.post(f"/{API}/mlflow/runs/log-batch", content=body, headers=_JSON)
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
        answered = await self.backend.request(
            request.method, f"/{call}", content=body, params=request.query_params, headers=_JSON if body else None
        )
        return _passed(answered, self._relocated(answered, request))

    def _relocated(self, answered: httpx.Response, request: Request) -> bytes:
        if not answered.is_success or b"artifact_" not in answered.content:
            return answered.content
        scope = SCOPE.format(**request.path_params)
        host = self.base.removeprefix("https://")

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
        there = await self.backend.get(f"/{API}/mlflow/runs/get", params={"run_id": given.get("run_id", "")})
        data = there.json().get("run", {}).get("data", {}) if there.is_success else {}
        for kind, new, limit in (("Parameters", params, MAX_PARAMS), ("Tags", tags, MAX_TAGS)):
            keys = {item["key"] for item in [*data.get(kind.lower().replace("parameters", "params"), []), *new]}
            if new and len(keys) > limit:
                return too_large(kind, limit, len(keys))
        return None

    # -- artifacts: run history hands out signed blob addresses

    async def create_artifacts(self, request: Request) -> Response:
        """Empty artifacts with an address to upload to; a path that exists is a conflict (lightly-train#256)."""
        if refusal := self._unauthorised(request):
            return refusal
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
        if refusal := self._unauthorised(request):
            return refusal
        run, path = request.path_params["run"], request.query_params["path"]
        if not self._file(run, path).is_file():
            return JSONResponse({"error": {"code": "UserError", "message": f"Artifact {path} not found"}}, 404)
        return JSONResponse(self._content(run, path))

    async def list_artifacts(self, request: Request) -> Response:
        """All paths of a run: the service knows no folders."""
        if refusal := self._unauthorised(request):
            return refusal
        run = request.path_params["run"]
        root = self._file(run, "")
        paths = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
        return JSONResponse({"value": [self._artifact(run, path) for path in paths], "continuationToken": None})

    async def blob(self, request: Request) -> Response:
        """Block blobs: put at once or in blocks, never over an existing one; get in ranges."""
        if request.query_params.get("sig") != "signed":
            return Response(status_code=403)
        file = self.blobs / request.path_params["path"]
        stamp = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x-ms-blob-type": "BlockBlob"}
        if request.method == "PUT":
            part = request.query_params.get("comp")
            body = await request.body()
            if part == "block":
                self.blocks[f"{file}?{request.query_params['blockid']}"] = body
                return Response(status_code=201)
            if file.exists() and request.headers.get("If-None-Match") == "*":
                return Response(status_code=409, headers={"x-ms-error-code": "BlobAlreadyExists"})
            if part == "blocklist":
                ids = re.findall(r"<Latest>(.*?)</Latest>", body.decode())
                body = b"".join(self.blocks.pop(f"{file}?{each}") for each in ids)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            return Response(status_code=201, headers=stamp)
        if not file.is_file():
            return Response(status_code=404, headers={"x-ms-error-code": "BlobNotFound"})
        content = file.read_bytes()
        wanted = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range", request.headers.get("Range", "")))
        if not wanted:
            return Response(content, headers=stamp)
        start = int(wanted[1])
        if start >= len(content):
            return Response(status_code=416, headers={"x-ms-error-code": "InvalidRange"})
        some = content[start : int(wanted[2]) + 1 if wanted[2] else None]
        stamp["Content-Range"] = f"bytes {start}-{start + len(some) - 1}/{len(content)}"
        return Response(some, 206, headers=stamp)

    def _file(self, run: str, path: str) -> Path:
        return self.blobs / "ExperimentRun" / f"dcid.{run}" / path

    def _artifact(self, run: str, path: str) -> dict[str, str]:
        container = f"dcid.{run}"
        return {
            "artifactId": f"ExperimentRun/{container}/{path}",
            "origin": "ExperimentRun",
            "container": container,
            "path": path,
        }

    def _content(self, run: str, path: str) -> dict[str, str]:
        # This form passes both of the plugin's tests for a blob address, with no DNS of ours (docs/azure.md).
        where = f"{self.base}/account.blob.core.windows.net/azureml/ExperimentRun/dcid.{run}/{path}?sig=signed"
        return {"contentUri": where, "origin": "ExperimentRun", "container": f"dcid.{run}", "path": path}

    def _unauthorised(self, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        return JSONResponse({"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}}, 401)


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


def _passed(answered: httpx.Response, content: bytes) -> Response:
    return Response(content, answered.status_code, media_type=answered.headers.get("Content-Type"))


def _jwt() -> str:
    claims = {"exp": int(time.time()) + 86400, "aud": "https://management.azure.com/", "tid": "emulated"}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"
