"""The compute that jobs run on: used if it exists, created from compute/NAME.yml if not, changed where it differs.

It waits for a compute to be ready, with a bound. It deletes none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import file_check, file_kinds, file_loading
from notebooks_lib.azure.project_files.compute_names import PREFIX, SERVERLESS
from notebooks_lib.azure.project_files.duration import parse_duration

API_VERSION = "2023-08-01-preview"
WAIT = 900.0
"""Seconds in which a compute must be ready."""
POLL = 5.0
"""Seconds between two looks at a compute that is being created elsewhere."""


@dataclass(frozen=True)
class ComputeDifference:
    """A key in which a file and the compute of its name differ."""

    key: str
    wanted: object
    current: object
    changeable: bool
    """Whether Azure lets it be changed once the compute is there."""


def find_or_create_compute(
    client: RestClient,
    workspace: Workspace,
    name: str,
    root: Path,
    environ: Mapping[str, str],
    *,
    tell: Callable[[str], None] = lambda line: None,
    wait_seconds: float = WAIT,
    poll: float = POLL,
) -> str:
    """Return the id of a compute that is ready; empty for `serverless`.

    `tell` gets a line for each thing that takes time. Raises UsageError when there is neither such a compute nor a file
    for it, or when the file asks for what cannot be changed; AzureError when it is not ready within `wait_seconds`.
    """
    if name.lower() == SERVERLESS:
        return ""
    file = file_check.folder(root) / file_check.COMPUTES / f"{name}.yml"
    in_project = file.relative_to(root).as_posix()
    path, what = f"{workspace.path}/computes/{name}", f"compute {name}"
    deadline = time.monotonic() + wait_seconds
    try:
        existing = client.request("GET", path, API_VERSION, what=what)
    except errors.AzureError as error:
        if error.status != 404:
            raise
        existing = None
    if not file.exists():
        if existing is None:
            raise _unknown(client, workspace, name, file, root)
        return _ready(client, path, what, tell, deadline, poll)
    values = file_check.valid_values(file, file_kinds.COMPUTE, root, environ)
    differing = list(differences(values, existing, workspace)) if existing is not None else []
    _refuse_fixed(what, differing, in_project, name)
    failed = existing is not None and existing["properties"].get("provisioningState") == "Failed"
    if existing is not None and not differing and not failed:
        return _ready(client, path, what, tell, deadline, poll)
    changed = ", ".join(f"{each.key} from {each.current} to {each.wanted}" for each in differing)
    tell(f"{what}: changing {changed}" if differing else f"{what}: making it from {in_project}")
    body = _body(client, workspace, file, values)
    if existing is not None and not failed:
        _keep_the_rest(body, existing, values)
        body.pop("location", None)  # Azure refuses both when a compute is changed
        body["properties"]["properties"].pop("vmPriority", None)
    began = time.monotonic()

    def progress(status: str) -> None:
        tell(f"{what}: {status}, {time.monotonic() - began:.0f} s")

    options: dict[str, Any] = {"wait_seconds": wait_seconds, "on_poll": progress}
    try:
        return str(client.operation("PUT", path, API_VERSION, what=what, body=body, **options)["id"])
    except errors.AzureError as error:
        if not 400 <= (error.status or 0) < 500:
            raise
        try:  # somebody else may make or change it just now
            ready = _ready(client, path, what, tell, deadline, poll)
            differing = list(differences(values, client.request("GET", path, API_VERSION, what=what), workspace))
        except errors.AzureError:
            raise error from None
        if differing:
            raise
        return ready


def most_machines(client: RestClient, workspace: Workspace, name: str) -> int | None:
    """Return how many machines a cluster may have, 1 for a single machine; None where that is not known.

    It is not known of serverless jobs, for which the quota decides, and of Kubernetes.
    """
    if name.lower() == SERVERLESS:
        return None
    found = client.request("GET", f"{workspace.path}/computes/{name}", API_VERSION, what=f"compute {name}")
    properties = found["properties"]
    if properties.get("computeType") == "Kubernetes":
        return None
    return int(((properties.get("properties") or {}).get("scaleSettings") or {}).get("maxNodeCount") or 1)


def _refuse_fixed(what: str, differing: Iterable[ComputeDifference], file: str, name: str) -> None:
    """Raise UsageError when a file asks for what Azure does not change."""
    fixed = [each for each in differing if not each.changeable]
    if fixed:
        differ = " and ".join(f"{each.key} is {each.current}, the file says {each.wanted}" for each in fixed)
        raise errors.UsageError(
            f"{what}: {differ}, which Azure does not change: correct {file}, or rename it to make another compute, or"
            f" take this one away first: az ml compute delete --name {name} (of an attached one: detach)"
        )


def differences(
    values: Mapping[str, Any], existing: Mapping[str, Any], workspace: Workspace
) -> Iterator[ComputeDifference]:
    """Yield where a compute differs from the values of its file. What the file leaves out may be anything.

    Passwords and keys are not compared: Azure does not answer them.
    """
    properties = existing.get("properties") or {}
    own = properties.get("properties") or {}
    scale = own.get("scaleSettings") or {}
    account = own.get("userAccountCredentials") or {}  # of a cluster; of a machine, administratorAccount
    administrator = account.get("adminUserName") or (own.get("administratorAccount") or {}).get("username")
    wanted = {
        **values,
        **{f"ssh_settings.{key}": value for key, value in (values.get("ssh_settings") or {}).items()},
        **({"network_settings.subnet": subnet} if (subnet := _subnet(values, workspace)) else {}),
    }
    table: dict[str, tuple[object, bool]] = {
        "type": (properties.get("computeType"), False),
        "size": (own.get("vmSize"), False),
        "tier": (own.get("vmPriority"), False),
        "location": (existing.get("location"), False),
        "resource_id": (properties.get("resourceId"), False),
        "namespace": (own.get("namespace"), False),
        "network_settings.subnet": ((own.get("subnet") or {}).get("id") or "none", False),
        "enable_node_public_ip": (own.get("enableNodePublicIp") is not False, False),
        "ssh_public_access_enabled": (_PUBLIC_ACCESS.get(str(own.get("remoteLoginPortPublicAccess"))), False),
        "ssh_settings.admin_username": (administrator, False),
        "ssh_settings.ssh_port": (own.get("sshPort"), False),
        "min_instances": (scale.get("minNodeCount"), True),
        "max_instances": (scale.get("maxNodeCount"), True),
        "idle_time_before_scale_down": (parse_duration(scale.get("nodeIdleTimeBeforeScaleDown")), True),
    }
    for key, (current, changeable) in table.items():
        if key in wanted and current is not None and _normalized(wanted[key]) != _normalized(current):
            yield ComputeDifference(key, _in_yaml(wanted[key]), _in_yaml(current), changeable)
    if identity := values.get("identity"):
        current_identity = existing.get("identity") or {}
        ids = [str(each.get("resource_id")) for each in identity.get("user_assigned_identities") or ()]
        wanted_text = _identity(identity.get("type"), ids)
        current_text = _identity(
            current_identity.get("type") or "none", current_identity.get("userAssignedIdentities") or ()
        )
        if _normalized(wanted_text) != _normalized(current_text):
            yield ComputeDifference("identity", wanted_text, current_text, True)


_PUBLIC_ACCESS = {"Enabled": True, "Disabled": False}
"""What Azure says of a cluster -> `ssh_public_access_enabled`; it may also not say it."""


def _normalized(value: object) -> str:
    """Return a value as it is compared: Azure answers sizes in capitals, and names in its own spelling.

    In ids of resources, `_` and `-` count.
    """
    text = str(value).casefold()
    return text if "/" in text else re.sub(r"[\s_-]", "", text)


def _in_yaml(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _identity(kind: object, user_assigned: Iterable[str]) -> str:
    """Return an identity in words: its type, in the spelling of files, and which user-assigned ones."""
    spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(kind)).lower().replace(" ", "")
    return " ".join([spelled, *sorted(user_assigned, key=str.casefold)])


def _subnet(values: Mapping[str, Any], workspace: Workspace) -> str:
    """Return the id of the subnet that a file names, which may be in short; empty if it names none."""
    network = values.get("network_settings") or {}
    subnet = str(network.get("subnet") or "")
    if not subnet or subnet.startswith("/"):
        return subnet
    group = f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}"
    return f"{group}/providers/Microsoft.Network/virtualNetworks/{network.get('vnet_name')}/subnets/{subnet}"


def _body(client: RestClient, workspace: Workspace, file: Path, values: dict[str, Any]) -> dict[str, Any]:
    kind = file_kinds.COMPUTE
    try:
        body = file_loading.request_body(kind.name, file, values, kind.filled_in(file))
    except Exception as error:
        texts = "; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in file_loading.refusals(error))
        raise errors.UsageError(f"{file}: Azure's SDK refuses it: {texts}") from error
    body.pop("name", None)
    body.setdefault("location", values.get("location") or _location(client, workspace))
    if subnet := _subnet(values, workspace):
        body["properties"]["properties"]["subnet"] = {"id": subnet}  # the SDK leaves it empty
    return body


def _keep_the_rest(body: dict[str, Any], existing: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Add to the body of a change what the compute has and its file leaves out: Azure resets what a body lacks."""

    def kept(there: Mapping[str, Any]) -> dict[str, Any]:
        left_out = {key: value for key, value in there.items() if _KEYS_OF_FILES.get(key, key) not in values}
        return {key: value for key, value in left_out.items() if key not in _OF_AZURE}

    properties, there = body["properties"], existing["properties"]
    own, own_there = properties.get("properties") or {}, there.get("properties") or {}
    scale = {**(own.get("scaleSettings") or {}), **kept(own_there.get("scaleSettings") or {})}
    properties["properties"] = {**own, **kept(own_there), **({"scaleSettings": scale} if scale else {})}
    properties.update(kept({key: there[key] for key in ("description", "disableLocalAuth") if key in there}))
    body.update(kept({"tags": existing.get("tags") or {}}))
    if (identity := existing.get("identity")) and "identity" not in values:
        ids = {each: dict[str, Any]() for each in identity.get("userAssignedIdentities") or ()}
        body["identity"] = {"type": identity.get("type"), **({"userAssignedIdentities": ids} if ids else {})}


_KEYS_OF_FILES = {
    "minNodeCount": "min_instances",
    "maxNodeCount": "max_instances",
    "nodeIdleTimeBeforeScaleDown": "idle_time_before_scale_down",
    "vmSize": "size",
    "subnet": "network_settings",
    "enableNodePublicIp": "enable_node_public_ip",
    "remoteLoginPortPublicAccess": "ssh_public_access_enabled",
    "disableLocalAuth": "ssh_public_access_enabled",
    "userAccountCredentials": "ssh_settings",
}
"""Keys of a compute -> those of its file, where they differ."""
_OF_AZURE = {
    "allocationState",
    "allocationStateTransitionTime",
    "currentNodeCount",
    "targetNodeCount",
    "nodeStateCounts",
    "errors",
}
"""Keys that only Azure writes."""


def _location(client: RestClient, workspace: Workspace) -> str:
    from notebooks_lib.azure.client import workspace as workspaces

    return str(workspaces.read(client, workspace)["location"])


def _ready(client: RestClient, path: str, what: str, tell: Callable[[str], None], deadline: float, poll: float) -> str:
    """Return the id of a compute once it is ready. Raises AzureError when it fails, or is not ready in time."""
    while True:
        existing = client.request("GET", path, API_VERSION, what=what)
        properties = existing["properties"]
        state = str(properties.get("provisioningState", "Succeeded"))
        if state == "Succeeded":
            return str(existing["id"])
        if state in ("Failed", "Canceled", "Deleting"):
            failures = [each.get("error", each) for each in properties.get("provisioningErrors") or ()]
            reasons = "; ".join(f"{each.get('code')}: {each.get('message')}" for each in failures)
            raise errors.AzureError(f"{what} is {state}{f': {reasons}' if reasons else ''}", "look at it in the portal")
        if time.monotonic() > deadline:
            raise errors.AzureError(f"{what} is still {state}", "do it again to wait longer, or look at the portal")
        tell(f"{what}: {state}")
        time.sleep(min(poll, max(deadline - time.monotonic(), 0.1)))


def _unknown(client: RestClient, workspace: Workspace, name: str, file: Path, root: Path) -> errors.UsageError:
    names = sorted(
        each["name"] for each in client.pages(f"{workspace.path}/computes", API_VERSION, what="the computes")
    )
    files = sorted(path.stem for path in file.parent.glob("*.yml"))
    near = errors.nearest(name, [*names, *files, SERVERLESS])
    hint = f", did you mean {PREFIX}{near}?" if near else ""
    return errors.UsageError(
        f"--on {PREFIX}{name}: no such compute{hint} (in the workspace: {', '.join(names) or 'none'};"
        f" files that one can be made from: {', '.join(files) or 'none'}; always: {SERVERLESS});"
        f" to have it made, write {file.relative_to(root).as_posix()}"
    )
