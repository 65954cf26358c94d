"""An online endpoint of Azure and what endpoint.yml says of it: made, or checked and brought in line with the file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.project_files import endpoint_file_kinds
from notebooks_lib.errors import UsageError
from notebooks_lib.serving.azure_deployment import StageDeployment
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.tags import Tag

log = logging.getLogger("nbops.endpoint")

_CHANGED: Mapping[str, str] = {"publicNetworkAccess": "public_network_access", "description": "description"}
"""What Azure changes of an endpoint that is there, beside its tags -> the key of endpoint.yml."""


def check_ours(at: StageDeployment, endpoint: OnlineEndpoint, slots: Iterable[str], version: ServedVersion) -> None:
    """Raise UsageError when an endpoint of this name is another model's, or has slots and is not of nbops."""
    model, mine = endpoint.tags.get(Tag.ENDPOINT_MODEL, ""), version.detail.model
    where = f"endpoint {endpoint.name!r} of workspace {at.workspace.name!r}"
    other = f'give the stage another: endpoint = "azureml:NAME" under [stages.{at.stage}]'
    if not model and (names := ", ".join(slots)):
        raise UsageError(
            f"{where} was not made by nbops, and has the slots {names}; {other}, or hand it over: set its tag "
            f"{Tag.ENDPOINT_MODEL} to {mine or endpoint.name}"
        )
    if model and mine and model != mine:
        raise UsageError(f"{where} serves model {model!r}, not {mine!r}; {other}")


def check_file(at: StageDeployment, endpoint: OnlineEndpoint) -> None:
    """Raise UsageError, with both values, when endpoint.yml asks for what Azure changes of no endpoint."""
    values, now = at.endpoint_values(), endpoint.document.get("identity") or {}
    compared = [
        ("auth_mode", online_endpoint.spelled(values.get("auth_mode")), endpoint.auth_mode),
        ("compute", endpoint_file_kinds.compute_of(values), endpoint.compute),
    ]
    if values.get("identity"):
        compared.append(("identity", _identity(online_endpoint.identity_body(values["identity"])), _identity(now)))
    for key, value, current in compared:
        if value.casefold() != current.casefold():
            raise UsageError(
                f"endpoint {endpoint.name!r} has {key} {current or 'none'}, endpoint.yml says {value or 'none'}, "
                f"which Azure does not change: correct the file, or name another endpoint under [stages.{at.stage}]"
            )


def create_or_change(at: StageDeployment, endpoint: OnlineEndpoint | None, version: ServedVersion) -> OnlineEndpoint:
    """Make the endpoint, or bring what Azure changes of it in line with endpoint.yml; it is tagged with its model."""
    values, tags = at.endpoint_values(), {Tag.ENDPOINT_MODEL: version.detail.model or at.endpoint}
    if endpoint is None:
        if at.settings.project.name:  # a folder has another name in a job, and in CI
            tags[Tag.ENDPOINT_PROJECT] = at.settings.project.name
        location = str(workspace.read(at.client, at.workspace)["location"])
        body = online_endpoint.endpoint_body(at.workspace, location, values, tags)
        return online_endpoint.create_endpoint(at.client, at.workspace, at.endpoint, body)
    now = endpoint.document["properties"]
    own = {azure: str(values[key]) for azure, key in _CHANGED.items() if values.get(key) is not None}
    own = {azure: text for azure, text in own.items() if text.casefold() != str(now.get(azure) or "").casefold()}
    tags = {**tags, **endpoint.tags, **{str(key): str(value) for key, value in (values.get("tags") or {}).items()}}
    if not own and tags == endpoint.tags:
        return endpoint
    for azure, text in own.items():
        log.info("endpoint %s: %s becomes %s, as endpoint.yml says", endpoint.name, _CHANGED[azure], text)
    return online_endpoint.change_endpoint(at.client, at.workspace, endpoint, tags=tags, own=own)


def _identity(body: Mapping[str, Any]) -> str:
    return " ".join([str(body.get("type") or ""), *sorted(body.get("userAssignedIdentities") or ())]).strip()
