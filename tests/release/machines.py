"""Other machines, for tests: processes that lock stages and write journals, and can be killed or stopped.

A server imports once what they need, and forks a process for each connection to its socket. A process takes orders, a
line of JSON each, such as {"do": "write", "step": "deploy"}; they are the functions below whose names begin with `do_`.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import errors, process_identity
from notebooks_lib.errors import NbopsError, StageBusyError
from notebooks_lib.models import registry
from notebooks_lib.release import recovery
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import ChangeRecord, Journal
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.serving.targets import TARGETS, EndpointTarget
from notebooks_lib.settings import Settings, load
from notebooks_lib.tracking.store import Store, connect
from tests.release import moving

ROOT = Path(__file__).parents[2]


@contextmanager
def shared_endpoints(owner: Settings | None = None, *, heartbeat: float = 0.3) -> Iterator[None]:
    """In the block, endpoints are reached from other machines too; with `owner`, all are those of that project."""
    local = TARGETS["local"]
    everywhere = EndpointTarget(
        lambda settings, name, stage: local.open(owner or settings, name, stage),
        lambda settings: local.names(owner or settings),
        shared=True,
        heartbeat=heartbeat,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "local", everywhere)
        yield


def clone(settings: Settings, root: Path) -> Settings:
    """The same project with the same tracking store in another folder, as a fresh clone on another machine is."""
    text = settings.layout.settings_file.read_text() if settings.layout.settings_file.exists() else ""
    if "[tracking]" not in text:
        text += f'\n[tracking]\nuri = "sqlite:///{settings.layout.database}"\n'
    (root / "production").mkdir(parents=True)
    (root / "production" / "settings.toml").write_text(text)
    return load(root, {})


class Machine:
    """A process on a machine of this name; several may be on one. An error of an order is raised here, too."""

    def __init__(self, connection: socket.socket, hello: dict[str, Any]) -> None:
        self._connection = connection
        self._stream = connection.makefile("rw")
        self.pid = int(self._ask(hello))

    def __call__(self, do: str, **more: Any) -> Any:
        self.begin(do, **more)
        return self.answer()

    def begin(self, do: str, **more: Any) -> None:
        """Give an order, and do not wait for the answer."""
        self._stream.write(json.dumps({"do": do, **more}) + "\n")
        self._stream.flush()

    def answer(self) -> Any:
        """The answer to the last order; None when the process died over it."""
        line = self._stream.readline()
        if not line:
            return None
        content = json.loads(line)
        if "error" in content:
            raise getattr(errors, content["error"])(content["value"])
        return content["value"]

    def _ask(self, hello: dict[str, Any]) -> Any:
        self._stream.write(json.dumps(hello) + "\n")
        self._stream.flush()
        return self.answer()

    def kill(self) -> None:
        """As `kill -9` does, or the loss of the machine."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.died()

    def died(self) -> bool:
        """Wait for the answer to the last order, or until the process is dead; return whether it died."""
        if self._stream.readline():
            return False
        with suppress(ProcessLookupError):
            while True:
                os.kill(self.pid, 0)
                time.sleep(0.005)
        return True

    def stopped(self) -> None:
        """Wait until it sleeps."""
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            os.kill(self.pid, signal.SIGCONT)
        self._stream.close()
        self._connection.close()


class Machines:
    """Starts machines, by way of the server at a socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._started: list[Machine] = []

    def start(self, root: Path, name: str = "", **more: Any) -> Machine:
        """A process in a project's folder, on the machine `name` or on this one; more is as of `_Process`."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        prefixes = ("NBOPS_", "AZURE", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
        environment = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
        hello = {"heartbeat": TARGETS["local"].heartbeat, "environment": environment, **more}
        self._started.append(Machine(connection, {"root": str(root), "name": name, **hello}))
        return self._started[-1]

    def close(self) -> None:
        """End all that run."""
        while self._started:
            self._started.pop().close()


@contextmanager
def running() -> Iterator[Machines]:
    """In the block, machines can be started."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        scrubbed = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_TRACKING", "NBOPS_"))}
        environment = {**scrubbed, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-m", "tests.release.machines", path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
            assert server.stdin
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            machines = Machines(path)
            yield machines
            machines.close()
            server.stdin.close()


class _Process:
    """What a process does that a machine runs."""

    def __init__(
        self,
        *,
        root: str,
        name: str,
        environment: dict[str, str],
        heartbeat: float,
        model: str = moving.MODEL,
        shared: bool = True,
        owner: str = "",
    ) -> None:
        os.environ.update(environment)
        os.chdir(root)
        if name:
            process_identity.pid_space = lambda: name
            socket.gethostname = lambda: name
        self.settings = load(Path(root), dict(environment))
        TARGETS["azureml"] = replace(TARGETS["azureml"], heartbeat=heartbeat)
        if shared:
            self._endpoints = shared_endpoints(load(Path(owner), {}) if owner else None, heartbeat=heartbeat)
            self._endpoints.__enter__()
        self.model = model
        self.changes: StageChanges = changes_of(self.settings, model, "prod")
        self.journal: Journal | None = None

    @property
    def store(self) -> Store:
        return connect(self.settings)

    def do_take(self) -> None:
        self.changes.take()

    def do_release(self) -> None:
        self.changes.release()

    def do_begin(self, version: str = "7") -> str:
        self.journal = self.changes.begin(ChangeRecord("promotion", self.model, "prod", version, "ada@elsewhere"))
        return self.journal.id

    def do_resume(self) -> list[str]:
        self.journal = self.changes.resume()
        return self.journal.steps if self.journal else []

    def do_write(self, step: str) -> None:
        assert self.journal
        self.journal.write(step)

    def do_compete(self, times: int, file: str) -> dict[str, int]:
        """Take the lock so often, and count how often it was held, refused, and held by another at once."""
        counts = {"held": 0, "refused": 0, "at_once": 0}
        for _ in range(times):
            try:
                self.changes.take()
            except StageBusyError:
                counts["refused"] += 1
                continue
            try:
                os.close(os.open(file, os.O_CREAT | os.O_EXCL))
                counts["held"] += 1
                time.sleep(0.02)
                Path(file).unlink()
            except FileExistsError:
                counts["at_once"] += 1
            self.changes.release()
        return counts

    def do_die_at_request(self, number: int) -> None:
        """A whole change, killed at this request to the store: after it was carried out, before its answer."""
        store = self.store
        count = 0

        def deadly(name: str) -> Callable[..., Any]:
            real = getattr(store.client, name)

            def call(*given: Any, **named: Any) -> Any:
                nonlocal count
                answer = real(*given, **named)
                count += 1
                if count == number:
                    _kill_myself()
                return answer

            return call

        for name in ("create_run", "get_run", "search_runs", "set_tag", "log_batch", "set_terminated", "delete_run"):
            setattr(store.client, name, deadly(name))
        self.changes = changes_of(self.settings, self.model, "prod", store=store)
        self.do_take()
        self.do_begin()
        for step in ("deploy", "switch", "end"):
            self.do_write(step)
        self.do_release()

    def do_promote(self, version: int, at: int | None = None, *, written: bool = True, sleep: bool = False) -> None:
        """Promote a version, and die or fall asleep at an entry of the journal."""
        how = _sleep if sleep else _kill_myself
        with moving.dying(-1 if at is None else at, written=written, how=how):
            moving.promote(self.store, registry.get(self.store, moving.MODEL, version))

    def do_back(self, at: int | None = None, *, written: bool = True) -> None:
        """Roll back, and die at an entry of the journal."""
        with moving.dying(-1 if at is None else at, written=written, how=_kill_myself):
            moving.back(self.settings)

    def do_nbops(self, arguments: list[str]) -> tuple[int, str, str]:
        """Run a command; its exit code, and what it wrote to stdout and stderr."""
        from notebooks_lib.__main__ import run

        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = run(arguments)
        return code, out.getvalue(), err.getvalue()

    def do_recover(self) -> str:
        recovered = recovery.recover(self.store, moving.MODEL, "prod")
        return recovered.outcome if recovered else ""


def _kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleep() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _live(connection: socket.socket) -> None:
    stream = connection.makefile("rw")

    def answer(value: object, **more: object) -> None:
        stream.write(json.dumps({"value": value, **more}) + "\n")
        stream.flush()

    process = _Process(**json.loads(stream.readline()))
    answer(os.getpid())
    for line in stream:
        order = json.loads(line)
        try:
            answer(getattr(process, f"do_{order.pop('do')}")(**order))
        except NbopsError as error:
            answer(str(error), error=type(error).__name__)


def _serve(path: str) -> None:
    import mlflow  # noqa: F401 - so that no process has to
    import pandas as pd  # noqa: F401

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            code = 1
            try:
                _live(connection)
                code = 0
            finally:
                os._exit(code)
        connection.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
