"""Azure's inference server on this machine, with score.py and a model's files, in an environment made for it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving.scoring_code import ARCHIVE, SCRIPT
from notebooks_lib.serving.server_launch import server_environment

HOST = "127.0.0.1"
START_SECONDS = 180.0
_ANSWER_SECONDS = 60.0
_LOOK_EVERY = 0.1
# The server has no option for its address, and would listen to the whole network.
_MAIN = f"""
import os, sys
sys.path.append(os.path.join(os.environ["AML_APP_ROOT"], {ARCHIVE!r}))
from notebooks_lib import parent_process
sys.path.pop()
parent_process.exit_with_parent(int(os.environ.pop("NBOPS_STARTER")))
from azureml_inference_server_http import amlserver
amlserver.DEFAULT_HOST = {HOST!r}
amlserver.run()
"""
_NOT_PASSED_ON = ("AZUREML_", "AML_", "MLFLOW_", "NBOPS_", "PYTHON", "GUNICORN_")
_ERROR = re.compile(r"(?:[A-Za-z_]\w*\.)*(?!UserScript)(?P<line>[A-Z]\w*(?:Error|Exception): .+)")
"""The last line of a traceback, but not that of the server's own error about score.py."""


class ScoringServer:
    """The server, from the start of a `with` block to its end."""

    def __init__(
        self, python: str, code: Mapping[str, bytes], model: Path, variables: Mapping[str, str], *, log: Path
    ) -> None:
        """Name what is started: the Python of the environment, the files of the code, the folder of the model.

        `variables` are those of the deployment (`scoring_script.scoring_variables`). What the server prints goes to
        `log`.
        """
        self._python = python
        self._code = code
        self._model = model
        self._variables = variables
        self._log = log
        self.port = 0

    def __enter__(self) -> Self:
        """Start the server and wait until it is healthy.

        Raises EndpointError, with the line of the log that says why, when it ends or is not healthy in time.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="nbops-scoring-")
        home = Path(self._scratch.name)
        for name, content in self._code.items():
            (home / name).write_bytes(content)
        self.port = _free_port()
        own = {name: value for name, value in server_environment().items() if not name.startswith(_NOT_PASSED_ON)}
        # HOME: gunicorn keeps a socket there, one for all servers of a user.
        own |= {"HOME": str(home), "AML_APP_ROOT": str(home), "AZUREML_MODEL_DIR": str(self._model)}
        own |= {"NBOPS_STARTER": str(os.getpid()), "MLFLOW_DISABLE_TELEMETRY": "true", **self._variables}
        command = [self._python, "-P", "-s", "-c", _MAIN, "--entry_script", SCRIPT, "--port", str(self.port)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, env=own, start_new_session=True
            )
        try:
            self._wait(time.monotonic() + START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server and its workers."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.cleanup()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request; return status and body. Raises EndpointError when there is no answer within a minute."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError(f"the inference server does not answer ({error!r}){self._log_text()}") from error
        finally:
            connection.close()

    def _wait(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EndpointError(f"the inference server ends with {self._process.returncode}{self._log_text()}")
            with suppress(EndpointError):
                if self.request("GET", "/")[0] == 200:
                    return
            time.sleep(_LOOK_EVERY)
        raise EndpointError(f"the inference server is not ready after {START_SECONDS:g} s{self._log_text()}")

    def _log_text(self) -> str:
        """Return the last error in the log, and where the log is."""
        errors = [match["line"] for line in self._lines() if (match := _ERROR.fullmatch(line.strip()))]
        return (f": {errors[-1]}" if errors else "") + f"; its log: {self._log}"

    def _lines(self) -> list[str]:
        with suppress(OSError):
            return self._log.read_text("utf-8", "replace").splitlines()
        return []


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
