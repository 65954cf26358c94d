"""Hosts come from the cloud in force: one of three that are known, or one that is described at an address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds
from tests.azure.emulator import plain_server
from tests.azure.emulator.plain_server import PlainServer

STACK = {
    "name": "Stack",
    "portal": "https://portal.azure.stack.example/",
    "resourceManager": "https://management.stack.example/",
    "authentication": {"loginEndpoint": "https://login.stack.example/"},
    "suffixes": {"storage": "stack.example"},
}


@pytest.fixture
def description(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainServer]:
    with plain_server.running() as server:
        monkeypatch.setenv("ARM_CLOUD_METADATA_URL", f"{server.address}/metadata")
        yield server


def test_the_three_clouds_have_the_hosts_that_the_sdk_knows() -> None:
    from azure.core import AzureClouds
    from azure.identity import AzureAuthorityHosts
    from azure.mgmt.core.tools import get_arm_endpoints

    hosts = {
        "AzureCloud": (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
        "AzureUSGovernment": (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
        "AzureChinaCloud": (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
    }
    assert hosts.keys() == clouds.CLOUDS.keys()
    for name, (setting, login) in hosts.items():
        cloud = clouds.CLOUDS[name]
        assert get_arm_endpoints(setting)["resource_manager"] == f"{cloud.resource_manager}/"
        assert cloud.login == f"https://{login}"


@pytest.mark.proof  # the SDK takes ten seconds to import
@pytest.mark.filterwarnings("ignore")  # it warns about itself
def test_registries_are_looked_up_where_the_sdk_looks() -> None:
    from azure.ai.ml import _azure_environments as sdk

    hosts = {name: cloud["registry_discovery_endpoint"].rstrip("/") for name, cloud in sdk._environments.items()}
    assert hosts == {name: cloud.discovery for name, cloud in clouds.CLOUDS.items()}
    described = sdk._get_registry_discovery_url({"name": "Stack"}, "stack.example").rstrip("/")
    assert described == "https://stackwest.api.ml.azure.stack.example"


@pytest.mark.parametrize("name", clouds.CLOUDS)
def test_the_variable_names_the_cloud(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", name)

    assert clouds.current().name == name


def test_it_is_the_public_one_unless_somebody_says_otherwise() -> None:
    assert clouds.current().name == "AzureCloud"


def test_an_unknown_cloud_is_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureUSGov")

    with pytest.raises(errors.SettingsError, match=r"unknown cloud 'AzureUSGov', did you mean 'AzureUSGovernment'\?"):
        clouds.current()


@pytest.mark.parametrize("content", [STACK, [STACK], [STACK | {"name": "Other"}, STACK]])
def test_a_described_cloud_is_read_once(
    content: object, description: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    description.answers = [(200, content)]
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "Stack")

    assert clouds.current() == clouds.Cloud(
        "Stack",
        "https://management.stack.example",
        "https://login.stack.example",
        "https://ml.azure.stack.example",
        "stack.example",
        "https://stackwest.api.ml.azure.stack.example",
    )
    assert clouds.current().scope == "https://management.stack.example/.default"
    assert description.seen == ["GET /metadata"]


def test_one_of_several_described_clouds_must_be_named(description: PlainServer) -> None:
    description.answers = [(200, [STACK, STACK | {"name": "Other"}])]

    with pytest.raises(errors.SettingsError, match="describes Stack, Other: name one of them in AZUREML_CURRENT_CLOUD"):
        clouds.current()


@pytest.mark.parametrize("answer", [(404,), (200, b"<html>"), (200, {"name": "Stack"}), (200, ["Stack"])])
def test_what_describes_no_cloud_is_told(answer: tuple[object, ...], description: PlainServer) -> None:
    description.answers = [answer]

    with pytest.raises(errors.AzureError, match="does not describe an Azure cloud .*; correct it, or unset it"):
        clouds.current()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "AzureCloud"),
        ({"AZUREML_CURRENT_CLOUD": "AzureChinaCloud"}, "AzureChinaCloud"),
        ({"ARM_CLOUD_METADATA_URL": "https://example.test"}, None),
    ],
)
def test_the_plugin_is_told_the_cloud_unless_somebody_said_it(given: dict[str, str], expected: str | None) -> None:
    environ = dict(given)
    clouds.set_azure_cloud(environ)

    assert environ.get("AZUREML_CURRENT_CLOUD") == expected
