"""Every failure of Azure is one line with its cause and the next step; each stands here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.core.rest import HttpRequest

from notebooks_lib.azure.client import error_messages, http_pipeline
from notebooks_lib.azure.client.http_pipeline import HttpLimits
from tests.azure.emulator import plain_server
from tests.azure.emulator.plain_server import CUT, PlainServer

WHAT = "workspace 'w'"
FORBIDDEN = "The client 'c' does not have authorization to perform action '{}' over scope '/subscriptions/s'."
REFUSALS = [
    (
        401,
        "ExpiredAuthenticationToken",
        "The token has expired.",
        "cannot sign in to Azure: {}; sign in again: `az login`",
    ),
    (
        401,
        "InvalidAuthenticationTokenTenant",
        "The access token is from the wrong issuer.",
        "cannot sign in to Azure: {}; sign in to the tenant of the subscription: `az login --tenant TENANT`",
    ),
    (
        403,
        "AuthorizationFailed",
        FORBIDDEN.format("Microsoft.MachineLearningServices/workspaces/read"),
        "no permission for workspace 'w': {}; ask for the role AzureML Data Scientist; a new role takes some minutes to hold",
    ),
    (
        403,
        "AuthorizationFailed",
        FORBIDDEN.format("Microsoft.MachineLearningServices/workspaces/computes/write"),
        "no permission for workspace 'w': {}; ask for the role AzureML Compute Operator; a new role takes some minutes to"
        " hold",
    ),
    (
        403,
        "RequestDisallowedByPolicy",
        "Resource 'w' was disallowed by policy.",
        "no permission for workspace 'w': {}; ask who runs the subscription: a policy of your organisation forbids it",
    ),
    (404, "ResourceNotFound", "The Resource 'w' was not found.", "no workspace 'w': {}; check the three names"),
    (
        404,
        "ResourceGroupNotFound",
        "Resource group 'g' could not be found.",
        "no workspace 'w': {}; check the name of the resource group: `az group list`",
    ),
    (
        404,
        "SubscriptionNotFound",
        "The subscription 's' could not be found.",
        "no workspace 'w': {}; check its id, or sign in to its tenant: `az account list`, `az login --tenant TENANT`",
    ),
    (
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.Storage'.",
        "Azure refuses workspace 'w': {}; register it once: `az provider register --namespace Microsoft.Storage`",
    ),
    (
        400,
        "UserError",
        "A field is wrong.",
        "Azure refuses workspace 'w': {}; correct what the reason names, then do it again",
    ),
    (
        400,
        "OutOfQuota",
        "No cores are left.",
        "Azure refuses workspace 'w': {}; ask for more quota in the portal (Quotas), or take fewer or smaller machines",
    ),
    (
        429,
        "TooManyRequests",
        "Too many requests.",
        "Azure takes no more requests for now, about workspace 'w': {}; wait some minutes, then do it again",
    ),
    (
        503,
        "ServerBusy",
        "The server is busy.",
        "workspace 'w' failed: {}; do it again later; https://status.azure.com lists outages",
    ),
    (
        200,
        "ImageBuildFailure",
        "pip could not\nresolve.",
        "workspace 'w' failed: {}; correct what the reason names, then do it again",
    ),
]


@pytest.fixture
def server() -> Iterator[PlainServer]:
    with plain_server.running() as running:
        yield running


def line(server: PlainServer) -> str:
    """What is said of an answer."""
    answer = http_pipeline.send(HttpRequest("GET", server.address), HttpLimits(retries=0))
    return str(error_messages.describe(HttpResponseError(response=answer), WHAT, "check the three names"))


@pytest.mark.parametrize(("status", "code", "message", "expected"), REFUSALS, ids=[f"{r[0]} {r[1]}" for r in REFUSALS])
def test_a_refusal(status: int, code: str, message: str, expected: str, server: PlainServer) -> None:
    server.answers = [(status, {"error": {"code": code, "message": message}})]

    assert line(server) == expected.format(f"{code}: {' '.join(message.split()).rstrip('.')}")


def test_an_answer_that_is_not_azures(server: PlainServer) -> None:
    server.answers = [(502, b"<html>Bad gateway</html>")]

    assert line(server).startswith("workspace 'w' failed: 502 Bad Gateway; do it again later")


@pytest.mark.parametrize(
    ("variable", "address", "expected"),
    [
        ("", "https://127.0.0.1:9", "Azure does not answer at 127.0.0.1: .*Connection refused; check the network, and"),
        (
            "",
            "https://no-such-host.invalid",
            "Azure does not answer at no-such-host.invalid: .*; check the network, and",
        ),
        (
            "HTTPS_PROXY",
            "https://management.azure.com",
            "the proxy on the way to Azure does not answer: .*; check HTTPS_PROXY",
        ),
    ],
)
def test_no_network(variable: str, address: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(AzureError) as raised:
        http_pipeline.send(HttpRequest("GET", address), HttpLimits(retries=0))

    message = str(error_messages.describe(raised.value, WHAT))
    assert "\n" not in message
    assert re.match(expected, message), message
    assert "NBOPS_TRACKING_URI=sqlite" in message


def test_a_connection_that_is_cut(server: PlainServer) -> None:
    server.answers = [(CUT,)]
    with pytest.raises(AzureError) as raised:
        http_pipeline.send(HttpRequest("GET", server.address), HttpLimits(retries=0))

    assert str(error_messages.describe(raised.value, WHAT)).startswith("Azure does not answer: ")


RETRIES = "HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /c/b?sv=1&sig=SECRET (Caused by "
UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{RETRIES}SSLError(SSLCertVerificationError(1, '{UNTRUSTED}')))",
            f"Azure shows a certificate that this machine does not trust: {UNTRUSTED}; if a proxy",
        ),
        (
            f"{RETRIES}ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden')))",
            "the proxy on the way to Azure does not answer: Tunnel connection failed: 403 Forbidden; check",
        ),
        (
            "('Unable to connect to proxy', NewConnectionError(\"HTTPSConnection(host='p', port=9): Connection refused\"))",
            "the proxy on the way to Azure does not answer: Connection refused; check",
        ),
        (
            f"{RETRIES}something else)",
            "Azure does not answer at h: Max retries exceeded (Caused by something else); check",
        ),
    ],
)
def test_no_signature_and_no_rest_of_an_exception_stands_in_the_line(text: str, expected: str) -> None:
    assert str(error_messages.describe(ServiceRequestError(text), WHAT)).startswith(expected)


def test_a_subject_that_no_federated_credential_has_is_quoted() -> None:
    """New and renamed repositories have ids in their subject: the advice quotes it, so that the difference shows."""
    subject = "repo:owner@1/project@2:environment:azure-train"
    said = f"AADSTS700213: No matching federated identity record found for presented assertion subject '{subject}'."
    told = str(error_messages.sign_in_error([("GitHub's OIDC token", ClientAuthenticationError(said))]))
    assert told.endswith(f"; give the application a federated credential with the subject '{subject}'")


@pytest.mark.parametrize(
    ("action", "role"),
    [
        ("Microsoft.MachineLearningServices/workspaces/experiments/runs/write", "AzureML Data Scientist"),
        ("Microsoft.MachineLearningServices/workspaces/write", "Contributor"),
        ("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write", "Storage Blob Data Contributor"),
        ("Microsoft.Authorization/roleAssignments/write", "Role Based Access Control Administrator"),
        ("Microsoft.Resources/deployments/write", "Contributor"),
    ],
)
def test_the_role_that_an_action_needs(action: str, role: str) -> None:
    assert error_messages.role_for(action) == role
