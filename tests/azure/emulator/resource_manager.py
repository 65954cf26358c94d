"""Azure Resource Manager: one store of documents, with pages, long operations and versions that never change."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tests.azure.emulator import CLIENT
from tests.azure.emulator.blobs import ACCOUNT, SIGNED
from tests.azure.emulator.certificates import MANAGEMENT, REGIONS
from tests.azure.emulator.faults import Fault, Faults
from tests.azure.emulator.resource_group import ResourceGroups

PAGE = 3
"""Documents of a list in one answer: few, so that every client meets a second page."""
POLLS = 3
"""How often an operation is asked after before it ends."""
RETRY = {"retry-after-ms": "30"}
CORES = 100
"""The quota: cores that all machines of a cluster may have together; a size's first number counts as its cores."""
LONG = ("workspaces", "computes", "onlineEndpoints", "deployments", "batchEndpoints", "schedules", "registries")
"""What takes long to make, change or delete."""
PARENT = re.compile(r"/(workspaces|registries|onlineEndpoints|batchEndpoints)/[^/]+(?=/)", re.I)
"""What must be there before anything below it can be."""
IN_GROUP = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+)/providers/Microsoft\.Authorization/(locks|roleAssignments)", re.I
)
"""What is listed of a whole resource group."""
VERSION = re.compile(r"/(data|models|environments|codes|components)/[^/]+/versions/[^/]+$", re.I)
"""Assets that never change, but for these keys."""
MAY_CHANGE = ("tags", "description", "isArchived", "properties", "provisioningState")

Document = dict[str, Any]


@dataclass
class Operation:
    """A long operation on the document at `path`."""

    path: str
    deletes: bool
    fault: Fault | None
    polls: int = POLLS
    outcome: Callable[[], Fault | bool | None] = lambda: None
    """What the work came to: True while it goes on, a fault if it failed."""

    @property
    def status(self) -> str:
        """The word of the service."""
        if self.polls > 0:
            return "InProgress"
        return "Failed" if self.fault else "Succeeded"


class ResourceManager:
    """The documents by their path in small letters, and what is going on with them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._documents: dict[str, Document] = {}
        self._groups = ResourceGroups(self._documents)
        self._operations: dict[str, Operation] = {}
        methods = ["GET", "PUT", "PATCH", "POST", "DELETE"]
        self.router = Router([Route("/{path:path}", self.answer, methods=methods)])

    def put(self, path: str, document: Document, *, asset_id: str = "") -> Document:
        """Keep a document, with what the service adds to each; by `asset_id` too, if it is known by another id."""
        now = datetime.now(UTC).isoformat()
        before = self._documents.get(path.lower(), {"systemData": {"createdAt": now}})
        provider, *names = path.split("/providers/")[-1].split("/")
        stamp = {"id": asset_id or path, "name": path.rsplit("/", 1)[-1], "type": "/".join((provider, *names[::2]))}
        stamp["systemData"] = before["systemData"] | {"lastModifiedAt": now}
        kept: Document = {"properties": {}, **document, **stamp}
        for key in filter(None, (path, asset_id.removeprefix("azureml:"))):
            self._documents[key.lower()] = kept
        return kept

    def find(self, path: str) -> Document | None:
        """Return the document at a path."""
        return self._documents.get(path.removeprefix("azureml:").lower())

    def put_workspace(self, path: str, location: str = REGIONS[0]) -> Document:
        """Make a workspace with its default datastore."""
        host, providers = f"{location}.api.azureml.ms", f"{path.partition('/providers/')[0]}/providers"
        account = ACCOUNT.partition(".")[0]
        properties = {
            "friendlyName": path.rsplit("/", 1)[-1],
            "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, path)),
            "discoveryUrl": f"https://{host}/discovery",
            "mlFlowTrackingUri": f"azureml://{host}/mlflow/v1.0{path}",
            "storageAccount": f"{providers}/Microsoft.Storage/storageAccounts/{account}",
            "keyVault": f"{providers}/Microsoft.KeyVault/vaults/vault",
            "applicationInsights": f"{providers}/Microsoft.Insights/components/insights",
            "provisioningState": "Succeeded",
        }
        store = {"datastoreType": "AzureBlob", "accountName": account, "containerName": "blobstore", "isDefault": True}
        store |= {"endpoint": "core.windows.net", "protocol": "https"}
        self.put(f"{path}/datastores/workspaceblobstore", {"properties": store})
        artifacts = store | {"containerName": "azureml", "isDefault": False}
        self.put(f"{path}/datastores/workspaceartifactstore", {"properties": artifacts})
        permissions = {"list": {"value": [{"actions": ["*"], "notActions": [], "dataActions": ["*"]}]}}
        for place in (path, properties["storageAccount"]):  # the account that no template made a role on
            self.put(f"{place}/providers/Microsoft.Authorization/permissions", permissions)
        return self.put(path, {"location": location, "tags": {}, "properties": properties})

    def put_region(self, subscription: str, location: str) -> None:
        """Register the provider, and give a region its sizes of machines and their quota."""
        provider = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices"
        families = {"standardDSv2Family": ("Standard_DS3_v2", 4), "standardNCSv3Family": ("Standard_NC6s_v3", 6)}
        sizes = [{"name": size, "family": name, "vCPUs": cores} for name, (size, cores) in families.items()]
        usages = [{"name": {"value": name}, "currentValue": 0, "limit": CORES} for name in families]
        self.put(provider, {"registrationState": "Registered"})
        self.put(f"{provider}/locations/{location}/vmSizes", {"list": {"value": sizes}})
        self.put(f"{provider}/locations/{location}/usages", {"list": {"value": usages}})

    async def answer(self, request: Request) -> Response:
        """Answer one request as the service does."""
        path = request.url.path.rstrip("/")
        if "api-version" not in request.query_params:
            return failed(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        if operation := re.search(r"/\w+OperationsStatus/([^/]+)$", path):
            return self._poll(operation[1])
        for parent in (path[: match.end()] for match in PARENT.finditer(path)):
            if parent.lower() not in self._documents:
                return not_found(parent)
        one = len(path.split("/providers/")[-1].split("/")) % 2 == 1
        if request.method == "GET" and (
            group := re.fullmatch(r"(/subscriptions/[^/]+/resourceGroups/[^/]+)/resources", path, re.I)
        ):
            return JSONResponse({"value": self._groups.resources(group[1])})
        scope, asks, _ = path.partition("/providers/Microsoft.Authorization/permissions")
        if request.method == "GET" and asks and path.lower() not in self._documents:
            return JSONResponse({"value": self._groups.permissions(scope, CLIENT)})
        if request.method == "GET" and (listed := IN_GROUP.fullmatch(path)) and path.lower() not in self._documents:
            principal = request.query_params.get("$filter", "").rpartition(" eq ")[2].strip("'")
            found = self._groups.below(listed[1], f"Microsoft.Authorization/{listed[2]}", principal)
            return JSONResponse({"value": found})
        if request.method == "GET":
            return self._get(path) if one else self._list(path, request)
        if request.method == "POST":
            return self._post(path, request)
        if request.method == "DELETE":
            return self._delete(path, request)
        try:
            return self._put(path, json.loads(await request.body()), request)
        except ValueError:
            return failed(400, "InvalidRequestContent", "The request content could not be deserialized.")

    def _get(self, path: str) -> Response:
        for operation in self._operations.values():
            if operation.path.lower() == path.lower():
                self._step(operation)
        versions = self.below(f"{path}/versions")
        if versions and path.lower() not in self._documents:  # an asset is there when a version of it is
            latest = {"latestVersion": versions[-1]["name"], "isArchived": False}
            return JSONResponse({"id": path, "name": path.rsplit("/", 1)[-1], "properties": latest})
        return JSONResponse(self._documents[path.lower()]) if path.lower() in self._documents else not_found(path)

    def _list(self, path: str, request: Request) -> Response:
        if path.lower() in self._documents:
            return JSONResponse(self._documents[path.lower()]["list"])
        asked, found = dict(request.query_params), self.below(path) or self._assets(path)
        if asked.get("listViewType", "ActiveOnly") == "ActiveOnly":
            found = [each for each in found if not each["properties"].get("isArchived")]
        if "hash" in asked:
            found = [each for each in self._codes(path) if _hash(each) == asked["hash"]]
        if "tag" in asked:
            found = [each for each in found if asked["tag"] in (each["properties"].get("tags") or {})]
        if "isDefault" in asked:
            found = [each for each in found if each["properties"].get("isDefault")]
        if "desc" in asked.get("$orderBy", ""):
            found.reverse()
        begin = int(asked.get("$skipToken", 0))
        end = begin + min(PAGE, int(asked.get("$top", PAGE)))
        answer: Document = {"value": found[begin:end]}
        if end < len(found):
            answer["nextLink"] = f"https://{MANAGEMENT}{path}?{urlencode(asked | {'$skipToken': end})}"
        return JSONResponse(answer)

    def _assets(self, path: str) -> list[Document]:
        """The names right below a path of which there are versions."""
        begin = f"{path.lower()}/"
        ids = [one["id"] for key, one in self._documents.items() if key.startswith(begin) and VERSION.search(key)]
        names = dict.fromkeys(each.split("/")[-3] for each in ids)
        return [{"id": f"{path}/{name}", "name": name, "properties": {"isArchived": False}} for name in names]

    def _codes(self, path: str) -> list[Document]:
        """All snapshots of the workspace: their content is looked for, whatever the name."""
        begin = f"{path.lower().partition('/codes/')[0]}/codes/"
        return [one for key, one in self._documents.items() if key.startswith(begin)]

    def _put(self, path: str, body: Document, request: Request) -> Response:
        before = self._documents.get(path.lower())
        kind, properties = path.split("/")[-2], body.get("properties") or {}
        if request.method == "PATCH" and before is None:
            return not_found(path)
        if problem := self._groups.refusal(path, body):
            return failed(409, *problem)
        ours = "/Microsoft.MachineLearningServices/workspaces/" in path
        if kind == "workspaces" and ours and before is None:
            properties = self.put_workspace(path, body.get("location", REGIONS[0]))["properties"] | properties
        if before and (kind == "workspaces" or request.method == "PATCH"):
            body, properties = before | body, before["properties"] | properties
        if before and VERSION.search(path) and _content(before["properties"]) != _content(properties):
            return failed(409, "UserError", f"{path} already exists with other content, which cannot be changed.")
        if kind == "computes" and (problem := _compute(before, properties)):
            return problem
        document = self.put(path, body | {"properties": properties | {"provisioningState": "Succeeded"}})
        for other, added in self._groups.complete(path, document):
            self.put(other, added)
        headers: dict[str, str] = {}
        if kind in LONG:
            document["properties"]["provisioningState"] = "Updating" if before else "Creating"
            headers = self._begin(path, request)
        return JSONResponse(document, 200 if before else 201, headers)

    def _delete(self, path: str, request: Request) -> Response:
        document = self._documents.get(path.lower())
        if document is None:
            return Response(status_code=204)
        if problem := self._groups.lock_on(path):
            return failed(409, *problem)
        self._groups.remember(document, for_good="forceToPurge" in request.query_params)
        if path.split("/")[-2] not in LONG:
            self._remove(path)
            return Response(status_code=200)
        document["properties"]["provisioningState"] = "Deleting"
        return Response(status_code=202, headers=self._begin(path, request))

    def _post(self, path: str, request: Request) -> Response:
        parent, _, action = path.rpartition("/")
        if action == "startPendingUpload":  # the same place for the same version, which may not be there yet
            place = f"https://{ACCOUNT}/{uuid.uuid5(uuid.NAMESPACE_URL, parent.lower())}"
            signed = {"credentialType": "SAS", "sasUri": f"{place}?{SIGNED}"}
            blobs = {"blobUri": place, "storageAccountArmId": "", "credential": signed}
            return JSONResponse({"pendingUploadId": "1", "blobReferenceForConsumption": blobs})
        if parent.lower() not in self._documents:
            return not_found(parent)
        if action == "listSecrets":
            workspace = self._documents[parent.lower().partition("/datastores/")[0]]["properties"]
            by_identity = str(workspace.get("systemDatastoresAuthMode")).lower() == "identity"  # it gives no keys out
            return JSONResponse({"secretsType": "Sas", "sasToken": None if by_identity else SIGNED})
        return failed(404, "InvalidResourceType", f"The action {action} could not be found.")

    def path_of(self, kind: str, name: str) -> str:
        """Return the path of the resource of a name that is unique among all workspaces; empty if there is none."""
        end = f"/{kind}/{name}".lower()
        return next((one["id"] for key, one in self._documents.items() if key.endswith(end)), "")

    def workspace_of(self, guid: str) -> Document | None:
        """Return the workspace with this id."""
        return next((one for one in self._documents.values() if one["properties"].get("workspaceId") == guid), None)

    def newest_operation(self, path: str) -> Operation:
        """Return the operation that was begun last on a path."""
        return [one for one in self._operations.values() if one.path.lower() == path.lower()][-1]

    # -- long operations

    def _begin(self, path: str, request: Request) -> dict[str, str]:
        for before in self._operations.values():  # as of a client that was killed: it is over, and changes nothing more
            if before.path.lower() == path.lower() and before.status == "InProgress":
                before.polls, before.fault = 0, Fault("operation_fails", code="OperationPreempted")
        name, fault = uuid.uuid4().hex, self._faults.take(request, "operation_fails", "operation_never_ends")
        self._operations[name] = Operation(path, request.method == "DELETE", fault)
        kind = "computeOperationsStatus" if "/computes/" in path else "mfeOperationsStatus"
        provider = f"providers/Microsoft.MachineLearningServices/locations/{REGIONS[0]}"
        status = f"https://{MANAGEMENT}/subscriptions/{path.split('/')[2]}/{provider}/{kind}/{name}"
        status += "?api-version=2024-01-01-preview"
        return {"Azure-AsyncOperation": status, "x-ms-async-operation-timeout": "PT30M", **RETRY}

    def _poll(self, name: str) -> Response:
        operation = self._operations.get(name)
        if operation is None:
            return failed(404, "NotFound", f"The operation {name} was not found.")
        answer: Document = {"status": operation.status}
        if operation.status == "Failed" and operation.fault:
            answer["error"] = {"code": operation.fault.code, "message": operation.fault.message}
        self._step(operation)
        return JSONResponse(answer, headers=RETRY if answer["status"] == "InProgress" else {})

    def _step(self, operation: Operation) -> None:
        """Bring an operation nearer to its end, as often as somebody looks."""
        if operation.status != "InProgress" or (operation.fault and operation.fault.kind == "operation_never_ends"):
            return
        came_to = operation.outcome()
        operation.polls -= operation.polls > 1 or came_to is not True
        operation.fault = operation.fault or (came_to if isinstance(came_to, Fault) else None)
        if operation.status == "Succeeded" and operation.deletes:
            self._remove(operation.path)
        elif operation.status != "InProgress" and operation.path.lower() in self._documents:
            self._documents[operation.path.lower()]["properties"]["provisioningState"] = operation.status

    def below(self, path: str) -> list[Document]:
        """The documents right below a path, in the order in which they were made."""
        return [one for key, one in self._documents.items() if key.rpartition("/")[0] == path.lower()]

    def _remove(self, path: str) -> None:
        for key in [key for key in self._documents if f"{key}/".startswith(f"{path.lower()}/")]:
            del self._documents[key]


def _compute(before: Document | None, body: Document) -> Response | None:
    """Answer sizes in capitals; refuse what cannot be changed, and more cores than the subscription has."""
    own = body.get("properties") or {}
    if "vmSize" not in own:
        return None
    own["vmSize"] = own["vmSize"].upper()
    old = before["properties"]["properties"] if before else own
    for key in ("vmSize", "vmPriority"):
        if key in own and str(old.get(key, own[key])).lower() != str(own[key]).lower():
            return failed(400, "BadArgument", f"{key} of a compute cannot be changed.")
    for key in ("vmSize", "vmPriority"):
        own.setdefault(key, old.get(key, "Dedicated"))
    cores = int(re.sub(r"\D", " ", own["vmSize"]).split()[0]) * int(own.get("scaleSettings", {}).get("maxNodeCount", 0))
    if cores > CORES:
        return failed(400, "QuotaExceeded", f"The request needs {cores} cores of a quota of {CORES}.")
    return None


def _hash(code: Document) -> object:
    return (code["properties"].get("properties") or {}).get("hash_sha256")


def failed(status: int, code: str, message: str) -> Response:
    """Return an error in the service's form."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def not_found(path: str) -> Response:
    """Return the service's answer for a resource that is not there."""
    kind, group = path.split("/providers/")[-1], "/".join(path.split("/")[4:5])
    return failed(404, "ResourceNotFound", f"The Resource '{kind}' under resource group '{group}' was not found.")


def _content(properties: Document) -> Document:
    return {key: value for key, value in properties.items() if key not in MAY_CHANGE}
