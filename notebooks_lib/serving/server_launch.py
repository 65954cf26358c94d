"""Start the server process of an endpoint: wait until it answers, or remove it completely.

It does not choose what is served.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

import psutil

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import http_client, server_process
from notebooks_lib.serving.endpoint_state import EndpointState
from notebooks_lib.serving.http_client import Address
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.server_config import ServerConfig, ServerOptions
from notebooks_lib.serving.server_process import GRACE, ServerProcess, wait_for_end
from notebooks_lib.serving.wait_for_reload import wait_until_followed
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env

_OWNERS = (Env.KERNEL, Env.OWNER_RUN, "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "IPYNB_FILE")
"""Variables that tie a process to the run that started it. An endpoint outlives its starter and belongs to no run."""


_SHOWN_LOG = 8


class StartError(EndpointError):
    """The server process failed to start; `kind` gives the cause: "host", "port", "load", "os", "died" or "slow"."""

    def __init__(self, message: str, kind: str) -> None:
        self.kind = kind
        super().__init__(message)


class StartingServer:
    """A server process that is starting. If the `with` block is left before `go`, the process is removed completely."""

    def __init__(self, folder: EndpointFolder, config: ServerConfig, timeout: float) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self._log_start = folder.log_size()
        self._pid: psutil.Process | None = None
        self._gone = False
        with folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                # -P: the current folder is the endpoint's, and nothing in it is to be imported.
                [sys.executable, "-P", "-m", "notebooks_lib.serving.server", str(folder.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder.path,
                env=server_environment(),
                **_detached(),
            )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
        self._reader.start()
        send_line(self._process, config.to_json())

    def __enter__(self) -> StartingServer:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._gone:
            self._abandon()
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if hasattr(os, "fork"):
            self._process.wait()  # the starter ended when its child, the server, took over
        self._reader.join(GRACE)

    def loaded(self) -> Mapping[str, Any]:
        """Wait until the models are loaded; return `port`, and `examples` by slot.

        Raises StartError when loading fails.
        """
        with suppress(psutil.Error):
            self._pid = psutil.Process(int(self._hear("pid")["pid"]))
        return self._hear("loaded")

    def go(self) -> None:
        """Tell the loaded server to begin serving, and wait until it does. Raises StartError when it does not."""
        send_line(self._process, "go")
        self._hear("serving")
        self._gone = True

    def fault(self, message: str, kind: str = "died") -> StartError:
        """Return a StartError with this message, followed by the last lines of the log."""
        lines = [line for line in self._folder.lines(_SHOWN_LOG, self._log_start) if line.strip()]
        shown = "".join(f"\n  | {line}" for line in lines)
        return StartError(message + (f"; the log {self._folder.log} ends:{shown}" if shown else ""), kind)

    def _hear(self, expected: str) -> Mapping[str, Any]:
        try:
            line = self._answers.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            raise self.fault(
                f"the server is not ready after {self._timeout:.0f} s; raise endpoint.start_timeout if it needs longer",
                "slow",
            ) from None
        try:
            answer = json.loads(line)
        except ValueError:
            raise self.fault("the server process ended before it was ready") from None
        if "error" in answer:
            if answer["kind"] == "load":
                raise self.fault(answer["error"], "load")
            raise StartError(answer["error"], answer["kind"])
        if expected not in answer:
            raise self.fault(f"the server process said {line.strip()!r}, expected {expected!r}")
        return dict(answer)

    def _abandon(self) -> None:
        with suppress(psutil.Error):
            if self._pid is not None and self._pid.is_running():
                self._pid.kill()
                wait_for_end(self._pid, GRACE)


def send_line(process: subprocess.Popen[bytes], line: str) -> None:
    """Send a line to a child process. If the process has ended, nothing is sent: the missing answer shows it."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()


def server_environment() -> dict[str, str]:
    """Return the environment variables for a server process, without those that would attach it to an MLflow run."""
    # Idle OpenMP threads spin, and take the cores that other requests need.
    return {"OMP_NUM_THREADS": "1", **{name: value for name, value in os.environ.items() if name not in _OWNERS}}


def _read(stream: IO[bytes] | None, answers: queue.Queue[str]) -> None:
    assert stream is not None
    with stream, suppress(OSError, ValueError):
        for line in stream:
            answers.put(line.decode("utf-8", "replace"))
    answers.put("")


def _detached() -> dict[str, Any]:
    if os.name == "nt":
        flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return {"creationflags": flags}
    return {"start_new_session": True}


PROBE_TIMEOUT = 5.0
"""Seconds in which a healthy endpoint answers."""


PROTOCOL = 2
"""Version of what a server understands; one started by an older nbops does not follow the state."""


def launch_server(settings: Settings, folder: EndpointFolder, new: EndpointState, *, must: set[str]) -> EndpointState:
    """Start a server, wait until the slots in `must` are loaded, write the state `new`, and return it.

    If this is interrupted before the state is written, the old state remains; after that, `start` resumes the new one.
    Raises EndpointError when the server does not start.
    """
    host, port = settings.endpoint.host, settings.endpoint.port or new.port
    address = Address(host, port)
    config = ServerConfig(
        state=new,
        must=frozenset(must),
        endpoint=folder.name,
        host=host,
        port=port,
        protocol=PROTOCOL,
        key=None if address.loopback else folder.secret(),
        collected=settings.layout.collected,
        options=ServerOptions.from_settings(settings.endpoint),
    )
    try:
        with StartingServer(folder, config, settings.endpoint.start_timeout) as starting:
            loaded = starting.loaded()
            slots = {
                name: replace(slot, example=loaded["examples"].get(name, slot.example))
                for name, slot in new.slots.items()
            }
            new = replace(new, host=host, port=loaded["port"], slots=slots)
            # All that needs room on the disk is written by now.
            with folder.staged(new) as commit:
                folder.serving.unlink(missing_ok=True)
                commit()
            starting.go()
    except StartError as error:
        if error.kind == "host":
            raise EndpointError(
                f"endpoint {folder.name!r}: host {host} is no address of this machine ({error}); "
                "change [endpoint] host in production/settings.toml, or NBOPS_ENDPOINT_HOST"
            ) from error
        if error.kind == "rights":
            raise EndpointError(
                f"endpoint {folder.name!r}: this user may not listen at port {port} ({error}); choose one above 1023, "
                f"as in: NBOPS_ENDPOINT_PORT={port + 8000} nbops endpoint start {folder.name}"
            ) from error
        if error.kind == "port":
            raise EndpointError(
                f"endpoint {folder.name!r}: port {port} is taken by {server_process.port_holder(port)} ({error}); "
                f"end that process, or choose another port as in: "
                f"NBOPS_ENDPOINT_PORT={port % 65535 + 1} nbops endpoint start {folder.name}"
            ) from error
        versions = ", ".join(new.slots[name].version for name in sorted(must))
        raise EndpointError(f"endpoint {folder.name!r} cannot serve version {versions}: {error}") from error
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r}: its server process cannot be started: {error}") from error
    wait_until_followed(folder, settings.endpoint.start_timeout)
    _check_live(folder, new)
    return new


def _check_live(folder: EndpointFolder, new: EndpointState) -> None:
    """Ask the new server for its identity over HTTP, as a client would."""
    address = listens_at(new)
    key = "" if address.loopback else folder.secret()
    try:
        healthy, _ = http_client.send_request(address, "GET", "/health", timeout=PROBE_TIMEOUT)
        _, answer = http_client.send_request(address, "GET", "/slots", key=key, timeout=PROBE_TIMEOUT)
    except OSError as error:
        raise EndpointError(f"endpoint {folder.name!r} does not answer at {address.url}: {error}") from error
    if healthy != 200 or not isinstance(answer, dict) or answer.get("endpoint") != folder.name:
        raise EndpointError(f"endpoint {folder.name!r}: {address.url} answers as {answer}, expected {folder.name}")


def listens_at(current: EndpointState) -> Address:
    """Return the address at which the state's server listens."""
    return Address(current.host, current.port)


def follows_state(server: ServerProcess) -> bool:
    """Return True if the server is of a version that applies changes of the state while it runs."""
    return server.record.protocol == PROTOCOL
