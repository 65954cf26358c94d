"""An endpoint with slots that start in a moment: their score.py answers what its variables say."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

from notebooks_lib.azure.assets import code_asset, model_asset
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_deployment, online_endpoint
from notebooks_lib.azure.endpoints.online_deployment import DeployedParts
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.endpoints.scoring_client import ScoringAnswer, ScoringClient

SCRIPT = b"""
import json, os
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    print("loading", os.listdir(os.environ["AZUREML_MODEL_DIR"]), flush=True)
    if os.environ.get("BROKEN"):
        raise ValueError(os.environ["BROKEN"])

@rawhttp
def run(request):
    asked = json.loads(request.stream.read() or b"{}")
    body = {"predictions": [int(os.environ.get("ANSWER", 0))], "slot": request.headers.get("azureml-model-deployment")}
    body |= {"id": request.headers.get("x-ms-client-request-id")}
    return AMLResponse(json.dumps(body).encode(), asked.get("status", 200), {})
"""
MANAGED: dict[str, Any] = {
    "type": "managed",
    "instance_type": "Standard_DS2_v2",
    "instance_count": 1,
    "app_insights_enabled": True,
}
WAIT = 60.0


@dataclass(frozen=True)
class QuickEndpoint:
    """An endpoint in the workspace of a test."""

    client: RestClient
    workspace: Workspace
    name: str
    parts: DeployedParts

    @classmethod
    def made(cls, workspace: Workspace, **values: Any) -> QuickEndpoint:
        """Make an endpoint, and the parts of its slots."""
        client, name = rest_client.resource_manager(), f"quick-{uuid.uuid4().hex[:8]}"
        code = code_asset.find_or_upload_snapshot(client, workspace, Snapshot({"score.py": SCRIPT}))
        model = model_asset.find_or_upload_model(client, workspace, "houses", "1", {"MLmodel": b"{}"}, "0" * 64)
        path = f"{workspace.path}/environments/scoring/versions/1"
        client.request("PUT", path, "1", what="environment", body={"properties": {"image": "i"}})
        body = online_endpoint.endpoint_body(workspace, "westeurope", values, {"nbops.endpoint.model": "houses"})
        online_endpoint.create_endpoint(client, workspace, name, body)
        return cls(client, workspace, name, DeployedParts(model, path, code, {}, {}, {}))

    @property
    def at(self) -> tuple[RestClient, Workspace, str]:
        return self.client, self.workspace, self.name

    def find(self) -> OnlineEndpoint:
        found = online_endpoint.find_endpoint(*self.at)
        assert found is not None
        return found

    def deploy(self, slot: str, values: dict[str, Any] | None = None, **variables: str) -> None:
        body = online_deployment.deployment_body(
            "westeurope", values or MANAGED, replace(self.parts, variables=variables)
        )
        online_deployment.create_deployment(*self.at, slot, body, wait_seconds=WAIT)

    def change(self, **changes: dict[str, Any]) -> OnlineEndpoint:
        return online_endpoint.change_endpoint(self.client, self.workspace, self.find(), **changes)

    def scoring(self) -> ScoringClient:
        endpoint = self.find()
        secret = lambda: online_endpoint.read_secret(self.client, self.workspace, endpoint)  # noqa: E731
        return ScoringClient(endpoint.scoring_uri, endpoint.auth_mode, secret)

    def ask(self, slot: str | None = None, **asked: Any) -> ScoringAnswer:
        return self.scoring().ask(json.dumps(asked).encode(), slot=slot)
