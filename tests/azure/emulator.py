"""An Azure ML workspace on this machine: a real MLflow server behind `facade`, over TLS on loopback.

`running(folder)` starts it as a process of its own and yields what another process needs to reach it: nothing but
environment variables, no patching. The certificate is trusted through REQUESTS_CA_BUNDLE, the credential comes from
DefaultAzureCredential's managed identity, the workspace from Azure Resource Manager at AZUREML_DEV_URL_MFE.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_LIMIT = 180.0
"""Seconds until the emulator must answer."""

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
RESOURCE_GROUP = "emulated"
WORKSPACE = "workspace"


@dataclass(frozen=True)
class Emulated:
    """A workspace that answers."""

    base: str
    backend: str
    """The MLflow server behind it, for whoever wants a plain one."""
    environment: dict[str, str]
    """What a process needs to reach it; the settings name the workspace."""
    settings: str
    """TOML for production/settings.toml."""
    pid: int
    seconds: float
    """How long it took to start."""


@contextmanager
def running(folder: Path, database: Path | None = None) -> Iterator[Emulated]:
    """An emulated workspace for the length of the block, its state in `folder`.

    `database`: a SQLite file with MLflow's newest schema to begin with, which saves the migration.
    """
    began = time.monotonic()
    process = launch(folder, database)
    try:
        yield await_ready(process, folder, began)
    finally:
        stop(process)


def launch(folder: Path, database: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the emulator and return at once; `await_ready` waits for it."""
    folder.mkdir(parents=True, exist_ok=True)
    if database is not None:
        (folder / "mlflow.db").write_bytes(database.read_bytes())
    scrubbed = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_", "NBOPS_", "AZURE"))}
    with (folder / "emulator.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # closed when we are gone, however we went: the emulator then stops
            env=scrubbed,
            cwd=folder,
        )


def await_ready(process: subprocess.Popen[bytes], folder: Path, began: float | None = None) -> Emulated:
    """Wait until the emulator answers. Raises RuntimeError with its log when it does not."""
    began = time.monotonic() if began is None else began
    ready = folder / "ready.json"
    while not ready.exists():
        if process.poll() is not None or time.monotonic() - began > START_LIMIT:
            raise RuntimeError(f"the emulator did not start:\n{(folder / 'emulator.log').read_text()[-4000:]}")
        time.sleep(0.05)
    base, backend, identity = json.loads(ready.read_text())
    environment = {
        "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
        "IDENTITY_ENDPOINT": f"{base}/msi/token",
        "IDENTITY_HEADER": identity,
        "AZUREML_DEV_URL_MFE": base,
        "NO_PROXY": "localhost,127.0.0.1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
    }
    settings = (
        '[tracking]\nuri = "azureml"\n\n[azure]\n'
        f'subscription = "{SUBSCRIPTION}"\nresource_group = "{RESOURCE_GROUP}"\nworkspace = "{WORKSPACE}"\n'
    )
    return Emulated(base, backend, environment, settings, process.pid, time.monotonic() - began)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and its MLflow server."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
    if process.stdin:
        process.stdin.close()


def main(folder: Path) -> None:
    """Run the MLflow server and the facade until told to stop, or until whoever started us is gone."""
    # uvicorn raises the signal anew when it is done: without a handler that would end us before the server is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server, address = _mlflow_server(folder)
    try:
        _serve(folder, server, address)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _mlflow_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The command and variables that `mlflow server --workers 1` itself ends in; its own start costs 4 s more."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",  # where it is asked directly, not as a workspace
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "served"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen([*command, "mlflow.server.fastapi_app:app"], env=environment, preexec_fn=_end_with_parent)
    return server, f"http://127.0.0.1:{port}"


def _end_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: we may be killed with -9


def _serve(folder: Path, server: subprocess.Popen[bytes], address: str) -> None:
    import trustme
    import uvicorn

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from facade import Facade  # by its folder: this file runs as a script

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    key, chain = folder / "key.pem", folder / "chain.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms an answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    facade = Facade(address, folder / "blobs")
    facade.base = f"https://localhost:{listener.getsockname()[1]}"
    uvicorn_server = uvicorn.Server(
        uvicorn.Config(
            facade.app,
            ssl_certfile=str(chain),
            ssl_keyfile=str(key),
            log_level="warning",
            timeout_graceful_shutdown=1,  # clients in the tests' process keep their connections open
        )
    )

    def watch() -> None:
        for _ in range(int(START_LIMIT / 0.05)):
            if server.poll() is not None:
                os.kill(os.getpid(), signal.SIGTERM)
            if _answers(f"{address}/health") and uvicorn_server.started:
                break
            time.sleep(0.05)
        draft = folder / "ready.draft"
        draft.write_text(json.dumps([facade.base, address, facade.identity]))
        draft.rename(folder / "ready.json")
        os.read(0, 1)  # returns when our starter is gone
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    uvicorn_server.run(sockets=[listener])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
