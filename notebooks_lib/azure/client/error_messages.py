"""Every failure of Azure as one line: what happened, and the next step. It sends nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from azure.core import exceptions
from azure.identity import CredentialUnavailableError

from notebooks_lib import errors
from notebooks_lib.azure.client import old_secrets

_LOCALLY = "work locally with NBOPS_TRACKING_URI=sqlite:///.nbops/mlflow.db"
_SIGN_IN_AGAIN = "sign in again: `az login`"
_QUOTA = "ask for more quota in the portal (Quotas), or take fewer or smaller machines"
_NAMESPACE = "Microsoft.MachineLearningServices"
_OF_A_SERVICE_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
MOST_REASONS = 3
"""How many reasons of one failure are shown."""

_BY_SIGN_IN_CODE = {
    "AADSTS7000215": "put the value of the secret, not its id, into AZURE_CLIENT_SECRET",
    "AADSTS7000222": "the secret has expired: `az ad app credential reset --id CLIENT_ID`",
    "AADSTS700016": "check AZURE_CLIENT_ID and AZURE_TENANT_ID",
    "AADSTS90002": "check AZURE_TENANT_ID",
    "AADSTS900023": "check AZURE_TENANT_ID",
    "AADSTS70021": "give the application a federated credential for this repository and branch or environment",
    "AADSTS700211": "give the application a federated credential with this issuer",
    "AADSTS700212": "give the application's federated credential the audience api://AzureADTokenExchange",
    "AADSTS700213": "give the application a federated credential with the subject {subject}",
    "AADSTS700024": "set AZURE_CLIENT_ID and AZURE_TENANT_ID in the job, so that nbops renews its token",
    "AADSTS53003": "ask the administrators of your tenant which machines may sign in",
}
"""Error code of Microsoft Entra -> next step; after all others, one signs in again."""

_BY_CODE = {
    "ResourceGroupNotFound": "check the name of the resource group: `az group list`",
    "SubscriptionNotFound": "check its id, or sign in to its tenant: `az account list`, `az login --tenant TENANT`",
    "InvalidSubscriptionId": "check its id: `az account list`",
    "InvalidAuthenticationTokenTenant": "sign in to the tenant of the subscription: `az login --tenant TENANT`",
    "MissingSubscriptionRegistration": "register it once: `az provider register --namespace {namespace}`",
    "RequestDisallowedByPolicy": "ask who runs the subscription: a policy of your organisation forbids it",
    "KeyBasedAuthenticationNotPermitted": "create the workspace with systemDatastoresAuthMode: identity",
    "ScopeLocked": "remove the lock that it names, or ask who set it: `az lock list --resource-group GROUP`",
    "StorageAccountAlreadyTaken": "take another prefix: somebody else has this name",
    "ReadOnlyDisabledSubscription": "ask who pays for the subscription: it is disabled",
    "QuotaExceeded": _QUOTA,
    "OutOfQuota": _QUOTA,
}
"""Error code of Azure -> next step."""

_BY_TEXT = {
    "Soft-deleted workspace exists": "purge or recover it: Recently deleted, on the portal's page of Azure Machine"
    " Learning; or take another name. To keep no name, delete with `az ml workspace delete --permanently-delete`",
    "download Bicep CLI": "check the network: the Azure CLI downloads Bicep at its first use (`az bicep install`)",
    "softDeleteRetentionInDays": "put back the value with which the vault was made: Azure never changes it",
    "Only one system topic is allowed": "take your own system topic of this storage account out of the template",
}
"""Words of Azure whose code says too little -> next step."""

_ROLES = {
    "microsoft.machinelearningservices/workspaces/computes/": "AzureML Compute Operator",
    "microsoft.machinelearningservices/workspaces/write": "Contributor",
    "microsoft.machinelearningservices/workspaces/": "AzureML Data Scientist",
    "microsoft.machinelearningservices/registries/": "AzureML Registry User",
    "microsoft.storage/storageaccounts/blobservices/": "Storage Blob Data Contributor",
    "microsoft.authorization/roleassignments/": "Role Based Access Control Administrator",
    "microsoft.insights/": "Monitoring Reader",
    "": "Contributor",
}
"""How an action begins -> the least built-in role that allows it; the first that fits."""
DATA_SCIENTIST = "AzureML Data Scientist"

_ACTION = re.compile(r"perform action '([^']+)'")
_NAMED = re.compile(r"namespace '([^']+)'")
_SUBJECT = re.compile(r"subject ('[^']+')")
_NO_RIGHT = re.compile(
    r"Authorization failed for template resource|does not have (?:permission|authorization) to perform action"
)
"""How a deployment says under a code of its own that a permission is missing."""
_ENTRA = re.compile(r"(AADSTS\d+): *(.*?)(?= *Trace ID:|[\r\n]|$)")
_HOST = re.compile(r"host='([^']+)'")
_ADDRESS = re.compile(r" with url: \S+")
_INNERMOST = re.compile(r"""\((?:\d+, )?(?P<quote>['"])(?P<reason>(?:(?!(?P=quote)).)+)(?P=quote)\)""")
"""The words of an exception within the text of another."""


@contextlib.contextmanager
def translated(what: str, if_missing: str = "") -> Iterator[None]:
    """Turn an error of the Azure SDK within the block into an AzureError about `what`, such as "workspace 'w'".

    `if_missing` is the next step when there is none.
    """
    with quiet_logs():
        try:
            yield
        except exceptions.AzureError as error:
            raise describe(error, what, if_missing) from error


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Hold back what azure-identity logs within the block: a page with every way to sign in that it tried."""
    logger = logging.getLogger("azure.identity")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def describe(error: exceptions.AzureError, what: str, if_missing: str = "") -> errors.AzureError:
    """Return the failure of a request or of a long operation about `what`."""
    if not isinstance(error, exceptions.HttpResponseError) or error.response is None:
        return _no_answer(error)
    status, answer = error.status_code or 0, error.error
    code = str(answer.code or "") if answer else ""
    message = str(answer.message or "") if answer else ""
    reason = f"{code}: {message}" if answer else f"{status} {error.reason or ''}"
    cause = f"{_headline(status, what)}: {_one_line(reason)}"
    return errors.AzureError(cause, _step(status, code, message, if_missing), status=status, code=code)


def of_error(error: Mapping[str, Any], what: str) -> errors.AzureError:
    """Return the failure of `what` from an error in Azure's own form: code, message, and details that say more.

    Several reasons become one line, with the step of each. The code is that of the first.
    """
    reasons = [
        (str(each.get("code") or ""), str(each.get("message") or "no reason given")) for each in _innermost(error)
    ]
    code = reasons[0][0]
    status = _status(*reasons[0])
    lines = dict.fromkeys(_one_line(f"{code}: {message}" if code else message) for code, message in reasons)
    steps = dict.fromkeys(_step(_status(code, message), code, message, "") for code, message in reasons)
    cause = f"{_headline(status, what)}: {' | '.join([*lines][:MOST_REASONS])}"
    return errors.AzureError(cause, "; ".join([*steps][:MOST_REASONS]), status=status or None, code=code)


def sign_in_error(attempts: Sequence[tuple[str, Exception | None]]) -> errors.AzureError:
    """Return why nobody is signed in, from each way to sign in and what it raised; None for one that was not tried."""
    tried = [(name, problem) for name, problem in attempts if problem is not None]
    for name, problem in tried:
        for link in _chain(problem):  # azure-identity wraps them
            if isinstance(link, errors.AzureError):
                return link
            if isinstance(link, exceptions.ServiceRequestError | exceptions.ServiceResponseError):
                return _no_answer(link)
        if not isinstance(problem, CredentialUnavailableError):
            entra = _ENTRA.search(str(problem))
            code, reason = entra.groups() if entra else ("", errors.reason(problem, 200))
            cause = f"cannot sign in to Azure by {name}: {_one_line(f'{code}: {reason}' if code else reason)}"
            step = _BY_SIGN_IN_CODE.get(code, _how_to_sign_in(again=True))
            step = step.format(subject=_first(_SUBJECT, reason, "of this job")) + old_secrets.explain(os.environ)
            return errors.AzureError(cause, step, status=401, code=code)
    reasons = "; ".join(f"{name}: {_unavailable(problem)}" for name, problem in tried)
    step = _how_to_sign_in() + old_secrets.explain(os.environ)
    return errors.AzureError(f"not signed in to Azure ({reasons})", step, status=401)


def role_for(action: str) -> str:
    """Return the least built-in role that allows one of Azure's actions."""
    return next(role for beginning, role in _ROLES.items() if action.casefold().startswith(beginning))


def _headline(status: int, what: str) -> str:
    if status == 401:
        return "cannot sign in to Azure"
    if status == 403:
        return f"no permission for {what}"
    if status == 404:
        return f"no {what}"
    if status == 429:
        return f"Azure takes no more requests for now, about {what}"
    return f"{what} failed" if status < 400 or status >= 500 else f"Azure refuses {what}"


def _step(status: int, code: str, message: str, if_missing: str) -> str:
    if code in _BY_CODE:
        return _BY_CODE[code].format(namespace=_first(_NAMED, message, _NAMESPACE))
    if step := next((step for words, step in _BY_TEXT.items() if words in message), ""):
        return step
    if status == 401:
        return _SIGN_IN_AGAIN
    if status == 403:
        action = _first(_ACTION, message, "")
        role = role_for(action) if action else DATA_SCIENTIST
        return f"ask for the role {role}; a new role takes some minutes to hold"
    if status == 404:
        return if_missing or "check its name"
    if status == 429:
        return "wait some minutes, then do it again"
    if status >= 500:
        return "do it again later; https://status.azure.com lists outages"
    return "correct what the reason names, then do it again"


def _no_answer(error: exceptions.AzureError) -> errors.AzureError:
    """Return why there is no answer of Azure's: no network, a proxy, a certificate, an answer that is cut off."""
    text = _ADDRESS.sub("", str(error))  # an address may be signed
    *_, reason = [text, *(match["reason"] for match in _INNERMOST.finditer(text))]
    reason = _one_line(reason.rpartition("): ")[2])
    if "CERTIFICATE_VERIFY_FAILED" in text:
        step = "if a proxy of your organisation reads along, name the file with its certificate in REQUESTS_CA_BUNDLE"
        return errors.AzureError(f"Azure shows a certificate that this machine does not trust: {reason}", step)
    if "proxy" in text.casefold():
        return errors.AzureError(
            f"the proxy on the way to Azure does not answer: {reason}", f"check HTTPS_PROXY, or {_LOCALLY}"
        )
    host = _first(_HOST, text, "")
    step = f"check the network, and whether you need a proxy (HTTPS_PROXY), or {_LOCALLY}"
    return errors.AzureError(f"Azure does not answer{f' at {host}' if host else ''}: {reason}", step)


def _unavailable(problem: Exception) -> str:
    """Return in few words why a way to sign in is not there."""
    text = str(problem)
    if "not found on path" in text:
        return "`az` is not installed"
    if "az login" in text:
        return "nobody is signed in"
    if "IMDS" in text or "No identity" in text or "endpoint" in text:
        return "none on this machine"
    return _one_line(text, 120)


def _innermost(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the reasons within an error that only says that there are some.

    They stand in its details, or as JSON in its message.
    """
    inner = [each for each in error.get("details") or () if isinstance(each, dict)]
    with contextlib.suppress(ValueError, TypeError):
        content = json.loads(error["message"]) if "{" in str(error.get("message")) else None
        inner += [content.get("error") or content] if isinstance(content, dict) else []
    return [reason for each in inner for reason in _innermost(each)] or [error]


def _status(code: str, message: str) -> int:
    if "AuthorizationFailed" in code or _NO_RIGHT.search(message):
        return 403
    return 404 if code.endswith("NotFound") else 0


def _how_to_sign_in(*, again: bool = False) -> str:
    if os.environ.get("GITHUB_ACTIONS"):
        return "give the job `permissions: id-token: write`, and set AZURE_CLIENT_ID and AZURE_TENANT_ID"
    if os.environ.get("TF_BUILD"):
        return "run it in an AzureCLI@2 task, with `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` under env"
    if again:
        return _SIGN_IN_AGAIN
    install = "" if shutil.which("az") else "install the Azure CLI (https://aka.ms/install-azure-cli), then "
    missing = [name for name in _OF_A_SERVICE_PRINCIPAL if not os.environ.get(name)]
    in_ci = "; in CI use a federated credential, or else" if len(missing) > 1 else ", or"
    return f"{install}run `az login`{in_ci} set {' and '.join(missing)}" if missing else f"{install}run `az login`"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first(pattern: re.Pattern[str], text: str, otherwise: str) -> str:
    match = pattern.search(text)
    return match[1] if match else otherwise


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= limit else f"{line[:limit]} …").rstrip(". ")
