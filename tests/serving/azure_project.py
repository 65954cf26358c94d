"""A project whose prod stage has its endpoints in a workspace of the emulator, managed or on Kubernetes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebooks_lib.azure import online_endpoint, rest_client
from notebooks_lib.azure.workspace import Workspace
from notebooks_lib.settings import Settings, load
from tests.azure import emulator
from tests.azure.emulator import Emulated

STAGE = '[stages.prod]\nendpoint = "azureml:"\n'
VERSION = "2024-10-01"


@contextmanager
def azure_project(server: Emulated, root: Path, kind: str = "managed", stage: str = STAGE) -> Iterator[Settings]:
    """A project with a workspace of its own; within the block this process reaches it. Endpoints are gone afterwards.

    The runs of the project are kept on this machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "NO_PROXY"):
            patch.delenv(name.lower(), raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        workspace = Workspace(emulator.SUBSCRIPTION, emulator.RESOURCE_GROUP, f"w-{uuid.uuid4().hex[:8]}")
        client = rest_client.resource_manager()
        body = {"location": "westeurope", "properties": {}}
        client.operation("PUT", workspace.path, VERSION, what="workspace", body=body, wait_seconds=60)
        if kind == "kubernetes":
            body = {"properties": {"computeType": "Kubernetes", "provisioningState": "Succeeded"}}
            server.put(f"{workspace.path}/computes/k8s", body)
            file = root / "production" / "azure" / "prod" / "endpoint.yml"
            file.parent.mkdir(parents=True)
            file.write_text("compute: azureml:k8s\n")
        names = {"subscription": workspace.subscription, "resource_group": workspace.resource_group}
        keys = {**names, "workspace": workspace.name}
        (root / "production").mkdir(parents=True, exist_ok=True)
        section = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
        (root / "production" / "settings.toml").write_text(f"[azure]\n{section}\n{stage}")
        try:
            yield load(root, {})
        finally:
            for endpoint in list(online_endpoint.list_endpoints(client, workspace)):
                online_endpoint.delete_endpoint(client, workspace, endpoint.name)
