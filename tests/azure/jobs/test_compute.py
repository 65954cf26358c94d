"""Computes: used, made from a file, changed where they differ, refused where they cannot be."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import compute
from notebooks_lib.azure.jobs.compute import find_or_create_compute
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

FILE = "type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: 2\nidle_time_before_scale_down: 120\n"


def written(root: Path, text: str = FILE, name: str = "") -> str:
    name = name or f"c{uuid.uuid4().hex[:10]}"
    folder = root / "production" / "azure" / "compute"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yml").write_text(text)
    return name


def found(project: AzureProject, name: str, **options: object) -> tuple[str, list[str]]:
    lines: list[str] = []
    place = workspace.find_workspace(project.settings)
    client = rest_client.resource_manager()
    options = {"tell": lines.append} | options
    return find_or_create_compute(client, place, name, project.settings.root, {}, **options), lines  # type: ignore[arg-type]


def test_what_differs_is_told_without_regard_to_spelling() -> None:
    own = {
        "vmSize": "STANDARD_DS3_V2",
        "vmPriority": "LowPriority",
        "scaleSettings": {"maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT2M"},
    }
    there = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "properties": own}}
    same = {
        "type": "amlcompute",
        "size": "standard_ds3_v2",
        "tier": "low_priority",
        "location": "West Europe",
        "max_instances": 4,
        "idle_time_before_scale_down": 120,
    }

    place = Workspace("s", "g", "w")
    assert list(compute.differences(same, there, place)) == []
    changes = {
        "size": "Standard_DS4_v2",
        "max_instances": 5,
        "idle_time_before_scale_down": 60,
        "identity": {"type": "system_assigned"},
    }
    differing = {
        each.key: (each.wanted, each.current, each.changeable)
        for each in compute.differences(same | changes, there, place)
    }
    assert differing == {
        "size": ("Standard_DS4_v2", "STANDARD_DS3_V2", False),
        "max_instances": (5, 4, True),
        "idle_time_before_scale_down": (60, 120, True),
        "identity": ("system_assigned", "none", True),
    }


NETWORKS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks"
IDENTITIES = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.mark.parametrize(
    ("values", "key", "wanted", "current"),
    [
        (
            {"network_settings": {"vnet_name": "v", "subnet": "b"}},
            "network_settings.subnet",
            f"{NETWORKS}/v/subnets/b",
            f"{NETWORKS}/V/subnets/a",
        ),
        ({"enable_node_public_ip": True}, "enable_node_public_ip", "true", "false"),
        ({"ssh_public_access_enabled": True}, "ssh_public_access_enabled", "true", "false"),
        ({"ssh_settings": {"admin_username": "you"}}, "ssh_settings.admin_username", "you", "me"),
        (
            {"identity": {"type": "user_assigned", "user_assigned_identities": [{"resource_id": f"{IDENTITIES}/i-1"}]}},
            "identity",
            f"user_assigned {IDENTITIES}/i-1",
            f"user_assigned {IDENTITIES}/i_1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_network_ssh_and_the_very_identity_are_compared(
    values: dict[str, object], key: str, wanted: str, current: str
) -> None:
    own = {
        "subnet": {"id": f"{NETWORKS}/V/subnets/a"},
        "enableNodePublicIp": False,
        "remoteLoginPortPublicAccess": "Disabled",
        "userAccountCredentials": {"adminUserName": "me"},
    }
    there = {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {f"{IDENTITIES}/i_1": {"clientId": "c"}}},
        "properties": {"computeType": "AmlCompute", "properties": own},
    }
    same = {
        "network_settings": {"vnet_name": "v", "subnet": "a"},
        "enable_node_public_ip": False,
        "ssh_public_access_enabled": False,
        "ssh_settings": {"admin_username": "me", "admin_password": "Azure does not answer it"},
        "identity": {"type": "user_assigned", "user_assigned_identities": [{"resource_id": f"{IDENTITIES}/I_1"}]},
    }
    place = Workspace("s", "g", "w")
    assert list(compute.differences(same, there, place)) == []
    (differing,) = compute.differences(same | values, there, place)
    assert (differing.key, differing.wanted, differing.current) == (key, wanted, current)
    assert differing.changeable == (key == "identity")


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_a_cluster_is_made_in_its_subnet_and_not_used_outside_of_it(azure_workspace: AzureProject, ask: Ask) -> None:
    root = azure_workspace.settings.root
    name = written(root, f"{FILE}network_settings: {{vnet_name: v, subnet: a}}\n")
    found(azure_workspace, name)
    group = emulator.SCOPE.partition("/providers/")[0]
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/v/subnets/a"
    assert ask("GET", f"computes/{name}").json()["properties"]["properties"]["subnet"] == {"id": subnet}
    assert found(azure_workspace, name)[1] == []

    outside = written(root)
    found(azure_workspace, outside)
    written(root, f"{FILE}network_settings: {{vnet_name: v, subnet: a}}\n", outside)
    with pytest.raises(
        errors.UsageError, match=f"network_settings.subnet is none, the file says {subnet}, which Azure"
    ):
        found(azure_workspace, outside)


@pytest.mark.tracking
def test_serverless_needs_nothing(azure_workspace: AzureProject, azure_server: Emulated) -> None:
    began = azure_server.record.position()

    assert found(azure_workspace, "serverless") == ("", [])
    assert azure_server.record.since(began) == []


@pytest.mark.tracking
def test_an_unknown_one_names_those_that_are_there_and_the_files(azure_workspace: AzureProject, ask: Ask) -> None:
    there, file = f"t{uuid.uuid4().hex[:8]}", written(azure_workspace.settings.root)
    ask("PUT", f"computes/{there}", {"location": "westeurope", "properties": {"computeType": "AmlCompute"}})

    with pytest.raises(errors.UsageError) as refused:
        found(azure_workspace, f"{there}x")
    text = str(refused.value)
    assert f"did you mean azureml:{there}?" in text
    assert f"files that one can be made from: {file};" in text
    assert text.endswith(f"to have it made, write production/azure/compute/{there}x.yml")


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_it_is_made_from_its_file_used_changed_and_never_made_another(azure_workspace: AzureProject, ask: Ask) -> None:
    root = azure_workspace.settings.root
    name = written(root)
    made, lines = found(azure_workspace, name)
    assert made == f"{emulator.SCOPE}/computes/{name}"
    assert lines[0] == f"compute {name}: making it from production/azure/compute/{name}.yml"
    assert lines[1].startswith(f"compute {name}: InProgress, ")
    assert ask("GET", f"computes/{name}").json()["location"] == "westeurope"
    assert found(azure_workspace, name) == (made, [])

    written(root, FILE.replace("max_instances: 2", "max_instances: 3"), name)
    assert found(azure_workspace, name)[1][0] == f"compute {name}: changing max_instances from 2 to 3"
    scale = ask("GET", f"computes/{name}").json()["properties"]["properties"]["scaleSettings"]
    assert scale["maxNodeCount"] == 3

    written(root, f"{FILE.replace('DS3', 'DS4')}tier: low_priority\n", name)
    with pytest.raises(errors.UsageError) as refused:
        found(azure_workspace, name)
    assert (
        "size is STANDARD_DS3_V2, the file says Standard_DS4_v2 and tier is Dedicated, the file says low_priority"
        in str(refused.value)
    )


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_a_change_keeps_what_the_file_leaves_out(azure_workspace: AzureProject, ask: Ask) -> None:
    name, subnet = f"t{uuid.uuid4().hex[:8]}", f"{emulator.SCOPE}/virtualNetworks/v/subnets/s"
    own = {
        "vmSize": "STANDARD_DS3_V2",
        "scaleSettings": {"minNodeCount": 1, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT5M"},
        "subnet": {"id": subnet},
        "enableNodePublicIp": False,
        "osType": "Windows",
        "currentNodeCount": 1,
    }
    identity = {"type": "UserAssigned", "userAssignedIdentities": {"/ids/a": {"clientId": "c"}}, "tenantId": "t"}
    properties = {"computeType": "AmlCompute", "description": "nightly", "properties": own}
    document = {"location": "westeurope", "tags": {"team": "a"}, "identity": identity, "properties": properties}
    ask("PUT", f"computes/{name}", document)
    written(azure_workspace.settings.root, "type: amlcompute\nmax_instances: 5\nsize: Standard_DS3_v2\n", name)

    assert found(azure_workspace, name)[1][0] == f"compute {name}: changing max_instances from 4 to 5"
    changed = ask("GET", f"computes/{name}").json()
    assert (changed["tags"], changed["properties"]["description"]) == ({"team": "a"}, "nightly")
    assert changed["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {"/ids/a": {}}}
    new = changed["properties"]["properties"]
    assert new["scaleSettings"] == {**own["scaleSettings"], "maxNodeCount": 5}  # type: ignore[dict-item]
    assert (new["subnet"], new["enableNodePublicIp"], new["osType"]) == ({"id": subnet}, False, "Windows")
    assert "currentNodeCount" not in new


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_of_two_that_make_one_at_once_both_use_it(
    azure_workspace: AzureProject, azure_server: Emulated, ask: Ask
) -> None:
    name, made = written(azure_workspace.settings.root), list[object]()

    def meanwhile(line: str) -> None:
        if "making it" in line:
            own = {"vmSize": "STANDARD_DS3_V2", "scaleSettings": {"maxNodeCount": 2}}
            properties = {"computeType": "AmlCompute", "properties": own}
            made.append(ask("PUT", f"computes/{name}", {"location": "westeurope", "properties": properties}).ok)

    with azure_server.fault("forbidden", method="PUT", path="/computes/", skip=1):
        there, _ = found(azure_workspace, name, tell=meanwhile, poll=0.01)
    assert (there.endswith(f"/computes/{name}"), made) == (True, [True])


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_quota_and_a_wait_that_is_too_long_are_one_line_each(
    azure_workspace: AzureProject, azure_server: Emulated
) -> None:
    root = azure_workspace.settings.root
    large = written(root, FILE.replace("max_instances: 2", "max_instances: 90"))
    with pytest.raises(errors.AzureError, match=r"QuotaExceeded: .* ask for more quota in the portal"):
        found(azure_workspace, large)
    with (
        azure_server.fault("operation_never_ends", path="/computes/"),
        pytest.raises(errors.AzureError, match="is still InProgress"),
    ):
        found(azure_workspace, written(root), wait_seconds=0.2)


@pytest.mark.tracking
def test_one_that_somebody_makes_just_now_is_waited_for(azure_workspace: AzureProject, ask: Ask) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    ask("PUT", f"computes/{name}", {"location": "westeurope", "properties": {"computeType": "AmlCompute"}})
    assert ask("GET", f"computes/{name}").json()["properties"]["provisioningState"] == "Creating"

    assert found(azure_workspace, name, poll=0.01)[0].endswith(f"/computes/{name}")


@pytest.mark.tracking
@pytest.mark.filterwarnings("ignore")
def test_one_that_could_not_be_made_is_made_again(
    azure_workspace: AzureProject, azure_server: Emulated, ask: Ask
) -> None:
    name = written(azure_workspace.settings.root)
    with (
        azure_server.fault("operation_fails", path="/computes/", code="OutOfQuota", message="no cores"),
        pytest.raises(errors.AzureError, match=r"OutOfQuota: no cores; ask for more quota"),
    ):
        found(azure_workspace, name)
    assert ask("GET", f"computes/{name}").json()["properties"]["provisioningState"] == "Failed"

    assert found(azure_workspace, name)[1][0].startswith(f"compute {name}: making it from")


def test_a_cluster_says_how_many_machines_it_may_have(azure_workspace: AzureProject, ask: Ask) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    machines = {}
    for kind, own in {
        "AmlCompute": {"scaleSettings": {"maxNodeCount": 6}},
        "VirtualMachine": {},
        "Kubernetes": {},
    }.items():
        name = f"c{uuid.uuid4().hex[:8]}"
        ask("PUT", f"computes/{name}", {"location": "w", "properties": {"computeType": kind, "properties": own}})
        machines[kind] = compute.most_machines(client, place, name)
    assert machines == {"AmlCompute": 6, "VirtualMachine": 1, "Kubernetes": None}
    assert compute.most_machines(client, place, "serverless") is None
