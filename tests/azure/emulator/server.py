"""The emulator's process: the MLflow server, the proxy, and one TLS server that answers on Azure's own names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from tests.azure import emulator


def main(folder: Path) -> None:
    """Run the MLflow server and the rest until told to stop, or until the starter is gone."""
    # uvicorn raises the signal anew when it is done: without a handler that would end us before the server is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server, address = _mlflow_server(folder)
    try:
        asyncio.run(_serve(folder, server, address))
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
    command += ["mlflow.server.fastapi_app:app"]
    server = subprocess.Popen(command, env=environment, cwd=folder, preexec_fn=_end_with_parent)
    return server, f"http://127.0.0.1:{port}"


def _end_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: we may be killed with -9


async def _serve(folder: Path, server: subprocess.Popen[bytes], address: str) -> None:
    import uvicorn  # now that the MLflow server, which takes longest, is on its way

    from tests.azure.emulator import certificates
    from tests.azure.emulator.application import Azure

    chain, key = certificates.issue(folder)
    # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms an answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    port = listener.getsockname()[1]
    azure = Azure(folder, address, port)
    proxy = await asyncio.start_server(azure.proxy.serve, "127.0.0.1", 0)
    azure.jobs.environment = emulator.reaching(proxy.sockets[0].getsockname()[1], folder)
    azure.jobs.identity = {
        "MSI_ENDPOINT": f"https://localhost:{port}/msi/token",
        "MSI_SECRET": emulator.IDENTITY,
        "DEFAULT_IDENTITY_CLIENT_ID": emulator.IDENTITY_CLIENT,
    }
    azure.jobs.with_parent = _end_with_parent
    answering = uvicorn.Server(
        uvicorn.Config(
            azure,
            ssl_certfile=str(chain),
            ssl_keyfile=str(key),
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,  # clients in the tests' process keep their connections open
        )
    )

    def watch() -> None:
        for _ in range(int(emulator.START_LIMIT / 0.05)):
            if server.poll() is not None:
                os.kill(os.getpid(), signal.SIGTERM)
            if _answers(f"{address}/health") and answering.started:
                break
            time.sleep(0.05)
        draft = folder / "ready.draft"
        draft.write_text(json.dumps([proxy.sockets[0].getsockname()[1], port, address]))
        draft.rename(folder / "ready.json")
        os.read(0, 1)  # returns when our starter is gone
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    try:
        await answering.serve(sockets=[listener])
    finally:
        azure.jobs.stop()
        azure.endpoints.stop()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
