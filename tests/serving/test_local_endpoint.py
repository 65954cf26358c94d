"""Real server processes: they outlive their starter, come back after a kill, and give way only to what works."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from notebooks_lib import __main__ as entry
from notebooks_lib.errors import EndpointError, InputError, UnknownNameError, UsageError
from notebooks_lib.serving import (
    endpoint_state,
    http_client,
    local_endpoint_folder,
    server_launch,
    server_process,
    wait_for_reload,
)
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.local_status import LocalStatus
from notebooks_lib.settings import Settings, load
from tests.serving.conftest import DETAIL

STARTER = """
import json, sys
from pathlib import Path
from notebooks_lib.serving.endpoint import DeploymentDetail, ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import load
root, model, detail = Path(sys.argv[1]), Path(sys.argv[2]), DeploymentDetail.from_json(json.loads(sys.argv[3]))
status = LocalEndpoint(load(root, {}), "sample").deploy("blue", ServedVersion.in_folder(model, version="1", detail=detail), traffic=True)
print(status.pid)
"""

DYING = """
import os, sys
from pathlib import Path
from notebooks_lib.serving import local_endpoint_changes, local_endpoint_folder
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.settings import load
def die(*_, **__): os.kill(os.getpid(), 9)
if sys.argv[3] == "before the write":
    local_endpoint_folder.EndpointFolder.write = die
else:
    local_endpoint_changes.wait_for_reload.wait_until_followed = die
LocalEndpoint(load(Path(sys.argv[1]), {}), "sample").deploy("green", ServedVersion.in_folder(Path(sys.argv[2]), version="2"))
"""


def starter(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)


def served(settings: Settings) -> str:
    """The version that answers over HTTP now."""
    _, told = http_client.send_request(
        http_client.Address("127.0.0.1", LocalEndpoint(settings, "sample").status().port), "GET", "/version"
    )
    return str(told["version"])


def wait_for_the_end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        assert server_process.wait_for_end(psutil.Process(pid), 10)


def run_curl(command: str) -> Any:
    if shutil.which("curl"):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
        return json.loads(done.stdout)
    words = shlex.split(command)  # a machine without curl: at least its parts are right
    address = words[2].removeprefix("http://").removesuffix("/invocations")
    host, port = address.split(":")
    return http_client.send_request(http_client.Address(host, int(port)), "POST", "/invocations", words[-1].encode())[1]


def test_an_endpoint_lives_its_life(
    endpoints: Settings, light: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Proxies are for the world outside; the marks of a run and its kernel would tie the server to them.
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NBOPS_KERNEL", "k1")
    done = starter(STARTER, endpoints.root, light["double"], json.dumps(DETAIL.as_json()))
    assert done.returncode == 0, done.stderr

    # It runs although its starter has ended, in a session of its own, with nobody's marks.
    status = LocalEndpoint(endpoints, "sample").status()
    assert (status.state, status.version, status.detail) == ("running", "1", DETAIL)
    assert status.pid == int(done.stdout)
    assert "NBOPS_KERNEL" not in psutil.Process(status.pid).environ()
    assert os.getsid(status.pid) != os.getsid(0)
    assert (status.memory_mb or 0) > 10
    predictions = LocalEndpoint(endpoints, "sample").invoke(LocalEndpoint(endpoints, "sample").example())
    assert run_curl(status.curl) == predictions
    assert predictions == {"predictions": [2.0]}
    with pytest.raises(InputError, match="missing column 'x'"):
        LocalEndpoint(endpoints, "sample").invoke({"dataframe_records": [{"y": 1}]})

    # The command says the same.
    monkeypatch.delenv("NBOPS_KERNEL")
    assert entry.run(["endpoint", "status"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("running", status.address, status.curl, "nbops endpoint stop sample"))
    assert entry.run(["endpoint", "invoke", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == predictions
    assert entry.run(["endpoint", "invoke", "sample", "--data", "{}"]) == 2
    assert "dataframe_split" in capsys.readouterr().err

    # Started again, nothing happens.
    assert entry.run(["endpoint", "start", "sample"]) == 0
    assert "was running already" in capsys.readouterr().out
    assert LocalEndpoint(endpoints, "sample").status().pid == status.pid

    # Killed, it is broken; started, it is what it was.
    os.kill(status.pid, signal.SIGKILL)
    wait_for_the_end(status.pid)
    broken = LocalEndpoint(endpoints, "sample").status()
    assert (broken.state, broken.pid) == ("broken", None)
    assert "killed" in broken.last_error
    assert entry.run(["endpoint", "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "broken"
    with pytest.raises(EndpointError, match="nbops endpoint start sample"):
        LocalEndpoint(endpoints, "sample").invoke({})
    again = LocalEndpoint(endpoints, "sample").start()
    assert (again.state, again.port, again.version, again.since) == ("running", status.port, "1", status.since)
    assert again.pid != status.pid
    assert LocalEndpoint(endpoints, "sample").invoke(LocalEndpoint(endpoints, "sample").example()) == predictions

    # A model that cannot be loaded does not replace it.
    with pytest.raises(EndpointError) as caught:
        LocalEndpoint(endpoints, "sample").deploy("green", ServedVersion.in_folder(light["damaged"], version="2"))
    assert "cannot serve version 2" in str(caught.value)
    assert "the weights are damaged" in str(caught.value)
    assert "Version 1 serves as before" in str(caught.value)
    kept = LocalEndpoint(endpoints, "sample").status()
    assert (kept.state, kept.pid, kept.version, list(kept.slots)) == ("running", again.pid, "1", ["blue"])
    assert "cannot serve version 2" in kept.last_error
    assert served(endpoints) == "1"

    # One that works is loaded beside it, by the same server, and has no traffic.
    new = LocalEndpoint(endpoints, "sample").deploy(
        "green", ServedVersion.in_folder(light["triple"], version="3", detail=DETAIL)
    )
    assert (new.state, new.pid, new.version, new.last_error) == ("running", again.pid, "1", "")
    assert (new.slots["green"].version, new.slots["green"].traffic, new.slots["green"].state) == ("3", 0, "ready")
    assert served(endpoints) == "1"
    example = LocalEndpoint(endpoints, "sample").example()
    assert LocalEndpoint(endpoints, "sample").invoke(example) == {"predictions": [2.0]}
    assert LocalEndpoint(endpoints, "sample").invoke(example, slot="green") == {"predictions": [3.0]}
    with pytest.raises(UnknownNameError, match="unknown slot 'gren', did you mean 'green'"):
        LocalEndpoint(endpoints, "sample").invoke(example, slot="gren")
    assert LocalEndpoint(endpoints, "sample").set_traffic({"green": 100}).version == "3"
    assert LocalEndpoint(endpoints, "sample").invoke(example) == {"predictions": [3.0]}
    with pytest.raises(UsageError, match="has 100 % of the traffic"):
        LocalEndpoint(endpoints, "sample").delete_slot("green")
    folder = local_endpoint_folder.EndpointFolder(endpoints, "sample")
    assert sorted(path.name for path in folder.models.iterdir()) == ["1", "3"]
    assert list(LocalEndpoint(endpoints, "sample").delete_slot("blue").slots) == ["green"]
    assert [path.name for path in folder.models.iterdir()] == ["3"]
    assert LocalEndpoint(endpoints, "sample").status().pid == again.pid
    assert any("missing column" in line for line in LocalEndpoint(endpoints, "sample").logs(100))
    assert len(LocalEndpoint(endpoints, "sample").logs(2)) == 2

    # Stopped, it keeps its port for the next start; somebody else on that port is named.
    assert entry.run(["endpoint", "stop"]) == 0
    assert LocalEndpoint(endpoints, "sample").status().state == "stopped"
    assert LocalEndpoint(endpoints, "sample").stop().changed is False
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", status.port))
        other.listen()
        with pytest.raises(EndpointError) as taken:
            LocalEndpoint(endpoints, "sample").start()
    assert f"port {status.port} is taken by process {os.getpid()}" in str(taken.value)
    assert "NBOPS_ENDPOINT_PORT=" in str(taken.value)

    # Two starts at once make one server.
    found: list[LocalStatus] = []
    threads = [
        threading.Thread(target=lambda: found.append(LocalEndpoint(endpoints, "sample").start())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.changed for each in found) == [False, True]
    assert found[0].pid == found[1].pid
    assert found[0].port == status.port


@pytest.mark.proof
def test_what_fails_on_the_way_leaves_the_old_version_serving(
    deployed: Settings, light: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = LocalEndpoint(deployed, "sample").status()

    # The disk is full when the model is copied, and when the state is written.
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, name in ((shutil, "copytree"), (endpoint_state, "write_draft")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(EndpointError, match="No space left"):
                LocalEndpoint(deployed, "sample").deploy("green", ServedVersion.in_folder(light["triple"], version="2"))
        kept = LocalEndpoint(deployed, "sample").status()
        assert (kept.state, kept.pid, kept.version, list(kept.slots)) == ("running", before.pid, "1", ["blue"])

    # The starter is killed before the state is written: nothing has changed.
    done = starter(DYING, deployed.root, light["triple"], "before the write")
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = LocalEndpoint(deployed, "sample").status()
    assert (kept.state, kept.pid, list(kept.slots)) == ("running", before.pid, ["blue"])

    # It is killed afterwards: the server loads the new model all the same, beside the old one.
    done = starter(DYING, deployed.root, light["triple"], "after the write")
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_for_reload.wait_until_followed(local_endpoint_folder.EndpointFolder(deployed, "sample"), 30)
    kept = LocalEndpoint(deployed, "sample").status()
    assert (kept.state, kept.pid, kept.version, kept.slots["green"].state) == ("running", before.pid, "1", "ready")
    assert LocalEndpoint(deployed, "sample").invoke(DOUBLE, slot="green") == {"predictions": [6.0]}


DOUBLE = {"dataframe_records": [{"x": 2.0}]}


@pytest.mark.proof
def test_reachable_from_outside_an_endpoint_wants_its_key(endpoints: Settings, light: dict[str, Path]) -> None:
    host = "0.0.0.0"
    here = endpoints.model_copy(update={"endpoint": endpoints.endpoint.model_copy(update={"host": host})})
    status = LocalEndpoint(here, "sample").deploy(
        "blue", ServedVersion.in_folder(light["double"], version="1"), traffic=True
    )
    folder = local_endpoint_folder.EndpointFolder(here, "sample")
    # Readable by its owner only, and never shown.
    assert folder.key.stat().st_mode & 0o777 == 0o600
    key = folder.secret()
    assert key not in repr(status)
    assert key not in (folder.path / "state.json").read_text()
    address = http_client.Address(host, status.port)
    assert http_client.send_request(address, "GET", "/version")[0] == 401
    assert http_client.send_request(address, "GET", "/health")[0] == 200
    predictions = LocalEndpoint(here, "sample").invoke(LocalEndpoint(here, "sample").example())
    if shutil.which("curl"):
        assert run_curl(status.curl) == predictions


def test_names_that_nothing_bears_are_told_apart(
    empty_project: Settings, models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("status", "stop", "logs", "invoke"):
        assert entry.run(["endpoint", verb]) == 2
        assert "there is no endpoint yet" in capsys.readouterr().err
    assert entry.run(["endpoint", "list"]) == 0
    assert "no endpoint yet" in capsys.readouterr().out
    for name in ("one", "two"):
        local_endpoint_folder.EndpointFolder(empty_project, name).write(
            EndpointState(name, "127.0.0.1", 1, {"blue": SLOT})
        )
    assert entry.run(["endpoint", "status"]) == 2
    assert "say which: one, two" in capsys.readouterr().err
    assert entry.run(["endpoint", "status", "on"]) == 2
    assert "did you mean 'one'" in capsys.readouterr().err
    assert entry.run(["endpoint", "list", "--json"]) == 0
    assert [each["state"] for each in json.loads(capsys.readouterr().out)] == ["stopped", "stopped"]
    assert entry.run(["endpoint", "invoke", "one", "--data", "{", "--example"]) == 2
    assert entry.run(["endpoint", "invoke", "one", "--data", "{"]) == 2
    assert "not JSON" in capsys.readouterr().err
    with pytest.raises(UsageError, match="starting with a letter"):
        LocalEndpoint(empty_project, "../one").deploy("blue", ServedVersion.in_folder(models["table"], version="1"))
    with pytest.raises(UsageError, match="version"):
        LocalEndpoint(empty_project, "one").deploy("blue", ServedVersion.in_folder(models["table"], version="../1"))
    with pytest.raises(UsageError, match="MLmodel"):
        LocalEndpoint(empty_project, "one").deploy("blue", ServedVersion.in_folder(empty_project.root, version="1"))


def test_a_slot_that_lost_its_files_says_how_to_get_them_back(empty_project: Settings) -> None:
    lost = EndpointState("one", "127.0.0.1", 1, {"blue": replace(SLOT, sha256="0")})
    local_endpoint_folder.EndpointFolder(empty_project, "one").write(lost)
    with pytest.raises(EndpointError, match=r"are gone or damaged .* nbops promote --live .* nbops endpoint start one"):
        LocalEndpoint(empty_project, "one").start()


SLOT = SlotState("1", "1", since="2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 99, "slots": {}}'])
def test_a_damaged_state_is_broken_and_says_what_to_do(text: str, empty_project: Settings) -> None:
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    folder.path.mkdir(parents=True)
    (folder.path / "state.json").write_text(text)
    found = LocalEndpoint(empty_project, "sample").status()
    assert found.state == "broken"
    assert "deploy again" in found.last_error
    with pytest.raises(EndpointError, match="deploy again"):
        LocalEndpoint(empty_project, "sample").start()


def test_another_process_with_the_same_pid_is_not_taken_for_ours(empty_project: Settings) -> None:
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    own = psutil.Process()
    record = {"pid": own.pid, "created": own.create_time()}
    endpoint_state.write_draft(folder.server, record).replace(folder.server)
    assert server_process.running_server(folder) is not None
    endpoint_state.write_draft(folder.server, record | {"created": own.create_time() - 60}).replace(folder.server)
    assert server_process.running_server(folder) is None


def test_settings_of_a_port_win_over_the_remembered_one(
    empty_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Any] = []

    class Refusing:
        def __init__(self, _: Any, order: Any, __: float) -> None:
            orders.append(order)
            raise server_launch.StartError("seen", "died")

    monkeypatch.setattr(server_launch, "StartingServer", Refusing)
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    folder.write(EndpointState("sample", "127.0.0.1", 4001, {"blue": SLOT}))
    for environ, port in (({}, 4001), ({"NBOPS_ENDPOINT_PORT": "4002"}, 4002)):
        with pytest.raises(EndpointError, match="seen"):
            LocalEndpoint(load(empty_project.root, environ), "sample").start()
        assert orders[-1].port == port


@pytest.mark.parametrize(
    ("host", "loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:5"),
        ("127.0.0.2", True, "http://127.0.0.2:5"),
        ("localhost", True, "http://localhost:5"),
        ("::1", True, "http://[::1]:5"),
        ("0.0.0.0", False, "http://127.0.0.1:5"),
        ("::", False, "http://[::1]:5"),
        ("192.168.1.2", False, "http://192.168.1.2:5"),
        ("", False, "http://127.0.0.1:5"),
    ],
)
def test_only_loopback_goes_without_a_key(host: str, loopback: bool, url: str) -> None:
    address = http_client.Address(host, 5)
    assert (address.loopback, address.url) == (loopback, url)


def test_a_key_is_made_once(empty_project: Settings) -> None:
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    folder.path.mkdir(parents=True)
    keys: set[str] = set()
    threads = [threading.Thread(target=lambda: keys.add(folder.secret())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 1
    assert len(keys.pop()) >= 32


def test_the_same_files_are_kept_once_and_others_beside_them(empty_project: Settings, models: dict[str, Path]) -> None:
    folder = local_endpoint_folder.EndpointFolder(empty_project, "sample")
    first = folder.keep_model(models["table"], "1")
    assert folder.keep_model(models["table"], "1") == first
    second = folder.keep_model(models["other"], "1")
    assert second.name == "1~2"
    (folder.models / ".9.123").mkdir()  # what a killed copy leaves
    folder.prune({second.name})
    assert [path.name for path in folder.models.iterdir()] == ["1~2"]


def test_a_long_example_goes_by_file(tmp_path: Path) -> None:
    make: Callable[[Any], str] = lambda example: http_client.curl_command(  # noqa: E731
        http_client.Address("127.0.0.1", 5),
        example,
        example_file=tmp_path / "my example.json",
        key_file=tmp_path / "key",
    )
    assert shlex.split(make({"inputs": ["it's"]}))[-1] == '{"inputs": ["it\'s"]}'
    assert shlex.split(make({"inputs": list(range(5000))}))[-1] == f"@{tmp_path}/my example.json"


def test_the_log_is_bounded(tmp_path: Path) -> None:
    import asyncio

    from notebooks_lib.serving import server

    log = tmp_path / "log"
    with log.open("a") as held:
        held.write("first words\n")
        held.flush()

        async def a_while() -> None:
            task = asyncio.create_task(server._look_after(SimpleNamespace(should_exit=False), tmp_path, log_limit=10))
            while log.stat().st_size:
                await asyncio.sleep(0)
            task.cancel()

        asyncio.run(a_while())
        held.write("after")
    assert log.read_text() == "after"
    assert (tmp_path / "log.1").read_text() == "first words\n"


def test_a_server_whose_folder_is_gone_ends_by_itself(tmp_path: Path) -> None:
    import asyncio

    from notebooks_lib.serving import server

    running = SimpleNamespace(should_exit=False)

    async def a_while() -> None:
        task = asyncio.create_task(server._look_after(running, tmp_path / "gone"))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(a_while())
    assert running.should_exit
