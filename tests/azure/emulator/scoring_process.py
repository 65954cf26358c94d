"""A deployment's container: a process that runs the deployment's own score.py, by its `init` and `run`.

The process is this same file, run as a program. It stands in for the inference server, of which score.py imports little;
that score.py runs under the real one is the matter of tests/serving/test_scoring_server.py.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import signal
import subprocess
import sys
import types
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.azure.emulator.collector_sidecar import CollectorSidecar

SERVER = "azureml_inference_server_http"
CRASHES = "EMULATED_CRASH"


@dataclass(frozen=True)
class Collector:
    """What collects beside a process, and of which percentage of the requests each collection takes a record."""

    sidecar: CollectorSidecar
    shares: dict[str, float]

    def variables(self, folder: Path) -> dict[str, str]:
        """Return the variables by which the service turns collecting on; the configuration is a file in `folder`."""
        collections = {name: {"enabled": True, "sampleRatePercentage": share} for name, share in self.shares.items()}
        file = folder / "mdc.json"
        file.write_text(json.dumps({"collections": collections, "runMode": "cloud"}))
        return {"AZUREML_MDC_CONFIG_PATH": str(file), "AZUREML_MDC_PORT": str(self.sidecar.port)}


class ScoringProcess:
    """One process, from its start to its end, and what collects beside it."""

    def __init__(
        self,
        folder: Path,
        script: str,
        variables: dict[str, str],
        python: str = sys.executable,
        *,
        crashes: bool = False,
        collector: Collector | None = None,
    ) -> None:
        self._beside = ExitStack()
        if collector is not None:
            self._beside.enter_context(collector.sidecar)
            variables = variables | collector.variables(folder)
        self.log, self._port_file = folder / "log", folder / "port"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": f"{Path(python).parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "AZUREML_MODEL_DIR": str(folder / "model"),
            "AML_APP_ROOT": str(folder / "code"),
            **variables,
            **({CRASHES: "1"} if crashes else {}),
        }
        command = [python, __file__, str(folder / "code" / script), str(self._port_file)]
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=folder / "code",
                env=environment,
                stdin=subprocess.PIPE,  # closed when the emulator is gone
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def healthy(self) -> bool:
        return self.running and self._port_file.exists()

    @property
    def port(self) -> int:
        return int(self._port_file.read_text())

    def stop(self) -> None:
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._beside.close()


def _stand_in() -> None:
    """Give score.py what it imports of the inference server."""

    class AMLResponse:
        def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
            self.body, self.status, self.headers = body, status, headers

    for name, content in {
        SERVER: {},
        f"{SERVER}.api": {},
        f"{SERVER}.api.aml_request": {"rawhttp": lambda function: function},
        f"{SERVER}.api.aml_response": {"AMLResponse": AMLResponse},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
    logging.getLogger("azmlinfsrv").addHandler(logging.StreamHandler(sys.stdout))


def main(script: Path, port_file: Path) -> None:
    """Run `init` once, then answer with `run` until standard input is closed."""
    import threading

    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
    if os.environ.get(CRASHES):
        print("Worker (pid:7) was sent SIGKILL! Perhaps out of memory?", flush=True)
        sys.exit(137)
    _stand_in()
    spec = importlib.util.spec_from_file_location("score", script)
    assert spec is not None
    assert spec.loader is not None
    score: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    score.init()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.stream = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            self.method = "POST"
            answer = score.run(self)
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: score.py logs its requests itself."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    draft = port_file.with_suffix(".draft")
    draft.write_text(str(server.server_address[1]))
    draft.rename(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
