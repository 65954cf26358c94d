"""A project whose prod stage has its endpoints in a workspace of the emulator, managed or on Kubernetes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.settings import Settings, load
from tests.azure import emulator
from tests.azure.emulator import Emulated

STAGE = '[stages.prod]\nendpoint = "azureml:"\n'
ELSEWHERE = '[stages.prod]\nendpoint = "azureml:"\nworkspace = "OTHER"\n'
"""A stage in another workspace: for OTHER a name is put in."""
VERSION = "2024-10-01"


def make_workspace(client: RestClient, name: str) -> Workspace:
    """Make a workspace in the emulated resource group, in which nothing is yet."""
    workspace = Workspace(emulator.SUBSCRIPTION, emulator.RESOURCE_GROUP, name)
    body = {"location": "westeurope", "properties": {}}
    client.operation("PUT", workspace.path, VERSION, what="workspace", body=body, wait_seconds=60)
    return workspace


def make_registry(client: RestClient, name: str) -> str:
    """Make an empty Azure ML registry and return its name."""
    scope = f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{emulator.RESOURCE_GROUP}"
    path = f"{scope}/providers/Microsoft.MachineLearningServices/registries/{name}"
    body = {"location": "westeurope", "properties": {"regionDetails": [{"location": "westeurope"}]}}
    client.operation("PUT", path, VERSION, what="registry", body=body, wait_seconds=60)
    return name


@contextmanager
def azure_project(server: Emulated, root: Path, kind: str = "managed", stage: str = STAGE) -> Iterator[Settings]:
    """A project with a workspace of its own; within the block this process reaches it. Endpoints are gone afterwards.

    The runs of the project are kept on this machine. A `stage` that names the workspace OTHER has one, and a registry.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "NO_PROXY"):
            patch.delenv(name.lower(), raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        client, own = rest_client.resource_manager(), uuid.uuid4().hex[:8]
        workspace = make_workspace(client, f"w-{own}")
        used = [workspace]
        if kind == "kubernetes":
            body = {"properties": {"computeType": "Kubernetes", "provisioningState": "Succeeded"}}
            server.put(f"{workspace.path}/computes/k8s", body)
            file = root / "production" / "azure" / "prod" / "endpoint.yml"
            file.parent.mkdir(parents=True)
            file.write_text("compute: azureml:k8s\n")
        names = {"subscription": workspace.subscription, "resource_group": workspace.resource_group}
        keys = {**names, "workspace": workspace.name}
        (root / "production").mkdir(parents=True, exist_ok=True)
        if "OTHER" in stage:
            used.append(make_workspace(client, f"o-{own}"))
            keys["registry"] = make_registry(client, f"shared-{own}")
        section = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
        stage = stage.replace("OTHER", used[-1].name)
        (root / "production" / "settings.toml").write_text(f"[azure]\n{section}\n{stage}")
        try:
            yield load(root, {})
        finally:
            for place in used:
                for endpoint in list(online_endpoint.list_endpoints(client, place)):
                    online_endpoint.delete_endpoint(client, place, endpoint.name)
