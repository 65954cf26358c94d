"""The one credential for every request to Azure. It never opens a browser and never asks for a device code."""

from __future__ import annotations

import base64
import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from azure import identity
from azure.core.credentials import AccessToken, AccessTokenInfo, SupportsTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from azure.core.rest import HttpRequest

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, error_messages, http_pipeline

RENEWAL = 300
"""Seconds before its end in which a token is renewed."""
_AUDIENCE = "api://AzureADTokenExchange"
_VARIABLES = ("AZURE", "ACTIONS_ID_TOKEN_", "SYSTEM_", "IDENTITY_", "MSI_", "IMDS_", "ARM_CLOUD_", "PATH")
"""How the names of variables begin that decide how to sign in."""


@dataclass
class SignInMethod:
    """One way to sign in, and how it went when it was last tried."""

    name: str
    make: Callable[[], SupportsTokenInfo]
    problem: Exception | None = None

    @functools.cached_property
    def _credential(self) -> SupportsTokenInfo:
        return self.make()

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token, or raise what the method raises and remember it."""
        try:
            return self._credential.get_token_info(*scopes, options=options or {})
        except Exception as error:
            self.problem = error
            raise


class Credential:
    """The first way to sign in that works here, in the order of `methods`; once one has worked, only that one.

    Tokens are kept until shortly before they end: MLflow's plugin asks for one with each request, and the Azure CLI
    takes up to a second for each.
    """

    def __init__(self, methods: Sequence[SignInMethod]) -> None:
        self.methods = tuple(methods)
        self.method: SignInMethod | None = None
        """The method that worked; None before the first token."""
        self._tokens: dict[tuple[object, ...], AccessTokenInfo] = {}
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for `scopes`, in the older form that some clients expect."""
        token = self.get_token_info(*scopes, options={key: value for key, value in options.items() if value})  # type: ignore[arg-type]
        return AccessToken(token.token, token.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token for `scopes`. Raises AzureError, with the next step, when no method gives one."""
        key = (scopes, *sorted((options or {}).items()))
        with self._lock:
            token = self._tokens.get(key)
            if token is None or token.expires_on - time.time() < RENEWAL or (options or {}).get("claims"):
                token = self._tokens[key] = self._request(scopes, options)
            return token

    def _request(self, scopes: tuple[str, ...], options: TokenRequestOptions | None) -> AccessTokenInfo:
        methods = [self.method] if self.method else self.methods
        for method in methods:
            method.problem = None
        with error_messages.quiet_logs():
            try:
                token = identity.ChainedTokenCredential(*methods).get_token_info(*scopes, options=options or {})
            except ClientAuthenticationError as error:
                raise error_messages.sign_in_error([(method.name, method.problem) for method in methods]) from error
        self.method = next(method for method in methods if method.problem is None)
        return token


def credential() -> Credential:
    """Return the credential of this process: the same one until a variable that decides how to sign in changes."""
    return _shared(tuple(sorted((name, os.environ[name]) for name in os.environ if name.startswith(_VARIABLES))))


@functools.lru_cache(maxsize=1)
def _shared(_variables: tuple[tuple[str, str], ...]) -> Credential:
    return Credential(list(_methods()))


def _methods() -> Iterator[SignInMethod]:
    """Yield the ways to sign in that the environment offers, in the order in which they are tried."""
    authority = os.environ.get("AZURE_AUTHORITY_HOST") or clouds.current().login
    options: dict[str, Any] = {"authority": authority, **http_pipeline.USUAL.options}
    client, tenant = os.environ.get("AZURE_CLIENT_ID", ""), os.environ.get("AZURE_TENANT_ID", "")
    if client and tenant and _all_set("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        yield SignInMethod(
            "GitHub's OIDC token",
            lambda: identity.ClientAssertionCredential(tenant, client, _github_token, **options),
        )
    service = {name: _of_service_connection(name) for name in ("CLIENT_ID", "TENANT_ID", "SERVICE_CONNECTION_ID")}
    if all(service.values()) and _all_set("SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"):
        yield SignInMethod(
            "Azure Pipelines' OIDC token",
            lambda: identity.AzurePipelinesCredential(
                tenant_id=service["TENANT_ID"],
                client_id=service["CLIENT_ID"],
                service_connection_id=service["SERVICE_CONNECTION_ID"],
                system_access_token=os.environ["SYSTEM_ACCESSTOKEN"],
                **options,
            ),
        )
    if (
        client
        and tenant
        and any(map(_all_set, ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_PASSWORD")))
    ):
        yield SignInMethod("AZURE_* variables", lambda: identity.EnvironmentCredential(**options))
    if client and tenant and _all_set("AZURE_FEDERATED_TOKEN_FILE"):
        yield SignInMethod("workload identity", lambda: identity.WorkloadIdentityCredential(**options))
    # On a compute of Azure ML, the second variable names its identity, and nothing is given out without that name.
    chosen = client or os.environ.get("DEFAULT_IDENTITY_CLIENT_ID") or None
    yield SignInMethod("managed identity", lambda: identity.ManagedIdentityCredential(client_id=chosen))
    yield SignInMethod("Azure CLI", identity.AzureCliCredential)


def _all_set(*names: str) -> bool:
    """Return whether all variables have a value; CI sets those of missing secrets to empty texts."""
    return all(os.environ.get(name) for name in names)


def _of_service_connection(name: str) -> str:
    """Return a variable as an AzureCLI task of Azure Pipelines sets it, else as one sets it oneself."""
    return os.environ.get(f"AZURESUBSCRIPTION_{name}") or os.environ.get(f"AZURE_{name}", "")


def _github_token() -> str:
    """Return a new OIDC token of the GitHub job: one lives for five to ten minutes, less than a promotion."""
    request = HttpRequest(
        "GET",
        os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"],
        params={"audience": _AUDIENCE},
        headers={"Authorization": f"bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    answer = http_pipeline.send(request, http_pipeline.USUAL)
    if answer.status_code != 200:
        cause = f"GitHub issues no OIDC token for this job: it answers {answer.status_code}"
        raise errors.AzureError(cause, "give the job `permissions: id-token: write`", status=answer.status_code)
    return str(answer.json()["value"])


def signed_in_as(token: str) -> str:
    """Return the user or application that an access token belongs to; empty when the token does not name one."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        names = ("upn", "unique_name", "preferred_username", "app_displayname", "appid", "oid")
        who = next((str(claims[name]) for name in names if claims.get(name)), "")
        return f"{who} (tenant {claims['tid']})" if who and claims.get("tid") else who
    except (LookupError, ValueError, TypeError, AttributeError):
        return ""
