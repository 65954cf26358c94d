"""Every request has limits, and is sent again when that may help: within the limits, and as Azure asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.rest import HttpRequest

from notebooks_lib.azure.client import http_pipeline
from notebooks_lib.azure.client.http_pipeline import HttpLimits
from tests.azure.emulator import plain_server
from tests.azure.emulator.plain_server import CUT, SILENT, PlainServer

NOW = {"Retry-After-Ms": "1"}


@pytest.fixture
def server() -> Iterator[PlainServer]:
    with plain_server.running() as running:
        yield running


def status(server: PlainServer, method: str = "GET", **limits: float) -> int:
    request = HttpRequest(method, f"{server.address}/thing", json=None if method == "GET" else {})
    return http_pipeline.send(request, HttpLimits(**limits)).status_code


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("bad", [(408,), (429, b"", NOW), (500,), (502,), (503, b"", NOW), (504,), (CUT,)])
def test_what_may_help_is_sent_again(method: str, bad: tuple[object, ...], server: PlainServer) -> None:
    server.answers = [bad, (200,)]

    assert status(server, method) == 200
    assert server.seen == [f"{method} /thing"] * 2


@pytest.mark.parametrize("refusal", [400, 401, 403, 404, 409])
def test_a_refusal_is_not_sent_again(refusal: int, server: PlainServer) -> None:
    server.answers = [(refusal,)]

    assert status(server) == refusal
    assert len(server.seen) == 1


def test_a_post_whose_connection_was_lost_is_not_sent_again(server: PlainServer) -> None:
    server.answers = [(CUT,)]

    with pytest.raises(ServiceResponseError):
        status(server, "POST")
    assert len(server.seen) == 1


def test_it_gives_up_after_some_retries(server: PlainServer) -> None:
    server.answers = [(503, b"", NOW)]

    assert status(server, retries=2) == 503
    assert len(server.seen) == 3


def test_it_does_not_wait_beyond_its_limit(server: PlainServer) -> None:
    server.answers = [(429, b"", {"Retry-After": "3600"})]
    began = time.monotonic()

    assert status(server, total=60) == 429
    assert time.monotonic() - began < 5


def test_a_silent_server_is_left(server: PlainServer) -> None:
    server.answers = [(SILENT,)]

    with pytest.raises(ServiceResponseError):
        status(server, read=0.1, retries=0)


def test_a_port_where_nobody_listens_is_left_at_once() -> None:
    began = time.monotonic()

    with pytest.raises(ServiceRequestError):
        status(PlainServer("http://127.0.0.1:9"))
    assert time.monotonic() - began < 5
