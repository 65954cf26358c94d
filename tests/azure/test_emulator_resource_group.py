"""What the emulator refuses of the resources that a template declares, as Azure does, and what it makes with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.azure import emulator
from tests.azure.fixtures import MANAGEMENT, VERSION, Ask

pytestmark = pytest.mark.tracking

Send = Callable[..., requests.Response]
ACCOUNT = "Microsoft.Storage/storageAccounts/store"
VAULT = "Microsoft.KeyVault/vaults/kv"
WHO = {"principalId": str(uuid.uuid4()), "roleDefinitionId": "reader"}
DAYS = "softDeleteRetentionInDays"


@pytest.fixture
def group() -> str:
    return f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/g-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def send(azure_workspace: object, ask: Ask, group: str) -> Send:
    """Send a request about a resource in an empty group."""

    def send(method: str, path: str, location: str = "westeurope", **properties: Any) -> requests.Response:
        body = {"location": location, "properties": properties}
        return ask(method, f"{MANAGEMENT}{group}/providers/{path}?{VERSION}", body)

    return send


def code(answer: requests.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_a_deleted_vault_comes_back_in_its_region_with_its_days_and_not_otherwise(send: Send) -> None:
    assert send("PUT", VAULT, enablePurgeProtection=True, **{DAYS: 7}).ok
    refused = send("PUT", VAULT, **{DAYS: 90})
    assert (code(refused), DAYS in refused.text) == ("BadRequest", True)
    assert send("DELETE", VAULT).ok
    assert code(send("PUT", VAULT)) == "ConflictError"
    assert code(send("PUT", VAULT, "northeurope", createMode="recover")) == "VaultNotFound"
    assert code(send("PUT", VAULT, createMode="recover", **{DAYS: 90})) == "BadRequest"
    assert send("PUT", VAULT, createMode="recover").json()["properties"][DAYS] == 7


def test_a_role_is_given_once_and_to_the_id_of_somebody(send: Send) -> None:
    roles = f"{ACCOUNT}/providers/Microsoft.Authorization/roleAssignments"
    assert code(send("PUT", f"{roles}/1", principalId="ada@example.com")) == "InvalidRequestContent"
    assert send("PUT", f"{roles}/1", **WHO).ok
    assert code(send("PUT", f"{roles}/2", **WHO)) == "RoleAssignmentExists"


def test_a_source_has_one_topic_which_a_subscription_makes_or_takes(send: Send, group: str) -> None:
    source = f"{group}/providers/{ACCOUNT}"
    subscriptions, topics = (
        f"{ACCOUNT}/providers/Microsoft.EventGrid/eventSubscriptions",
        "Microsoft.EventGrid/systemTopics",
    )
    assert send("PUT", f"{subscriptions}/one").ok
    assert send("PUT", f"{subscriptions}/two").ok
    (topic,) = send("GET", topics).json()["value"]
    assert (topic["properties"]["source"], topic.get("tags")) == (source, None)
    assert code(send("PUT", f"{topics}/mine", source=source.upper())) == "InvalidRequest"


def test_a_lock_keeps_what_it_is_on_and_what_holds_it(send: Send, group: str) -> None:
    locks = "providers/Microsoft.Authorization/locks"
    assert send("PUT", ACCOUNT).ok
    assert send("PUT", VAULT).ok
    assert send("PUT", f"{ACCOUNT}/blobServices/default").ok
    assert send("PUT", f"{ACCOUNT}/blobServices/default/{locks}/keep", level="CanNotDelete").ok
    for kept in (ACCOUNT, f"{ACCOUNT}/blobServices/default"):
        assert code(send("DELETE", kept)) == "ScopeLocked"
    assert send("DELETE", VAULT).ok
    assert [each["name"] for each in send("GET", "Microsoft.Authorization/locks").json()["value"]] == ["keep"]


def test_a_workspace_that_is_only_deleted_keeps_its_name(send: Send) -> None:
    path = "Microsoft.MachineLearningServices/workspaces/w"
    assert send("PUT", path).ok
    assert send("DELETE", path).status_code == 202
    refused = send("PUT", path)
    assert (code(refused), "Soft-deleted workspace exists" in refused.text) == ("BadRequest", True)
