"""The emulated endpoints hold to the service's rules of state, and really serve: each rule is broken by hand."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import online_deployment, online_endpoint
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import MANAGED, QuickEndpoint
from tests.azure.fixtures import WithWorkspace

pytestmark = [pytest.mark.tracking, pytest.mark.proof]  # they are about the emulator


@pytest.fixture
def quick(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    """An endpoint with slots blue (answers 2, all traffic) and green (answers 3)."""
    quick = QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))
    quick.deploy("blue", ANSWER="2")
    quick.deploy("green", ANSWER="3")
    quick.change(traffic={"blue": 100})
    return quick


@pytest.fixture
def bare(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    """An endpoint without slots."""
    return QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))


def refused(endpoint: QuickEndpoint, reason: str, **changes: dict[str, Any]) -> None:
    with pytest.raises(errors.AzureError, match=reason):
        endpoint.change(**changes)


def test_traffic_and_mirror_are_held_to_the_rules(quick: QuickEndpoint, azure_server: Emulated) -> None:
    refused(quick, "sums to 60, and must sum to 0 or 100", traffic={"blue": 60})
    refused(quick, "deployment red, which does not exist", traffic={"red": 100})
    noted = [seen.split for seen in azure_server.record.since() if seen.split and seen.path.endswith(quick.name)]
    slots = {"blue": "Succeeded", "green": "Succeeded"}
    assert noted[-2:] == [{"traffic": each, "mirror": {}, "slots": slots} for each in ({"blue": 60}, {"red": 100})]
    refused(quick, "At most 50 percent can be mirrored", mirror={"green": 51})
    refused(quick, "cannot have live and mirrored traffic", mirror={"blue": 10})
    refused(quick, "to one deployment", traffic={}, mirror={"blue": 10, "green": 10})
    with pytest.raises(errors.AzureError, match="crashed or terminated"):
        quick.deploy("broken", BROKEN="the weights are damaged")
    refused(quick, "deployment broken, which has not succeeded", traffic={"broken": 100})
    changed = quick.change(traffic={"blue": 90, "green": 10})
    assert (changed.traffic, changed.mirror) == ({"blue": 90, "green": 10}, {})
    for share in ({"traffic": {"blue": 100}, "mirror": {"green": 50}}, {"traffic": {"blue": 90, "green": 10}}):
        quick.change(**{"mirror": {}, **share})
        with pytest.raises(errors.AzureError, match="has traffic and cannot be deleted"):
            online_deployment.delete_deployment(*quick.at, "green")
    quick.change(traffic={}, mirror={})
    online_deployment.delete_deployment(*quick.at, "green")
    assert [each.name for each in online_deployment.list_deployments(*quick.at)] == ["blue", "broken"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "/models/gone"}, "/models/gone was not found"),
        ({"environment": "/environments/gone"}, "/environments/gone was not found"),
        ({"code": "/codes/gone"}, "/codes/gone was not found"),
        ({"instance_count": 43}, "Not enough quota available for Standard_DS2_v2: 86 cores and 20 %"),
        ({"type": "kubernetes"}, "compute type of the deployment is not that of its endpoint"),
        ({"name": "a_b"}, "3 to 32 letters"),
    ],
)
def test_a_deployment_needs_its_parts_its_quota_and_its_name(
    bare: QuickEndpoint, change: dict[str, Any], reason: str
) -> None:
    values = MANAGED | {key: value for key, value in change.items() if key in MANAGED}
    body = online_deployment.deployment_body("westeurope", values, bare.parts)
    for key, place in (("model", body["properties"]), ("environment", body["properties"])):
        if key in change:
            place[{"environment": "environmentId"}.get(key, key)] = change[key]
    if "code" in change:
        body["properties"]["codeConfiguration"]["codeId"] = change["code"]
    with pytest.raises(errors.AzureError, match=reason):
        online_deployment.create_deployment(*bare.at, change.get("name", "new"), body, wait_seconds=20)


def test_kubernetes_mirrors_nothing_and_needs_its_compute(
    with_workspace: WithWorkspace, empty_project: Any, azure_server: Emulated
) -> None:
    place = workspace.find_workspace(with_workspace(empty_project))
    with pytest.raises(errors.AzureError, match="compute .*/computes/k8s was not found"):
        QuickEndpoint.made(place, compute="azureml:k8s")
    azure_server.put(f"{place.path}/computes/k8s", {"properties": {"computeType": "Kubernetes"}})
    quick = QuickEndpoint.made(place, compute="azureml:k8s")
    values = {"type": "kubernetes", "instance_count": 1, "app_insights_enabled": False}
    for slot in ("blue", "green"):
        quick.deploy(slot, values, ANSWER="4")
    quick.change(traffic={"blue": 100})
    refused(quick, "Kubernetes endpoints cannot mirror traffic", mirror={"green": 10})
    assert quick.ask().content["predictions"] == [4]


def test_requests_go_by_traffic_by_name_and_as_copies(quick: QuickEndpoint) -> None:
    quick.change(traffic={"blue": 75, "green": 25})
    client = quick.scoring()
    answers = [client.ask(b"{}").content["predictions"][0] for _ in range(40)]
    assert answers.count(3) == pytest.approx(10, abs=2)
    quick.change(traffic={"blue": 100}, mirror={"green": 50})
    assert {client.ask(b"{}").content["predictions"][0] for _ in range(20)} == {2}
    assert client.ask(b"{}", slot="green").content["predictions"] == [3]
    assert client.ask(b"{}", slot="red").status == 404
    quick.change(traffic={})
    assert client.ask(b"{}").status == 404


def test_what_is_deleted_is_gone_with_all_below_it(quick: QuickEndpoint) -> None:
    client = quick.scoring()
    assert client.ask(b"{}").status == 200
    online_endpoint.delete_endpoint(*quick.at)
    assert online_endpoint.find_endpoint(*quick.at) is None
    with pytest.raises(errors.AzureError, match="no key of endpoint"):
        client.ask(b"{}")
    online_endpoint.delete_endpoint(*quick.at)


def test_a_name_that_azure_does_not_take_is_refused(bare: QuickEndpoint) -> None:
    body = online_endpoint.endpoint_body(bare.workspace, "westeurope", {}, {})
    with pytest.raises(errors.AzureError, match="3 to 32 letters, digits and -"):
        online_endpoint.create_endpoint(bare.client, bare.workspace, f"a_{uuid.uuid4().hex[:4]}", body)
