"""What callers of online endpoints meet: the scoring address, traffic and mirror, and what Azure Monitor counts of it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tests.azure.emulator.online_endpoints import OnlineEndpoints
from tests.azure.emulator.resource_manager import Document
from tests.azure.emulator.scoring_process import ScoringProcess
from tests.azure.emulator.tracking_facade import SCOPE

AUDIENCES = ("https://ml.azure.com",)
STEP = 0.6180339887498949
"""The golden section: multiples of it, less their whole part, fill every share evenly."""
BACK = ("x-ms-client-request-id", "x-request-id")
"""Headers that pass a request's id on."""


class Served:
    """What one deployment has answered: minute -> (status, status of the model) -> how often, and the times in ms."""

    def __init__(self) -> None:
        self.answers: dict[int, Counter[tuple[int, int]]] = {}
        self.times: dict[int, list[float]] = {}

    def add(self, status: int, model: int, began: float) -> None:
        minute = int(time.time() // 60)
        self.answers.setdefault(minute, Counter())[status, model] += 1
        self.times.setdefault(minute, []).append(1000 * (time.monotonic() - began))


class ScoringHost:
    """The scoring addresses of all endpoints."""

    def __init__(self, endpoints: OnlineEndpoints) -> None:
        self._endpoints, self._manager = endpoints, endpoints.manager
        self._served: dict[str, tuple[ScoringProcess | None, Served]] = {}
        self._turns = 0
        self._client = httpx.AsyncClient(timeout=60, trust_env=False)
        self._copies: set[asyncio.Task[Any]] = set()
        self.router = Router([Route("/score", self.score, methods=["POST"])])
        metrics = "providers/Microsoft.Insights/metrics"
        self.monitor = [
            Route(f"/{SCOPE}/onlineEndpoints/{{endpoint}}/{metrics}", self.requests_of_endpoint),
            Route(f"/{SCOPE}/onlineEndpoints/{{endpoint}}/deployments/{{slot}}/{metrics}", self.latency_of_deployment),
        ]

    def _of(self, path: str) -> Served:
        """Return what the present process of a deployment has answered."""
        process = self._endpoints.processes.get(path)
        if path not in self._served or self._served[path][0] is not process:
            self._served[path] = process, Served()
        return self._served[path][1]

    # -- Azure Monitor

    async def requests_of_endpoint(self, request: Request) -> Response:
        """RequestsPerMinute by deployment, status and the model's status."""
        base = f"{request.url.path.partition('/providers/Microsoft.Insights')[0].lower()}/deployments/"
        series: dict[tuple[str, int, int], dict[int, float]] = {}
        for path, (_, served) in self._served.items():
            for minute, answers in served.answers.items() if path.startswith(base) else ():
                for (status, model), count in answers.items():
                    series.setdefault((path.removeprefix(base), status, model), {})[minute] = count
        names = ("deployment", "statusCode", "modelStatusCode")
        return self._figures(
            request, [("RequestsPerMinute", dict(zip(names, key, strict=True)), rows) for key, rows in series.items()]
        )

    async def latency_of_deployment(self, request: Request) -> Response:
        """RequestLatency_P50 and so on, in milliseconds."""
        served = self._of(request.url.path.partition("/providers/Microsoft.Insights")[0].lower())
        wanted = request.query_params["metricnames"].split(",")
        figures = []
        for name in wanted:
            share = int(name.rpartition("_P")[2]) / 100
            rows = {minute: sorted(times)[int(share * (len(times) - 1))] for minute, times in served.times.items()}
            figures.append((name, dict[str, Any](), rows))
        return self._figures(request, figures)

    def _figures(self, request: Request, figures: list[tuple[str, dict[str, Any], dict[int, float]]]) -> Response:
        late = self._endpoints.faults.take(request, "figures_never_come") is not None
        begin, _, end = request.query_params["timespan"].partition("/")
        first, last = (int(datetime.fromisoformat(text).timestamp() // 60) for text in (begin, end))
        assert request.query_params["interval"] == "PT1M"
        value: dict[str, Document] = {}
        for name, labels, rows in figures if not late else ():
            data = [
                {"timeStamp": datetime.fromtimestamp(60 * minute, UTC).isoformat(), "average": count}
                for minute, count in sorted(rows.items())
                if first <= minute <= last
            ]
            labelled = [{"name": {"value": key.lower()}, "value": str(label)} for key, label in labels.items()]
            metric = value.setdefault(name, {"name": {"value": name}, "unit": "Count", "timeseries": []})
            metric["timeseries"].append({"metadatavalues": labelled, "data": data})
        return JSONResponse({"value": list(value.values()), "interval": "PT1M"})

    # -- scoring

    async def score(self, request: Request) -> Response:
        """Answer a request as the chosen deployment's process does; its own errors become 424."""
        name = (request.url.hostname or "").partition(".")[0]
        path = self._manager.path_of("onlineEndpoints", name)
        document = self._manager.find(path) or {}
        if not path or not self._allowed(request, path, document["properties"]["authMode"].lower()):
            return Response("key_auth_access_denied", 401)
        slot, own = request.headers.get("azureml-model-deployment"), document["properties"]
        chosen = slot or self._by_traffic(own.get("traffic") or {})
        process = self._endpoints.processes.get(f"{path}/deployments/{chosen}".lower())
        if process is None or not process.healthy:
            return Response(json.dumps({"message": f"no deployment {chosen}"}), 404 if slot or not chosen else 503)
        passed = {key: value for key, value in request.headers.items() if key not in ("host", "authorization")}
        passed["x-request-id"] = uuid.uuid4().hex
        body = await request.body()
        answer = await self._ask(path, chosen, process, body, passed)
        for other, share in (own.get("mirrorTraffic") or {}).items() if not slot else ():
            copy = self._endpoints.processes.get(f"{path}/deployments/{other}".lower())
            if copy is not None and 100 * (self._turns * STEP % 1) < share:
                task = asyncio.create_task(self._ask(path, other, copy, body, passed))
                self._copies.add(task)
                task.add_done_callback(self._copies.discard)
        return answer

    def _allowed(self, request: Request, path: str, mode: str) -> bool:
        if mode == "aadtoken":
            return self._endpoints.sign_in.refuse(request, AUDIENCES) is None
        return request.headers.get("Authorization") == f"Bearer {self._endpoints.secrets[path.lower()]}"

    def _by_traffic(self, traffic: dict[str, int]) -> str:
        self._turns += 1
        place = 100 * (self._turns * STEP % 1)
        for slot, share in traffic.items():
            place -= share
            if place < 0:
                return slot
        return ""

    async def _ask(
        self, path: str, slot: str, process: ScoringProcess, body: bytes, headers: dict[str, str]
    ) -> Response:
        began, served = time.monotonic(), self._of(f"{path}/deployments/{slot}".lower())
        back = {"azureml-model-deployment": slot, **{name: headers[name] for name in BACK if name in headers}}
        try:
            answer = await self._client.post(f"http://127.0.0.1:{process.port}/score", content=body, headers=headers)
        except httpx.HTTPError:
            served.add(502, 0, began)
            return Response("upstream connect error", 502, back)
        model = answer.status_code
        status = 200 if model == 200 else 424
        served.add(status, model, began)
        back |= {"Content-Type": "application/json"}
        back |= {} if model == 200 else {"ms-azureml-model-error-statuscode": str(model)}
        return Response(answer.content, status, back)
