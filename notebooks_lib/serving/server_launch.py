"""Start the server process of an endpoint: wait until it answers, or remove it completely."""

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
from typing import IO, Any

import psutil

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving.local_endpoint_folder import EndpointFolder
from notebooks_lib.serving.server_config import ServerConfig
from notebooks_lib.serving.server_process import GRACE, wait_for_end
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
        self._tell(config.to_json())

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
        self._tell("go")
        self._hear("serving")
        self._gone = True

    def fault(self, what: str, kind: str = "died") -> StartError:
        """Return a StartError with the message `what`, followed by the last lines of the log."""
        lines = [line for line in self._folder.lines(_SHOWN_LOG, self._log_start) if line.strip()]
        shown = "".join(f"\n  | {line}" for line in lines)
        return StartError(what + (f"; the log {self._folder.log} ends:{shown}" if shown else ""), kind)

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

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # the server has died; `_hear` reports why
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _abandon(self) -> None:
        with suppress(psutil.Error):
            if self._pid is not None and self._pid.is_running():
                self._pid.kill()
                wait_for_end(self._pid, GRACE)


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
