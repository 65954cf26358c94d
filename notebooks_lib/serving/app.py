"""The ASGI application of an endpoint: HTTP in, HTTP out. It loads no model and keeps no state on disk."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib.errors import reason
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import asgi_requests, invocation, openapi, prometheus
from notebooks_lib.serving.access_log import AccessLog
from notebooks_lib.serving.asgi_requests import (
    SLOT_HEADER,
    ClientGone,
    HttpRequest,
    HttpResponse,
    Receive,
    Scope,
    Send,
    as_json,
    invocation_response,
    refusal_response,
    write_response,
)
from notebooks_lib.serving.data_collector import CollectedRequest, DataCollector
from notebooks_lib.serving.inference import predict_quickly
from notebooks_lib.serving.invocation import InvocationAnswer, RefusedRequest
from notebooks_lib.serving.mirror import Mirror
from notebooks_lib.serving.request_counts import RequestCounter
from notebooks_lib.serving.slots import Slot, Slots

log = logging.getLogger("nbops.endpoint")

AT_ONCE = 0.003
"""CPU seconds up to which a prediction is made in the event loop, which answers nothing else meanwhile."""
SMALL = 32 * 1024
"""Bytes of a body up to which its prediction is expected to take about as long as the last ones."""
LARGE = 256 * 1024
"""Bytes of a body from which a slot reads one at a time."""
_KEYLESS = ("/health", "/ping")
_PATHS = "POST /invocations or /score, GET /health, /ping, /version, /slots, /metrics, /openapi.json or /docs"


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a single request on size, time and memory, so that other requests are still served."""

    body: int = invocation.BODY_LIMIT
    """Bytes of a request's body."""
    concurrency: int = 100
    """Predictions that a slot has in progress; more are refused with 429."""
    uploads: int = 1000
    """Bodies that are being received; more are refused with 429."""
    held: int = 8
    """Bodies of the maximum size that the server keeps in memory, received in part or waiting for a prediction."""
    read_timeout: float = 30.0
    """Seconds in which a body must arrive."""
    timeout: float = 60.0
    """Seconds that a prediction may take, including its time in the queue."""


def _timed(model: ServedModel, kind: str, body: bytes) -> tuple[InvocationAnswer, float]:
    began = time.thread_time()
    return invocation.answer(model, kind, body), time.thread_time() - began


class App:
    """The ASGI application of endpoint `name`. `slots` may be empty; each request uses the slots of that moment.

    With a `key`, every path except /health and /ping requires `Authorization: Bearer KEY`. Without one, only requests
    of this machine, and of pages under one of `hosts`, are answered; see `foreign_origin`.
    """

    def __init__(
        self,
        name: str,
        slots: Slots,
        *,
        key: str | None = None,
        hosts: Sequence[str] = (),
        limits: RequestLimits | None = None,
        access: AccessLog | None = None,
        collector: DataCollector | None = None,
    ) -> None:
        self._name = name
        self._access = access
        self._collector = collector
        self._slotless = RequestCounter()
        self._slots = slots
        self._limits = limits or RequestLimits()
        self._key = f"Bearer {key}".encode() if key is not None else None
        self._hosts = tuple(hosts)
        self._mirror = Mirror()
        self._uploads = 0
        self._held = 0
        get: dict[str, Callable[[HttpRequest], Awaitable[HttpResponse]]] = {
            "/ping": self._health,
            "/health": self._health,
            "/version": self._version,
            "/slots": self._describe_slots,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/docs": self._docs,
        }
        self._routes = {
            **{("GET", path): handler for path, handler in get.items()},
            **{("HEAD", path): handler for path, handler in get.items()},
            ("POST", "/invocations"): self._invocations,
            ("POST", "/score"): self._invocations,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, from reading its headers to sending its answer."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        request = HttpRequest(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientGone:
            return
        seconds = time.perf_counter() - began
        tally = answer.slot.tally if answer.slot is not None else self._slotless
        tally.answered(answer.status, seconds, probe=request.probe)
        if self._access is not None:
            self._access.write(request, answer, seconds)
        await write_response(send, request, answer)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        """Turn what a handler raises into a status and the JSON that the client reads."""
        try:
            handler = self._routes.get((request.method, request.path))
            if handler is None:
                raise self._unknown(request)
            if request.path not in _KEYLESS:
                self._check_caller(request)
            return await handler(request)
        except RefusedRequest as refused:
            log.warning("%s %r: %d %s", request.method, request.path, refused.status, refused.message)
            return refusal_response(refused.status, refused.message, code=refused.code)
        except ClientGone:
            raise
        except Exception as error:
            log.exception("%s: a fault of the endpoint itself", request.path)
            return refusal_response(500, f"the endpoint failed: {reason(error)}; its log says where")

    def _unknown(self, request: HttpRequest) -> RefusedRequest:
        path_exists = any(path == request.path for _, path in self._routes)
        message = f"found {request.method[:20]} {request.path[:200]}; expected {_PATHS}"
        return RefusedRequest(405 if path_exists else 404, message)

    def _check_caller(self, request: HttpRequest) -> None:
        if self._key is None:
            foreign = asgi_requests.foreign_origin(request.scope["headers"], self._hosts)
            if foreign:
                raise RefusedRequest(403, f"{foreign}; to allow a host name, add it to [endpoint] hosts")
        elif not hmac.compare_digest(request.headers.get(b"authorization", b""), self._key):
            raise RefusedRequest(401, "send the endpoint's key as the header `Authorization: Bearer KEY`")

    async def _invocations(self, request: HttpRequest) -> HttpResponse:
        slot = self._slot(request)
        self._check_room(slot)
        try:
            try:
                kind = request.kind()
                body = await self._body(request)
            except RefusedRequest as refused:
                log.warning("%s: %d %s", request.path, refused.status, refused.message)
                return refusal_response(refused.status, refused.message, slot=slot if refused.status != 429 else None)
            self._check_room(slot)  # again: others may have come while the body arrived
            slot.busy += 1
            try:
                return await self._predicted(request, slot, kind, body)
            finally:
                slot.busy -= 1
        finally:
            self._held -= request.held

    def _check_room(self, slot: Slot) -> None:
        if slot.busy >= self._limits.concurrency:
            raise RefusedRequest(429, f"{slot.busy} predictions are under way already; try again in a moment")

    async def _body(self, request: HttpRequest) -> bytes:
        if self._uploads >= self._limits.uploads:
            raise RefusedRequest(429, f"{self._uploads} bodies are on their way already; try again in a moment")
        self._uploads += 1
        try:
            return await request.body(self._limits.body, self._limits.read_timeout, self._hold)
        finally:
            self._uploads -= 1

    def _hold(self, size: int) -> None:
        """Count bytes that are about to be kept, unless they are too many; small bodies always have room."""
        if self._held + size > self._limits.held * self._limits.body:
            raise RefusedRequest(429, f"{self._held} bytes of other requests are kept already; try again in a moment")
        self._held += size

    async def _predicted(self, request: HttpRequest, slot: Slot, kind: str, body: bytes) -> HttpResponse:
        answer = self._at_once(slot, kind, body) or await self._ask(slot, kind, body)
        answer.log(log, request.path)
        response = invocation_response(answer, slot)
        if answer.error is not None:
            return response
        # A request that names a slot goes to that slot only.
        copy = self._slots.copies_to(slot) if SLOT_HEADER not in request.headers else None
        if copy is not None:
            self._mirror.ask(copy, kind, body, answer.body, probe=request.probe)
        if self._collector is not None and not request.probe:  # what is collected is what callers send
            version, columns = str(slot.info.get("version", "")), slot.model.columns
            about = (request.id.decode(), request.trace.decode(), kind, body, answer.body, time.time(), columns)
            self._collector.offer(CollectedRequest(slot.name, version, *about))
        return response

    def _at_once(self, slot: Slot, kind: str, body: bytes) -> InvocationAnswer | None:
        """Return the prediction of a model that needs less time than handing the request to a thread; else None."""
        size = len(body)
        if size > SMALL or slot.expected(size) > AT_ONCE or kind != "application/json" or not slot.model.quick:
            return None
        began = time.thread_time()  # of the processor: on a busy machine the clock would say that the model is slow
        predictions = predict_quickly(slot.model, body)
        slot.took(time.thread_time() - began, size)
        return None if predictions is None else InvocationAnswer(200, predictions)

    async def _ask(self, slot: Slot, kind: str, body: bytes) -> InvocationAnswer:
        # In a thread: parsing and predicting take milliseconds, and /health must answer meanwhile.
        workers = slot.workers if len(body) <= LARGE else slot.one_by_one
        work = workers.submit(_timed, slot.model, kind, body)
        try:
            async with asyncio.timeout(self._limits.timeout):
                answer, seconds = await asyncio.wrap_future(work)
                if len(body) <= SMALL and answer.error is None:
                    slot.took(seconds, len(body))
                return answer
        except TimeoutError:
            if not work.done():  # its thread cannot be stopped, and counts as busy until it ends
                slot.busy += 1
                loop = asyncio.get_running_loop()
                work.add_done_callback(lambda _: loop.call_soon_threadsafe(slot.released))
            return invocation.refused(
                RefusedRequest(504, f"the prediction took longer than {self._limits.timeout:g} s")
            )

    def _slot(self, request: HttpRequest) -> Slot:
        """Return the slot that the request names, or whose turn it is."""
        named = request.headers.get(SLOT_HEADER)
        if named is not None:
            name = named.decode("latin-1")
            slot = self._slots.ready.get(name)
            if slot is None:
                names = ", ".join(sorted(self._slots.ready)) or "none"
                raise RefusedRequest(404, f"slot {name[:100]!r} is not there; slots: {names}", code="SLOT_NOT_FOUND")
            return slot
        chosen = self._slots.choose()
        if chosen is None:
            raise RefusedRequest(503, self._no_slot())
        return chosen

    def _no_slot(self) -> str:
        """Return why no slot answers."""
        if not self._slots.ready:
            return "no model is loaded yet; ask /health again in a moment"
        return "no slot has traffic; name one with the header azureml-model-deployment, or give it traffic"

    def _main_slot(self) -> Slot:
        slot = self._slots.main()
        if slot is None:
            raise RefusedRequest(503, self._no_slot())
        return slot

    async def _health(self, _: HttpRequest) -> HttpResponse:
        self._main_slot()
        return as_json(200, {"status": "ok"})

    async def _version(self, request: HttpRequest) -> HttpResponse:
        slot = self._slot(request) if SLOT_HEADER in request.headers else self._main_slot()
        return as_json(200, {"endpoint": self._name, **slot.info})

    async def _describe_slots(self, _: HttpRequest) -> HttpResponse:
        mirror = dict([self._slots.mirror]) if self._slots.mirror else {}
        slots = {
            name: {
                "version": slot.info.get("version"),
                "traffic": self._slots.traffic.get(name, 0),
                "mirror": mirror.get(name, 0),
                "counts": slot.tally.counts().as_json(),
            }
            for name, slot in self._slots.ready.items()
        }
        return as_json(200, {"endpoint": self._name, "slots": slots})

    async def _metrics(self, _: HttpRequest) -> HttpResponse:
        gauges = {"predictions_in_flight": float(sum(slot.busy for slot in self._slots.ready.values()))}
        if self._collector is not None:
            gauges |= {"collected": self._collector.collected, "collect_dropped": self._collector.dropped}
        return HttpResponse(
            200, prometheus.metrics_page(self._name, self._slots, self._slotless, gauges), prometheus.KIND.encode()
        )

    async def _openapi(self, _: HttpRequest) -> HttpResponse:
        return as_json(200, self._document())

    async def _docs(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse(200, openapi.openapi_page(self._document()).encode(), b"text/html; charset=utf-8")

    def _document(self) -> dict[str, Any]:
        slot = self._slots.main()
        number = str(slot.info.get("version", "")) if slot else ""
        return openapi.openapi_document(self._name, number, slot.model if slot else None, keyed=self._key is not None)
