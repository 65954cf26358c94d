"""All that answers on Azure's names, as one ASGI application, and the control address by which tests set it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Route, Router
from starlette.types import Message, Receive, Scope, Send

from tests.azure.emulator import RECORD, RESOURCE_GROUP, SCOPE, SUBSCRIPTION
from tests.azure.emulator.batch_endpoints import BatchEndpoints
from tests.azure.emulator.blobs import ACCOUNT, Blobs
from tests.azure.emulator.certificates import AZURE_PIPELINES, GITHUB, LOGIN, MANAGEMENT, REGIONS
from tests.azure.emulator.faults import BODY, Fault, Faults
from tests.azure.emulator.jobs import Jobs
from tests.azure.emulator.online_endpoints import HOST as SCORING_HOST
from tests.azure.emulator.online_endpoints import OnlineEndpoints
from tests.azure.emulator.proxy import Proxy
from tests.azure.emulator.record import NO_ANSWER, SPLIT, Record, Seen
from tests.azure.emulator.registries import Registries
from tests.azure.emulator.resource_manager import ResourceManager
from tests.azure.emulator.schedules import Schedules
from tests.azure.emulator.scoring_host import ScoringHost
from tests.azure.emulator.sign_in import SignIn
from tests.azure.emulator.tracking_facade import TrackingFacade

API_HOSTS = ".api.azureml.ms"


class Azure:
    """One of each part, told apart by the name of the host that is asked."""

    def __init__(self, folder: Path, backend: str, port: int) -> None:
        self.record = Record(folder / RECORD)
        self.proxy = Proxy(port, self.record)
        self.faults = Faults()
        self.sign_in = SignIn()
        self.manager = ResourceManager(self.faults)
        self.manager.put(f"/subscriptions/{SUBSCRIPTION}", {})
        self.manager.put(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}", {})
        self.manager.put_workspace(SCOPE)
        self.manager.put_region(SUBSCRIPTION, REGIONS[0])
        tracking = TrackingFacade(backend, folder)
        self.jobs = Jobs(folder / "jobs", self.manager, tracking, self.sign_in, self.faults)
        tracking.router.routes.extend(self.jobs.history)
        registries = Registries(tracking.blobs, self.manager, self.faults)
        tracking.router.routes.extend(registries.routes)
        tracking.registered = self.manager.put
        tracking.asset = self.manager.find
        self.endpoints = OnlineEndpoints(folder / "deployments", self.manager, self.sign_in, self.faults)
        scoring = ScoringHost(self.endpoints)
        schedules = Schedules(self.jobs)
        batches = BatchEndpoints(self.jobs)
        scoring.router.routes.append(batches.invocations)
        own = [*self.endpoints.routes, *schedules.routes, *batches.routes]
        self.jobs.router.routes[:0] = [*scoring.monitor, *own]
        here = [Route("/control/{what}", self.control, methods=["POST"]), self.sign_in.managed_identity]
        self.hosts = Router(
            [
                Host(MANAGEMENT, self.jobs.router),
                Host("{region}" + API_HOSTS, tracking.router),
                Host(ACCOUNT, Blobs(folder / "blobs", self.sign_in).router),
                Host(SCORING_HOST, scoring.router),
                Host(LOGIN, self.sign_in.login),
                Host(GITHUB, self.sign_in.github),
                Host(AZURE_PIPELINES, self.sign_in.pipelines),
                Host("localhost", Router(here)),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, which is written down before its answer goes out."""
        request = Request(scope)
        host = request.url.hostname or ""

        def write_down(status: int) -> None:
            split = scope.get(SPLIT)
            self.record.add(Seen(request.method, host, request.url.path, request.url.query, status, split))

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                write_down(message["status"])
            await send(message)

        if self.faults.of_bodies:
            receive = await _read(request, receive)
        if held := self.faults.take(request, "held"):
            if held.done:
                await self.hosts(scope, receive, _unheard)
            write_down(NO_ANSWER)
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if self.faults.take(request, "cut"):
            await receive()  # some of the body has arrived
            write_down(NO_ANSWER)
            self.proxy.cut(scope["client"][1])
            return
        if self.faults.take(request, "lost_answer"):
            await self.hosts(scope, receive, _unheard)
            write_down(NO_ANSWER)
            self.proxy.cut(scope["client"][1])
            return
        needs_token = host == MANAGEMENT or host.endswith(API_HOSTS)
        refusal = self.faults.answer(request) or (self.sign_in.refuse(request) if needs_token else None)
        await (refusal or self.hosts)(scope, receive, send if host == "localhost" else send_noted)

    async def control(self, request: Request) -> Response:
        """What a test sets, as `Emulated` says."""
        wanted, unused = await request.json(), list[str]()
        match request.path_params["what"]:
            case "fault":
                self.faults.on.append(Fault(**wanted))
            case "clear":
                unused = self.faults.clear()
            case "document":
                self.manager.put(**wanted)
            case "lifetimes":
                self.sign_in.lifetimes.update(wanted)
            case "scoring":
                self.endpoints.python = wanted["python"]
        return JSONResponse(unused)


async def _read(request: Request, receive: Receive) -> Receive:
    """Read the body into the scope, and return what receives it once more."""
    body = await Request(request.scope, receive).body()
    request.scope[BODY] = body.decode(errors="replace")
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _unheard(_: Message) -> None:
    """Drop an answer."""
