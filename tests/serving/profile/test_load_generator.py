"""The client of a profile against a real server that answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from notebooks_lib.serving.profile.load_generator import MAX_FAILURES, LoadConfig, LoadGenerator, percentile


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1  # type: ignore[attr-defined]
        status, pause = self.server.told(self.server.asked)  # type: ignore[attr-defined]
        time.sleep(pause)
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    asked = 0

    def told(self, number: int) -> tuple[int, float]:
        return 200, 0.0

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def drive(server: Server, **more: Any) -> dict[str, Any]:
    config = LoadConfig(server.server_port, "{}", concurrency=1, warm_up=0.0, seconds=0.3, patience=5.0)
    return LoadGenerator(LoadConfig.from_json(replace(config, **more).to_json())).run()


def test_a_closed_loop_asks_again_once_it_is_answered(server: Server) -> None:
    server.told = lambda number: (200, 0.02)  # type: ignore[method-assign]
    one, three = drive(server), drive(server, concurrency=3)
    assert one["errors"] == three["errors"] == {}
    assert 0.02 <= one["p50"] <= one["p95"] <= one["p99"]
    assert 2 <= one["requests"] <= 16
    assert one["rate"] == pytest.approx(one["requests"] / 0.3, abs=4)
    assert three["rate"] > one["rate"]


def test_the_warm_up_is_not_counted(server: Server) -> None:
    server.told = lambda number: (200, 0.2) if number == 1 else (200, 0.0)  # type: ignore[method-assign]
    assert drive(server, warm_up=0.1)["p99"] < 0.2


def test_a_large_body_goes_through_whole(server: Server) -> None:
    found = drive(server, body="x" * 3_000_000)
    assert found["requests"] > 0
    assert found["errors"] == {}


def test_other_answers_and_broken_connections_are_counted_apart(server: Server) -> None:
    server.told = lambda number: ((200, 503, 0)[number % 3], 0.001)  # type: ignore[method-assign]
    found = drive(server)
    assert set(found["errors"]) == {"503", "ConnectionResetError"}
    assert found["requests"] > 0


def test_a_server_that_is_gone_ends_the_measurement(server: Server) -> None:
    server.server_close()
    found = drive(server, seconds=60)
    assert sum(found["errors"].values()) == MAX_FAILURES
    assert (found["requests"], found["p95"], found["rate"]) == (0, None, 0.0)


def test_an_answer_that_does_not_come_is_an_error(server: Server) -> None:
    server.told = lambda number: (200, 3.0)  # type: ignore[method-assign]
    assert drive(server, patience=0.1)["errors"] == {"no answer": 1}


def test_a_request_that_outlasts_the_measurement_has_a_rate(server: Server) -> None:
    server.told = lambda number: (200, 0.5)  # type: ignore[method-assign]
    found = drive(server)
    assert found["requests"] == 1
    assert 0.5 < found["rate"] <= 2


def test_arrivals_do_not_wait_for_answers(server: Server) -> None:
    """A stall that a closed loop meets once is met by all that fall due meanwhile: no coordinated omission."""
    server.told = lambda number: (200, 0.25) if number == 3 else (200, 0.001)  # type: ignore[method-assign]
    closed = drive(server, seconds=0.5)
    server.asked = 0
    due = drive(server, seconds=0.5, arrivals=100.0)
    assert due["requests"] == 50
    assert closed["p50"] < 0.05 < 0.1 < due["p95"]


def test_arrivals_on_several_connections_stay_at_their_rate(server: Server) -> None:
    found = drive(server, seconds=0.5, warm_up=0.1, arrivals=80.0, concurrency=10)
    assert (found["requests"], found["errors"]) == (40, {})
    assert drive(server, arrivals=0.5)["requests"] == 1


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 4), (0.25, 1), (0.26, 2)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value
    assert percentile([], share) is None
