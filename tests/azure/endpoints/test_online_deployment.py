"""Slots of an endpoint: the body that the SDK would send, a bound on the wait, and the logs of both containers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import isodate
import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import online_deployment
from notebooks_lib.azure.endpoints.online_deployment import DeployedParts
from notebooks_lib.azure.project_files import endpoint_file_kinds, file_loading
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import MANAGED, QuickEndpoint
from tests.azure.fixtures import WithWorkspace
from tests.azure.project_files.test_file_check import VALID
from tests.azure.request_shapes import misfits

pytestmark = pytest.mark.tracking
PLACE = Workspace("s", "g", "w").path
PARTS = DeployedParts(
    f"{PLACE}/models/houses/versions/3", f"{PLACE}/environments/e/versions/1", f"{PLACE}/codes/c/versions/1", {}, {}, {}
)


@pytest.mark.parametrize("name", ["deployment.yml", "test/deployment.yml", ""])
def test_the_body_is_what_the_sdk_would_send(name: str, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "endpoint.yml").write_text("compute: azureml:k8s\n")
    path = tmp_path / (name or "deployment.yml")
    values = {**endpoint_file_kinds.DEPLOYMENT.inherited(path), **(yaml.safe_load(VALID[name]) if name else {})}
    assert values["type"] == ("kubernetes" if name.startswith("test") else "managed")
    entity = file_loading.load("deployment", path, values, {"name": "blue", "endpoint_name": "houses"})
    from azure.ai.ml.entities import CodeConfiguration

    entity.model, entity.environment = PARTS.model, PARTS.environment  # as the SDK does when it sends the slot
    entity.code_configuration = CodeConfiguration(code=PARTS.code, scoring_script="score.py")
    entity.environment_variables = {key: str(value) for key, value in (entity.environment_variables or {}).items()}
    body = online_deployment.deployment_body("westeurope", values, PARTS)
    expected = entity._to_rest_object("westeurope").as_dict()
    assert body == expected
    assert misfits(body, "OnlineDeployment") == []


def test_variables_tags_and_collections_of_nbops_are_added() -> None:
    values = MANAGED | {"environment_variables": {"A": 1}, "tags": {"team": "x"}}
    values["data_collector"] = {"collections": {"model_inputs": {"enabled": "True"}, "other": {"enabled": "false"}}}
    parts = replace(PARTS, variables={"B": "2"}, tags={"nbops.slot.version": "3"}, collections={"model_inputs": "ID"})
    body = online_deployment.deployment_body("westeurope", values, parts)
    assert body["tags"] == {"team": "x", "nbops.slot.version": "3"}
    assert body["properties"]["environmentVariables"] == {"A": "1", "B": "2"}
    assert body["properties"]["dataCollector"]["collections"] == {
        "model_inputs": {"dataCollectionMode": "enabled", "dataId": "ID"},
        "other": {"dataCollectionMode": "disabled"},
    }


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1, 10, 59, 60, 61.5, 90, 3600, 3661, 86400, 90061, 180])
def test_durations_are_spelled_as_the_sdk_spells_them(seconds: float) -> None:
    assert online_deployment.duration(seconds) == isodate.duration_isoformat(timedelta(seconds=seconds))


@pytest.fixture
def quick(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    return QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))


def test_a_slot_is_made_listed_and_deleted_and_its_logs_can_be_read(quick: QuickEndpoint) -> None:
    quick.deploy("blue", ANSWER="2")
    (slot,) = online_deployment.list_deployments(*quick.at)
    assert (slot.name, slot.state, slot.model, slot.code) == ("blue", "Succeeded", quick.parts.model, quick.parts.code)
    assert online_deployment.container_log(*quick.at, "blue", "InferenceServer", 5) == ["loading ['model']"]
    assert online_deployment.container_log(*quick.at, "blue", "StorageInitializer", 5) == ["Downloaded the model."]
    online_deployment.delete_deployment(*quick.at, "blue")
    online_deployment.delete_deployment(*quick.at, "blue")
    assert list(online_deployment.list_deployments(*quick.at)) == []


def test_a_deployment_that_never_ends_is_waited_for_no_longer_than_asked(
    quick: QuickEndpoint, azure_server: Emulated
) -> None:
    body = online_deployment.deployment_body("westeurope", MANAGED, quick.parts)
    with (
        azure_server.fault("operation_never_ends", method="PUT", path="/deployments/"),
        pytest.raises(errors.AzureError, match=r"slot blue of endpoint quick-\w+ is still InProgress after 0.0167 min"),
    ):
        online_deployment.create_deployment(*quick.at, "blue", body, wait_seconds=1)
