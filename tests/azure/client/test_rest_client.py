"""Plain requests: signed in, page after page, to the end of a long operation, and each failure as one line."""

from __future__ import annotations

import time

import pytest
from azure.core.rest import HttpRequest

from notebooks_lib import errors
from notebooks_lib.azure.client import http_pipeline, rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from tests.azure import emulator
from tests.azure.emulator import Emulated, plain_server
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking

COMPUTES = f"{emulator.SCOPE}/computes"
VERSION = "2023-08-01-preview"
WHAT = "cluster 'cpu'"
BODY = {"location": "westeurope", "properties": {"computeType": "AmlCompute"}}


@pytest.fixture
def client(azure_workspace: AzureProject) -> RestClient:
    return rest_client.resource_manager()


def put(client: RestClient, name: str, wait_seconds: float = 30) -> object:
    return client.operation("PUT", f"{COMPUTES}/{name}", VERSION, what=WHAT, body=BODY, wait_seconds=wait_seconds)


def test_a_resource_is_read(client: RestClient) -> None:
    content = client.request("GET", emulator.SCOPE, "2024-10-01", what="workspace")

    assert content["properties"]["provisioningState"] == "Succeeded"


def test_what_is_not_there_is_told_with_the_next_step(client: RestClient) -> None:
    with pytest.raises(errors.AzureError, match="^no cluster 'cpu': ResourceNotFound: .*; make it$") as raised:
        client.request("GET", f"{COMPUTES}/none", VERSION, what=WHAT, if_missing="make it")
    assert (raised.value.status, raised.value.code, raised.value.step) == (404, "ResourceNotFound", "make it")


def test_a_list_is_read_page_after_page(client: RestClient, azure_server: Emulated) -> None:
    for name in "abcde":
        azure_server.put(f"{COMPUTES}-listed/{name}", {"properties": {}})

    assert [item["name"] for item in client.pages(f"{COMPUTES}-listed", VERSION, what="clusters")] == list("abcde")


def test_a_long_operation_is_waited_for(client: RestClient) -> None:
    made = put(client, "made")

    assert made["properties"]["provisioningState"] == "Succeeded"  # type: ignore[index]
    path = f"{COMPUTES}/made"
    assert client.operation("DELETE", path, VERSION, what=WHAT, wait_seconds=30) is None
    with pytest.raises(errors.AzureError, match="no cluster"):
        client.request("GET", path, VERSION, what=WHAT)


def test_deleting_what_is_gone_is_no_failure(client: RestClient) -> None:
    assert client.operation("DELETE", f"{COMPUTES}/gone", VERSION, what=WHAT, wait_seconds=30) is None


def test_a_long_operation_that_fails_says_why(client: RestClient, azure_server: Emulated) -> None:
    with (
        azure_server.fault("operation_fails", method="PUT", code="OutOfQuota", message="No cores are left."),
        pytest.raises(
            errors.AzureError, match=r"^cluster 'cpu' failed: OutOfQuota: No cores are left; ask for more quota"
        ),
    ):
        put(client, "failing")


def test_a_long_operation_that_does_not_end_is_left(client: RestClient, azure_server: Emulated) -> None:
    with (
        azure_server.fault("operation_never_ends", method="PUT"),
        pytest.raises(
            errors.AzureError, match=r"^cluster 'cpu' is still InProgress after 0.005 min; Azure goes on with it"
        ),
    ):
        put(client, "endless", wait_seconds=0.3)
    began = azure_server.record.position()
    client.request("GET", emulator.SCOPE, "2024-10-01", what="workspace")
    assert len(azure_server.record.since(began)) == 1  # nobody looks at the operation any more


def test_a_bad_moment_is_passed_over(client: RestClient, azure_server: Emulated) -> None:
    for fault in ({"kind": "server_error"}, {"kind": "cut"}, {"kind": "too_many_requests", "retry_after": 1}):
        with azure_server.fault(**fault, method="GET", host="management"):
            client.request("GET", emulator.SCOPE, "2024-10-01", what="workspace")


def test_a_long_wait_is_not_waited_for(client: RestClient, azure_server: Emulated) -> None:
    began = time.monotonic()
    with (
        azure_server.fault("too_many_requests", host="management", retry_after=3600),
        pytest.raises(
            errors.AzureError, match=r"^Azure takes no more requests for now, about workspace: .*; wait some minutes"
        ),
    ):
        client.request("GET", emulator.SCOPE, "2024-10-01", what="workspace")
    assert time.monotonic() - began < 5


def test_an_expired_token_is_told(client: RestClient, azure_server: Emulated) -> None:
    with (
        azure_server.fault("expired_token", host="management"),
        pytest.raises(
            errors.AzureError, match="^cannot sign in to Azure: ExpiredAuthenticationToken: .*; sign in again"
        ),
    ):
        client.request("GET", emulator.SCOPE, "2024-10-01", what="workspace")


def test_an_answer_that_is_not_json_is_told() -> None:
    with plain_server.running() as server:
        server.answers = [(200, b"<html>Sign in to the network of this hotel</html>")]
        answer = http_pipeline.pipeline(http_pipeline.USUAL).run(HttpRequest("GET", server.address))

    with pytest.raises(
        errors.AzureError, match="^the answer about workspace is not JSON, so it is not Azure's; check HTTPS"
    ):
        rest_client._json(answer, "workspace")
