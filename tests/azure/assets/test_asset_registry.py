"""An Azure ML registry: a version is shared once, found again, and never replaced; what cannot be is refused."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, replace
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.assets import asset_registry, model_asset
from notebooks_lib.azure.assets.asset_registry import AssetRegistry
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.tags import Tag
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask, WithWorkspace

pytestmark = pytest.mark.tracking
GROUP = emulator.SCOPE.partition("/providers/")[0]
WAIT = 20.0


@dataclass(frozen=True)
class Sharing:
    """A workspace with a version of a model, and an empty registry."""

    client: RestClient
    workspace: Workspace
    registry: AssetRegistry

    def share(self, version: str = "3", *, wait_seconds: float = WAIT) -> asset_registry.SharedAsset:
        return asset_registry.share_asset(
            self.registry, self.client, self.workspace, "models", "houses", version, wait_seconds=wait_seconds
        )


@pytest.fixture
def sharing(with_workspace: WithWorkspace, empty_project: Any, ask: Ask) -> Sharing:
    name = f"shared-{uuid.uuid4().hex[:8]}"
    place = f"{MANAGEMENT}{GROUP}/providers/Microsoft.MachineLearningServices/registries/{name}?{VERSION}"
    assert ask("PUT", place, {"location": "westeurope", "properties": {"regionDetails": []}}).ok
    own, client = workspace.find_workspace(with_workspace(empty_project)), rest_client.resource_manager()
    model_asset.find_or_upload_model(client, own, "houses", "3", {"MLmodel": b"x", "data/a": b"1"}, "a" * 64)
    return Sharing(client, own, asset_registry.open_registry(name))


def test_a_version_is_shared_once_with_its_digest_and_its_files(sharing: Sharing, azure_server: Emulated) -> None:
    shared = sharing.share()
    assert shared.id == f"azureml://registries/{sharing.registry.name}/models/houses/versions/3"
    assert shared.labels[Tag.MODEL_SHA256] == "a" * 64
    began = azure_server.record.position()
    assert sharing.share() == shared
    assert asset_registry.find_by_id(shared.id) == shared
    assert {seen.method for seen in azure_server.record.since(began) if "/registries/" in seen.path} == {"GET"}
    assert asset_registry.registry_of(shared.id) == sharing.registry.name
    assert asset_registry.registry_of(f"{sharing.workspace.path}/models/houses/versions/3") == ""


def test_a_registry_says_where_it_can_be_used(ask: Ask, azure_workspace: Any) -> None:
    name = f"wide-{uuid.uuid4().hex[:8]}"
    place = f"{MANAGEMENT}{GROUP}/providers/Microsoft.MachineLearningServices/registries/{name}?{VERSION}"
    details = [{"location": region} for region in ("northeurope", "westeurope")]
    assert ask("PUT", place, {"location": "northeurope", "properties": {"regionDetails": details}}).ok
    found = asset_registry.open_registry(name.upper())
    assert (found.name, found.regions) == (name, ("northeurope", "westeurope"))
    assert found.client.base_url == "https://northeurope.api.azureml.ms/mferp/managementfrontend"


def test_a_registry_that_is_not_there_is_named_with_the_key(azure_workspace: Any) -> None:
    with pytest.raises(errors.AzureError, match=r"^no registry 'none-of-ours': .*; check registry under \[azure\], or"):
        asset_registry.open_registry("none-of-ours")


def test_who_may_not_use_the_registry_is_told_the_role(sharing: Sharing, azure_server: Emulated) -> None:
    role = rf"ask for the role AzureML Registry User on registry '{sharing.registry.name}'"
    with azure_server.fault("forbidden", path="/import$"), pytest.raises(errors.AzureError, match=role):
        sharing.share()
    with azure_server.fault("forbidden", path="/discovery$"), pytest.raises(errors.AzureError, match=role):
        asset_registry.open_registry(sharing.registry.name)


def test_what_the_registry_refuses_is_told_in_its_words(sharing: Sharing, azure_server: Emulated) -> None:
    with pytest.raises(errors.AzureError, match=r"^no the import of houses:9 into registry .*ResourceNotFound"):
        sharing.share("9")
    failing = azure_server.fault("operation_fails", path="/import$", code="CopyFailed", message="The copy failed.")
    with failing, pytest.raises(errors.AzureError, match="CopyFailed: The copy failed"):
        sharing.share()
    assert sharing.share().id


def test_an_import_that_never_ends_is_waited_for_in_a_bounded_time(sharing: Sharing, azure_server: Emulated) -> None:
    with (
        azure_server.fault("operation_never_ends", path="/import$"),
        pytest.raises(errors.AzureError, match=r"the import of houses:3 into registry .* is still InProgress after"),
    ):
        sharing.share(wait_seconds=0.3)


def test_a_lost_answer_shares_nothing_twice(sharing: Sharing, azure_server: Emulated) -> None:
    began = azure_server.record.position()
    with azure_server.fault("lost_answer", method="POST", path="/import$"):
        shared = sharing.share()
    assert shared.labels[Tag.MODEL_SHA256] == "a" * 64
    sent = [seen.status for seen in azure_server.record.since(began) if seen.path.endswith("/import")]
    assert sent[1:] == [409], "the second finds that the first is on its way"


def test_an_import_of_somebody_else_is_waited_for_and_never_replaced(sharing: Sharing) -> None:
    other = replace(sharing)
    with contextlib.suppress(errors.AzureError):
        other.share(wait_seconds=0)  # as one that was killed after the request
    assert sharing.share().labels[Tag.MODEL_SHA256] == "a" * 64


def test_a_registry_that_does_not_answer_is_told_within_its_limits(sharing: Sharing, azure_server: Emulated) -> None:
    with (
        azure_server.fault("cut", path="/mferp/", times=0),
        pytest.raises(errors.AzureError, match="Azure does not answer"),
    ):
        sharing.share()


@pytest.mark.proof  # the SDK alone takes ten seconds to import
@pytest.mark.filterwarnings("ignore")  # it warns about itself
def test_the_sdk_shares_by_the_same_requests_and_finds_what_was_shared(
    sharing: Sharing, azure_server: Emulated
) -> None:
    from azure.ai.ml import MLClient
    from azure.core.exceptions import ResourceExistsError
    from azure.identity import DefaultAzureCredential

    own, name = sharing.workspace, sharing.registry.name
    credential = DefaultAzureCredential()
    client = MLClient(credential, own.subscription, own.resource_group, own.name)
    model_asset.find_or_upload_model(sharing.client, own, "houses", "4", {"MLmodel": b"y"}, "b" * 64)
    began = azure_server.record.position()
    made = client.models.share("houses", "4", registry_name=name, share_with_name="houses", share_with_version="4")
    theirs = _sent(azure_server, began)
    assert made.id == f"azureml://registries/{name}/models/houses/versions/4"
    assert made.tags[Tag.MODEL_SHA256] == "b" * 64
    began = azure_server.record.position()
    assert sharing.share().id == f"azureml://registries/{name}/models/houses/versions/3"
    ours = _sent(azure_server, began)
    looks = ("/discovery 200", "/houses/versions 200")  # of the registry and, for evaluators alone, of all versions
    assert [line.replace("/4", "/3") for line in theirs if not line.endswith(looks)] == ours
    found = MLClient(credential, registry_name=name).models.get("houses", "3")
    assert found.tags[Tag.MODEL_SHA256] == "a" * 64
    with pytest.raises((ResourceExistsError, Exception), match="already exists"):
        client.models.share("houses", "4", registry_name=name, share_with_name="houses", share_with_version="4")


def _sent(server: Emulated, began: int) -> list[str]:
    """The requests to the registry without those that only look at an operation."""
    return [
        f"{seen.method} {seen.host}{seen.path} {seen.status}"
        for seen in server.record.since(began)
        if "/registries/" in seen.path
    ]
