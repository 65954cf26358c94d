"""A deployment's container: a process that runs the deployment's own score.py, by its `init` and `run`.

The process is this same file, run as a program. Where the inference server is not installed, which needs an environment
of its own, it stands in for the little of it that score.py imports.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import signal
import subprocess
import sys
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SERVER = "azureml_inference_server_http"
CRASHES = "EMULATED_CRASH"


class ScoringProcess:
    """One process, from its start to its end."""

    def __init__(self, folder: Path, script: str, variables: dict[str, str], *, crashes: bool = False) -> None:
        self.log, self._port_file = folder / "log", folder / "port"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "AZUREML_MODEL_DIR": str(folder / "model"),
            "AML_APP_ROOT": str(folder / "code"),
            **variables,
            **({CRASHES: "1"} if crashes else {}),
        }
        command = [sys.executable, __file__, str(folder / "code" / script), str(self._port_file)]
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
    if importlib.util.find_spec(SERVER) is None:
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
