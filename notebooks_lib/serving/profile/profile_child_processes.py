"""The two child processes of a profile: the limited server and the client that drives it. Both end with this one."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import server_launch
from notebooks_lib.serving.profile.load_generator import LoadConfig

_SHOWN_LOG = 8
_PACKAGE = "notebooks_lib.serving.profile"


class ProfileProcess:
    """A Python child process that exchanges JSON lines over its pipes. It is killed at the end of the `with` block."""

    def __init__(self, module: str, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - without a name, so that nothing is left
        self._process = subprocess.Popen(
            # -P: nothing in the current folder is to be imported.
            [sys.executable, "-P", "-m", f"{_PACKAGE}.{module}", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=folder,
            env=dict(environment),
            start_new_session=os.name == "posix",  # Ctrl-C is ours to handle
        )
        self.pid = self._process.pid

    def __enter__(self) -> ProfileProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._log.close()

    def kill(self) -> None:
        """Kill the process at once, even if it is paused."""
        self._process.kill()
        self._process.wait()

    def tell(self, line: str) -> None:
        """Send a configuration to the process as a line of JSON. If the process has ended, the next `hear` shows it."""
        server_launch.send_line(self._process, line)

    def hear(self, timeout: float) -> dict[str, Any] | None:
        """Return the next line of the process as JSON; None if it ended without one.

        Raises TimeoutError when no line comes within `timeout` seconds.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            return None
        return dict(json.loads(line))

    @property
    def ended(self) -> int | None:
        """Return the exit code of the process, negative for a signal; None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """Return the last lines of the process's standard error, to append to a message."""
        self._log.seek(0)
        lines = [line for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return "".join(f"\n  | {line}" for line in lines[-_SHOWN_LOG:])


def start_profiled_server(model: Path) -> ProfileProcess:
    """Start a server process for `model`, which loads it only when `tell` sends the configuration.

    Until then the caller can limit the cores and memory of the process.
    """
    return ProfileProcess(
        "profiled_server_main", {"OMP_NUM_THREADS": "1", **server_launch.server_environment()}, model.parent
    )  # as an endpoint's


def start_client() -> ProfileProcess:
    """Start the client process, which waits for configurations."""
    return ProfileProcess("load_generator", server_launch.server_environment())


def drive(client: ProfileProcess, config: LoadConfig, timeout: float) -> dict[str, Any]:
    """Send a configuration to the client process and return its result.

    Raises EndpointError when the client ends, or does not answer within `timeout` seconds.
    """
    client.tell(config.to_json())
    try:
        answer = client.hear(timeout)
    except TimeoutError:
        raise EndpointError(f"the client of the profile did not answer within {timeout:.0f} s; try again") from None
    if answer is None:
        raise EndpointError(f"the client of the profile ended (code {client.ended}):{client.tail()}")
    return answer
