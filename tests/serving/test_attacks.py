"""Malicious requests within the limits: each is answered or cut off soon, and /health answers all the while."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from notebooks_lib.errors import InputError
from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving import asgi_requests, body_complexity, connection_limits
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import Settings
from tests.serving.conftest import DETAIL

HEALTHY = 0.5
"""Seconds in which /health answers, whatever is sent, on a machine that has a processor for it."""


def healthy() -> float:
    """The same on a machine that has as much else to do as this one just now."""
    return HEALTHY * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Target:
    """One server, and a way to send it bytes."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.process = psutil.Process(pid)

    def connect(self, timeout: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def send(self, data: bytes, timeout: float = 20) -> bytes:
        """What the server says to these bytes until it is done with them; empty when it only cuts off."""
        with self.connect(timeout) as client:
            try:
                client.sendall(data)
            except OSError:
                pass  # cut off while sending
            said = b""
            try:
                while part := client.recv(65536):
                    said += part
            except ConnectionError:
                pass
            return said

    def health(self) -> float:
        """Seconds until /health answered. Raises when it does not."""
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
        finally:
            connection.close()
        return time.perf_counter() - began


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, light: dict[str, Path]) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("attacked")
    here = Settings(root=root)
    status = LocalEndpoint(here, "sample").deploy(
        "blue", ServedVersion.in_folder(light["double"], version="1", detail=DETAIL), traffic=True
    )
    assert status.pid is not None
    target = Target(status.port, status.pid)
    target.health()
    yield target
    LocalEndpoint(here, "sample").stop()


def post(body: bytes, kind: str = "application/json", *more: str, chunked: bool = False) -> bytes:
    lines = ["POST /invocations HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", "Connection: close", *more]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(*more: str, path: str = "/version") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *more, "", ""]).encode()


def split(names: bytes, rows: bytes) -> bytes:
    return b'{"dataframe_split": {"columns": [' + names + b'], "data": [' + rows + b"]}}"


def wide(text: str) -> bytes:
    """Two bytes a character, which Python's JSON finds out by itself."""
    return text.encode("utf-16-le")


def many(part: bytes, times: int) -> bytes:
    return b",".join([part] * times)


MANY = 12_000
LISTS = 5_000_000

# name -> (what is sent, the statuses that may come; 0: cut off)
ATTACKS: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "csv, one name 15,000 times": (lambda: post(many(b"x", 15_000) + b"\n" + many(b"1", 15_000), "text/csv"), {400}),
    "csv, one name twice": (lambda: post(b"x,x\n1,2", "text/csv"), {400}),
    "csv, a million lines of one column": (lambda: post(b"x\n" + b"1\n" * 1_200_000, "text/csv"), {400}),
    "csv, a header without end": (lambda: post(b"x" * 1_000_000, "text/csv"), {400}),
    "csv, an open quotation mark": (lambda: post(b'"' + b"x," * 500_000, "text/csv"), {400}),
    "csv, carriage returns": (lambda: post(b"x\r" + b"1\r" * 1_200_000, "text/csv"), {400}),
    "csv, quotation marks": (lambda: post(b'"x"\n' + b'"",' * 1_000_000, "text/csv"), {400}),
    "csv, zero bytes": (lambda: post(b"\0" * 1_000_000, "text/csv"), {400}),
    "a column twice among many": (
        lambda: post(
            split(b",".join(b'"c%d"' % n for n in range(MANY)) + b',"c5"', many(b"1", MANY).join([b"[", b"]"]))
        ),
        {400},
    ),
    "many unknown columns": (
        lambda: post(split(b",".join(b'"c%d"' % n for n in range(MANY)), many(b"1", MANY).join([b"[", b"]"]))),
        {400},
    ),
    "numbers of 4,000 digits": (lambda: post(split(b'"x"', many(b"[" + b"9" * 4000 + b"]", 3000))), {400}),
    "one number of a million digits": (lambda: post(split(b'"x"', b"[" + b"9" * 1_000_000 + b"]")), {400}),
    "a fraction of a million digits": (lambda: post(split(b'"x"', b"[0." + b"1" * 1_000_000 + b"]")), {400}),
    "an exponent of a million digits": (lambda: post(split(b'"x"', b"[1e" + b"1" * 1_000_000 + b"]")), {400}),
    "numbers of 399 digits": (lambda: post(split(b'"x"', many(b"[" + b"9" * 399 + b"]", 20_000))), {200, 400, 500}),
    "millions of empty lists": (lambda: post(b'{"inputs": [' + many(b"[]", LISTS) + b"]}"), {400}),
    "millions of empty objects": (lambda: post(b'{"dataframe_records": [' + many(b"{}", LISTS) + b"]}"), {400}),
    "one full and many empty records": (
        lambda: post(
            b'{"dataframe_records": [{'
            + b",".join(b'"c%d":1' % n for n in range(5000))
            + b"},"
            + many(b"{}", 300_000)
            + b"]}"
        ),
        {400},
    ),
    "nested lists": (lambda: post(b'{"inputs": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"), {400}),
    "nested objects": (lambda: post(b'{"a":' * 500_000 + b"1" + b"}" * 500_000), {400}),
    "nested a little": (lambda: post(b'{"inputs": ' + many(b"[" * 60 + b"]" * 60, 8000).join([b"[", b"]}"])), {400}),
    "escapes without end": (lambda: post(b'{"inputs": "' + b'\\"' * 4_000_000), {400}),
    "half surrogates": (lambda: post(b'{"inputs": ["' + b"\\ud800" * 1_000_000 + b'"]}'), {400, 500}),
    "one key many times": (lambda: post(b"{" + many(b'"inputs": 1', 400_000) + b"}"), {400}),
    "unknown keys": (lambda: post(b"{" + b",".join(b'"k%d": 1' % n for n in range(200_000)) + b"}"), {400}),
    "a key without end": (lambda: post(b'{"' + b"a" * 15_000_000 + b'": 1}'), {400}),
    "a column's name without end": (lambda: post(split(b'"' + b"a" * 15_000_000 + b'"', b"[1]")), {400}),
    "UTF-16, numbers of 4,000 digits": (
        lambda: post(wide('{"inputs": [' + ",".join(["9" * 4000] * 1500) + "]}")),
        {400},
    ),
    "UTF-16, millions of empty lists": (lambda: post(wide('{"inputs": ["\u2200"' + ",[]" * 2_500_000 + "]}")), {400}),
    "UTF-32": (lambda: post('{"inputs": [1]}'.encode("utf-32")), {400}),
    "csv, a quotation mark within a name": (lambda: post(b'a"b\nc,1\n2', "text/csv"), {400}),
    "blanks": (lambda: post(b" " * 16_000_000), {400}),
    "as many values as may come": (lambda: post(split(b'"x"', many(b"[0.1234567]", 140_000))), {200}),
    "more than the limit": (lambda: post(b" " * 17_000_000), {413}),
    "a length that is no number": (
        lambda: b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9x\r\n\r\n",
        {400},
    ),
    "two lengths": (lambda: post(b"{}", "application/json", "Content-Length: 5"), {400}),
    "length and chunks": (lambda: post(b"0\r\n\r\n", "application/json", "Content-Length: 5", chunked=True), {400}),
    "a megabyte of headers": (lambda: get(*[f"X-{n}: {'a' * 1000}" for n in range(1000)]), {431}),
    "thousands of short headers": (lambda: get(*["a:"] * 10_000), {431}),
    "one endless header": (lambda: get("X: " + "a" * 2_000_000), {431, 0}),
    "an endless path": (lambda: get(path="/" + "a" * 2_000_000), {431, 0}),
    "trailers": (lambda: post(b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 100_000, chunked=True), {400, 0}),
    "one endless trailer": (lambda: post(b"2\r\n{}\r\n0\r\na: " + b"b" * 2_000_000, chunked=True), {400, 0}),
    "an endless extension of a chunk": (lambda: post(b"2;" + b"b" * 2_000_000, chunked=True), {431, 400, 0}),
    "pipelined requests": (lambda: get(path="/version").replace(b"Connection: close\r\n", b"") * 20_000, {200, 0}),
    "no HTTP": (lambda: os.urandom(1_000_000), {400, 0}),
    "an upgrade": (lambda: get("Upgrade: websocket", "Sec-WebSocket-Key: x"), {200, 400, 426}),
    "another host": (lambda: get().replace(b"localhost", b"evil.example"), {403}),
    "another origin": (lambda: post(b"{}", "application/json", "Origin: http://evil.example"), {403}),
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_a_malicious_request_ends_soon_and_keeps_nobody_waiting(attack: str, target: Target) -> None:
    make, allowed = ATTACKS[attack]
    data = make()
    slowest, done = [0.0], threading.Event()

    def ask() -> None:
        while not done.is_set():
            slowest.append(target.health())
            done.wait(0.05)

    for _ in range(2):  # another process may have had the processors: a fault shows twice
        slowest, done = [0.0], threading.Event()
        asking = threading.Thread(target=ask)
        asking.start()
        began, cpu = time.perf_counter(), sum(target.process.cpu_times()[:2])
        said = target.send(data)
        took, used = time.perf_counter() - began, sum(target.process.cpu_times()[:2]) - cpu
        done.set()
        asking.join()
        if max(slowest) < healthy() and used < 3:
            break
    status = int(said.split(b" ", 2)[1]) if said else 0
    assert status in allowed, said[:300]
    assert max(slowest) < healthy(), f"/health took {max(slowest):.2f} s"
    assert used < 3, f"{used:.1f} s of a processor"
    assert took < 15, f"{took:.1f} s"


COLUMNS = (Column("x", "double"), Column("when", "datetime", required=False))
TENSOR = (Column(None, "float64", shape=(-1, 3)),)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 7, "nested too deeply"),
        (b"[" + b"9" * 401 + b"]", "more than 400 digits"),
        (b"[" + b"1," * body_complexity.VALUES + b"1]", "values"),
        (b'["\\\\", ' + b"[" * 7, "nested too deeply"),
    ],
)
def test_a_body_is_refused_before_it_is_parsed(body: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        body_complexity.check_body("application/json", body, COLUMNS)


@pytest.mark.parametrize("size", [1, 7, 100, body_complexity.BLOCK])
def test_what_stands_in_a_text_counts_for_nothing(size: int) -> None:
    text = r"\"[[[[[[[[[,,,," + "9" * 500 + "\\\\" * 3
    begin = b'{"a": "' + text.encode() + b'", "b": ['
    body_complexity.check_body("application/json", begin + b"[1, 2]]}", COLUMNS, block=size)
    with pytest.raises(InputError, match="digits"):
        body_complexity.check_body("application/json", begin + b"9" * 401 + b"]}", COLUMNS, block=size)


def test_a_tensor_may_be_as_deep_as_its_signature_says() -> None:
    body_complexity.check_body("application/json", b'{"inputs": ' + b"[" * 4 + b"]" * 4 + b"}", TENSOR)
    with pytest.raises(InputError):
        body_complexity.check_body("application/json", b"[" * 9, TENSOR)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{f"c{n}": 1 for n in range(1000)}, *[{}] * 1000], "cells"),
        ({"a": [1] * 200_000, "b": 1}, "cells"),
        ([{}], None),
    ],
)
def test_a_small_request_makes_no_large_table(value: object, words: str | None) -> None:
    if words is None:
        body_complexity.check_cells("inputs", value, COLUMNS)
        return
    with pytest.raises(InputError, match=words):
        body_complexity.check_cells("inputs", value, COLUMNS)


OURS = ["localhost", "localhost:8080", "127.0.0.1:5", "127.1.2.3", "[::1]:80", "LOCALHOST", "localhost."]
FOREIGN = [
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost@evil.example", "10.0.0.1", "0.0.0.0",
    "", "[::1", "evil.example:80/localhost", "localhost:80:80", "xn--lcalhost-9xa",
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert not asgi_requests.foreign_origin([(b"host", host.encode()), (b"origin", b"http://" + host.encode())])


@pytest.mark.parametrize("host", FOREIGN)
def test_names_of_others_are_not(host: str) -> None:
    assert asgi_requests.foreign_origin([(b"host", host.encode())])
    assert asgi_requests.foreign_origin([(b"host", b"localhost"), (b"origin", b"https://" + host.encode())])
    assert asgi_requests.foreign_origin([(b"host", b"localhost"), (b"host", host.encode())])
    assert not host or not asgi_requests.foreign_origin([(b"host", b"evil.example")], ["evil.example"])


@pytest.mark.parametrize("origin", [b"null", b"file://", b"chrome-extension://x", b"http://[", b"\xff"])
def test_what_is_no_origin_of_a_page_is_foreign(origin: bytes) -> None:
    assert asgi_requests.foreign_origin([(b"host", b"localhost"), (b"origin", origin)])


def test_many_idle_connections_make_room_for_whoever_asks(target: Target) -> None:
    limit = connection_limits.ConnectionLimits.connections
    idle = []
    try:
        for _ in range(limit + 50):
            idle.append(target.connect(5))
        assert target.health() < healthy()
        assert len(target.process.net_connections("tcp")) < limit + 100
    finally:
        for each in idle:
            each.close()


def test_answers_that_nobody_reads_are_not_kept(target: Target) -> None:
    before = target.process.memory_info().rss
    asking = get(path="/openapi.json").replace(b"Connection: close\r\n", b"")
    with target.connect(5) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises((TimeoutError, ConnectionError)):
            for _ in range(100_000):
                client.sendall(asking * 10)
        assert target.process.memory_info().rss - before < 20e6
    assert target.health() < healthy()


def test_a_connection_that_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(connection_limits.BoundedConnection):
        def __init__(self) -> None:
            self.head_due_since, self._unread_since = 100.0, None

    connection = Silent()
    assert not connection.overdue(105.0)
    assert connection.overdue(111.0)
    connection.head_due_since, connection._unread_since = None, 100.0
    assert not connection.overdue(111.0)
    assert connection.overdue(131.0)


@pytest.mark.proof
def test_all_attacks_at_once_for_a_minute_stop_nothing(target: Target) -> None:
    until, slowest = time.monotonic() + 60, [0.0]
    bodies = [make() for make, _ in ATTACKS.values()]

    def attack(first: int) -> None:
        number = first
        while time.monotonic() < until:
            try:
                target.send(bodies[number % len(bodies)], timeout=60)
            except TimeoutError:
                pass
            number += 1

    attackers = [threading.Thread(target=attack, args=(11 * number,)) for number in range(4)]
    for each in attackers:
        each.start()
    while time.monotonic() < until:
        slowest.append(target.health())
        time.sleep(0.1)
    for each in attackers:
        each.join()
    assert sorted(slowest)[int(0.99 * len(slowest))] < healthy() * 2, "four attackers and a caller on two cores"
    assert target.process.memory_info().rss < 1.5e9
    assert target.health() < healthy()
