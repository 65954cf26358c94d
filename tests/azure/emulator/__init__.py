"""Azure on this machine, for tests: no client can tell that it is not talking to Azure.

`running(folder)` starts it as a process of its own and yields what another process needs to reach it: a proxy that
leads Azure's own names to it, an authority to trust, and an ordinary credential. Nothing else is set or patched. The
proxy refuses every other host; `Emulated.only_azure` makes that fail the test. Behind the workspace's tracking is a
real MLflow server. It uses nothing of notebooks_lib. `server` runs it, `application` puts its parts together.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.azure.emulator.record import Record

START_LIMIT = 180.0
"""Seconds until the emulator must answer."""
RECORD = "requests.jsonl"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
RESOURCE_GROUP = "emulated"
WORKSPACE = "workspace"
SCOPE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)
"""The workspace's path."""
TENANT = "99999999-2222-3333-4444-555555555555"
CLIENT = "88888888-2222-3333-4444-555555555555"
SECRET = "emulated-secret"
IDENTITY = "emulated-identity"
IDENTITY_CLIENT = "77777777-2222-3333-4444-555555555555"
JOB_TOKEN = "emulated-job-token"
"""What a job on GitHub or Azure Pipelines asks for its OIDC token with."""
LIFETIMES = {"access": 3600, "assertion": 300}
"""Seconds for which tokens are good, and the OIDC tokens that jobs sign in with."""
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Emulated:
    """An Azure that answers."""

    port: int
    """Of its TLS server on localhost, where the control address and the managed identity are."""
    backend: str
    """The MLflow server behind it, for whoever wants a plain one."""
    environment: dict[str, str]
    """What a process needs to reach it, with a client secret; the settings name the workspace."""
    managed_identity: dict[str, str]
    """The same with a managed identity."""
    settings: str
    """TOML for production/settings.toml."""
    pid: int
    seconds: float
    """How long it took to start."""
    record: Record
    """Every request that was seen."""

    @contextmanager
    def only_azure(self) -> Iterator[None]:
        """Fail when a host that is not Azure's was asked for in the block."""
        began = self.record.position()
        yield
        strangers = sorted({seen.host for seen in self.record.since(began) if not seen.path})
        assert not strangers, f"asked for hosts that are not Azure's: {', '.join(strangers)}"

    @contextmanager
    def fault(self, kind: str, **matching: Any) -> Iterator[None]:
        """Switch on the fault that `faults.Fault` describes, for the block, in which it must strike."""
        self._control("fault", {"kind": kind, **matching})
        try:
            yield
        except BaseException:
            self._control("clear", {})
            raise
        unused = self._control("clear", {})
        assert not unused, f"faults that struck nothing: {', '.join(unused)}"

    @contextmanager
    def lifetimes(self, **seconds: int) -> Iterator[None]:
        """Give other `LIFETIMES` to what is issued in the block."""
        self._control("lifetimes", seconds)
        try:
            yield
        finally:
            self._control("lifetimes", LIFETIMES)

    def put(self, path: str, document: dict[str, Any]) -> None:
        """Keep a document of the resource manager as it stands; what a list has under "list" is its whole answer."""
        self._control("document", {"path": path, "document": document})

    def serve_with(self, python: str) -> None:
        """Let deployments from now on run with another Python: that of an environment made for scoring.

        Without it they run with this one, in which the inference server is stood in for and nothing is collected.
        """
        self._control("scoring", {"python": python})

    def _control(self, what: str, wanted: dict[str, Any]) -> Any:
        trusted = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        connection = http.client.HTTPSConnection("localhost", self.port, context=trusted, timeout=30)
        try:
            connection.request("POST", f"/control/{what}", json.dumps(wanted))
            answer = connection.getresponse()
            assert answer.status == 200, f"the emulator cannot set {what} {wanted}"
            return json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def running(folder: Path, database: Path | None = None) -> Iterator[Emulated]:
    """An emulated Azure for the length of the block, its state in `folder`.

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
    others = ("MLFLOW_", "_MLFLOW_", "NBOPS_", "AZURE")
    scrubbed = {k: v for k, v in os.environ.items() if not k.startswith(others) and not k.upper().endswith("_PROXY")}
    with (folder / "emulator.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.azure.emulator.server", str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # closed when we are gone, however we went: the emulator then stops
            env=scrubbed,
            cwd=ROOT,
        )


def reaching(proxy: int, folder: Path) -> dict[str, str]:
    """Return the variables by which a process reaches the emulator, without a credential."""
    return {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy}",
        "NO_PROXY": "localhost,127.0.0.1",
        "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
        "SSL_CERT_FILE": str(folder / "ca.pem"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
    }


def await_ready(process: subprocess.Popen[bytes], folder: Path, began: float | None = None) -> Emulated:
    """Wait until the emulator answers. Raises RuntimeError with its log when it does not."""
    began = time.monotonic() if began is None else began
    ready = folder / "ready.json"
    while not ready.exists():
        if process.poll() is not None or time.monotonic() - began > START_LIMIT:
            raise RuntimeError(f"the emulator did not start:\n{(folder / 'emulator.log').read_text()[-4000:]}")
        time.sleep(0.05)
    proxy, port, backend = json.loads(ready.read_text())
    common = reaching(proxy, folder)
    secret = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
    identity = {"IDENTITY_ENDPOINT": f"https://localhost:{port}/msi/token", "IDENTITY_HEADER": IDENTITY}
    settings = (
        '[tracking]\nuri = "azureml"\n\n[azure]\n'
        f'subscription = "{SUBSCRIPTION}"\nresource_group = "{RESOURCE_GROUP}"\nworkspace = "{WORKSPACE}"\n'
    )
    seconds, record = time.monotonic() - began, Record(folder / RECORD)
    return Emulated(port, backend, common | secret, common | identity, settings, process.pid, seconds, record)


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
