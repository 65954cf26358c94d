"""An endpoint's key, its files in another shape, hosts that are none, and starters that are killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from notebooks_lib import atomic_private_files
from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import http_client, local_endpoint_folder, server, uvicorn_setup, wait_for_reload
from notebooks_lib.serving.endpoint_state import FollowReport, SlotReport
from notebooks_lib.settings import Settings

KEY = "k" * 32


@pytest.fixture
def folder(empty_project: Settings) -> Iterator[local_endpoint_folder.EndpointFolder]:
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    with folder.locked():
        yield folder


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        b"short",
        b"k" * 15,
        b"two words " * 4,
        "ü".encode() * 20,
        b"\xff" * 32,
        b"k" * 600,
        b"a\nb" * 9,
        b"\0" * 32,
    ],
)
def test_a_key_that_protects_nothing_is_refused(content: bytes, folder: local_endpoint_folder.EndpointFolder) -> None:
    folder.key.touch(atomic_private_files.FILE)
    folder.key.write_bytes(content)
    with pytest.raises(EndpointError, match="remove it") as caught:
        folder.secret()
    assert "\n" not in str(caught.value)
    assert folder.key.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o777, 0o622])
def test_a_key_that_others_can_reach_is_refused(mode: int, folder: local_endpoint_folder.EndpointFolder) -> None:
    folder.key.write_text(KEY)
    folder.key.chmod(mode)
    with pytest.raises(EndpointError, match="other users"):
        folder.secret()
    folder.key.chmod(atomic_private_files.FILE)
    assert folder.secret() == KEY


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_an_endpoints_folder_is_for_its_owner(
    folder: local_endpoint_folder.EndpointFolder, empty_project: Settings
) -> None:
    for path in (empty_project.layout.state, empty_project.layout.endpoints, folder.path):
        assert not atomic_private_files.readable_by_others(path)


def test_the_curl_shows_no_key_to_ps(tmp_path: Path) -> None:
    file = tmp_path / "my key"
    file.write_text(KEY)
    command = http_client.curl_command(
        http_client.Address("192.0.2.1", 5), {"inputs": [1]}, example_file=file, key_file=file
    )
    before, _, after = command.partition("|")
    assert after.split()[0] == "curl"
    assert "@-" in after.split()
    assert "$(cat" not in after
    said = subprocess.run(["sh", "-c", before], capture_output=True, text=True, check=True).stdout
    assert said == f"Authorization: Bearer {KEY}"


SLOT = {"model": "1", "version": "1", "since": "2026-01-01", "detail": {}}
STATE: dict[str, Any] = {
    "format": 2, "generation": 1, "wanted": "stopped", "host": "127.0.0.1", "port": 4001, "slots": {"blue": SLOT}, "traffic": {"blue": 100},
}  # fmt: skip
SHAPES: list[Any] = [
    [], 5, None, "text", {}, {"format": 2},
    *({key: value for key, value in STATE.items() if key != left} for left in ("host", "port", "wanted", "slots", "format")),
    STATE | {"host": 5}, STATE | {"port": "4001"}, STATE | {"port": 99999}, STATE | {"port": True}, STATE | {"slots": []},
    STATE | {"slots": {"blue": None}}, STATE | {"slots": {"blue": {}}}, STATE | {"slots": {"../x": SLOT}},
    STATE | {"slots": {"blue": SLOT | {"model": "../../etc"}}}, STATE | {"slots": {"blue": SLOT | {"version": 1}}},
    STATE | {"slots": {"blue": SLOT | {"detail": "x"}}}, STATE | {"slots": {"blue": SLOT | {"detail": {"model": 5}}}},
    STATE | {"traffic": {"blue": "all"}}, STATE | {"traffic": 5},
    STATE | {"slots": {"blue": SLOT | {"example": [1]}}}, STATE | {"slots": {"blue": SLOT | {"sha256": 5}}},
    STATE | {"mirror": [1]}, STATE | {"generation": "1"}, STATE | {"format": 99},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_state_of_another_shape_is_one_line_for_each_command(
    number: int, empty_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = empty_project.layout.endpoints / "sample" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SHAPES[number]))
    for words in (["status", "sample"], ["list"], ["stop", "sample"], ["start", "sample"], ["invoke", "sample"]):
        assert nbops(["endpoint", *words]) in (0, 1)
        said = capsys.readouterr()
        assert "deploy again" in said.out + said.err or words == ["list"], words
        assert "Traceback" not in said.err
    assert json.loads(path.read_text()) == SHAPES[number]


SAID = {"pid": 5, "generation": 1, "slots": {"blue": {"state": "ready", "error": "", "of": []}}}


@pytest.mark.parametrize(
    "said",
    [
        [], 5, None, {}, {"pid": 5}, SAID | {"generation": "1"}, SAID | {"slots": []}, SAID | {"slots": {"blue": 5}},
        SAID | {"slots": {"blue": {}}}, SAID | {"slots": {"blue": {"state": 1, "error": "", "of": []}}},
        SAID | {"slots": {"blue": {"state": "ready", "error": "", "of": 5}}},
    ],
)  # fmt: skip
def test_what_a_server_said_in_another_shape_is_as_if_it_had_said_nothing(
    said: Any, folder: local_endpoint_folder.EndpointFolder
) -> None:
    running = type("Server", (), {"process": type("P", (), {"pid": 5})})()
    folder.serving.write_text(json.dumps(said))
    assert wait_for_reload.server_report(folder, running).generation == -1
    folder.serving.write_text(json.dumps(SAID))
    assert wait_for_reload.server_report(folder, running) == FollowReport(5, 1, {"blue": SlotReport("ready", "", ())})


@pytest.mark.parametrize(
    ("host", "number", "kind"),
    [
        ("x" * 300, 0, "host"),
        ("a..b", 0, "host"),
        ("a b", 0, "host"),
        ("203.0.113.7", errno.EADDRNOTAVAIL, "host"),
        ("2001:db8::7", errno.EADDRNOTAVAIL, "host"),
        ("::1::", 0, "host"),
        ("127.0.0.1", errno.EADDRINUSE, "port"),
        ("127.0.0.1", errno.EACCES, "rights"),
    ],
)
def test_why_a_server_cannot_listen_is_told_apart(
    host: str, number: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number:

        class Failing:
            def setsockopt(self, *_: object) -> None: ...
            def close(self) -> None: ...
            def bind(self, _: object) -> None:
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(uvicorn_setup, "listening_socket", lambda _: Failing())
    with pytest.raises(OSError) as caught:
        server._bind(host, 4001)
    assert server._error_kind(caught.value) == kind
    assert "taken" not in str(caught.value)


def test_a_server_may_start_at_its_port_again_although_it_closed_connections_there() -> None:
    """A free port was found once, without the option that lets a connection that is over not keep it for a minute."""
    first = server._bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        first.accept()[0].close()
        assert client.recv(1) == b""
    first.close()
    server._bind("127.0.0.1", port).close()


def test_a_name_that_does_not_resolve_is_no_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nameless:
        def setsockopt(self, *_: object) -> None: ...
        def close(self) -> None: ...
        def bind(self, _: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(uvicorn_setup, "listening_socket", lambda _: Nameless())
    with pytest.raises(OSError) as caught:
        server._bind("no.such.host.invalid", 4001)
    assert server._error_kind(caught.value) == "host"


LOADING = """
import sys
from pathlib import Path
from notebooks_lib.serving import load_check, server_launch
print("begun", flush=True)
load_check.check_load(Path(sys.argv[1]), Path(sys.argv[2]), 100, server_launch.server_environment())
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL elsewhere")
def test_a_load_check_ends_with_a_deployment_that_was_killed(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "hangs.py").write_text("import time\ntime.sleep(3600)\n")
    (model / "MLmodel").write_text("flavors: {python_function: {loader_module: hangs, code: code}}\n")
    starter = subprocess.Popen([sys.executable, "-c", LOADING, model, tmp_path / "log"], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"begun\n"
    deadline = time.monotonic() + 30
    while not (children := psutil.Process(starter.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.02)
    (child,) = children
    while str(model) not in child.cmdline() and time.monotonic() < deadline:
        time.sleep(0.02)
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    _, alive = psutil.wait_procs([child], timeout=20)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_no_line_of_the_log_is_made_by_a_request() -> None:
    import logging

    formatter = uvicorn_setup.LogFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord("x", logging.WARNING, "", 1, "%s", ("/x\nFORGED\x1b[31m\u2028y",), None)
    assert len(formatter.format(record).splitlines()) == 1
    assert "\x1b" not in formatter.format(record)
    try:
        raise ValueError("a\nFORGED 500 in the model\x1b[2J")
    except ValueError:
        record.exc_info = sys.exc_info()
    lines = formatter.format(record).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
    assert not any("\x1b" in line for line in lines)
