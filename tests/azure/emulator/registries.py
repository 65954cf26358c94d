"""Azure ML registries: where one is, what it holds, and the import of what a workspace shares with it.

A registry keeps the files of a model itself, so that it has them when the workspace is gone.
"""

from __future__ import annotations

import re
import shutil
import uuid
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.azure.emulator import TENANT
from tests.azure.emulator.blobs import ACCOUNT, folder_of
from tests.azure.emulator.certificates import REGIONS
from tests.azure.emulator.faults import Fault, Faults
from tests.azure.emulator.resource_manager import POLLS, RETRY, Document, ResourceManager, failed, not_found

PLANE = "mferp/managementfrontend"
REGISTRY = (
    "subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/registries/{registry}"
)
KIND = "/providers/Microsoft.MachineLearningServices/registries/"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
SOURCE = re.compile(r"azureml://locations/([^/]+)/workspaces/([^/]+)/(models|environments)/([^/]+)/versions/([^/]+)")
KEYS = {"referenceType", "destinationName", "destinationVersion", "sourceAssetId"}
IDENTITY = ("name", "id", "type")


@dataclass
class Import:
    """An import that has begun: the version is there at its end."""

    path: str
    asset_id: str
    source: Document
    fault: Fault | None
    polls: int = POLLS


class Registries:
    """The registries, which the resource manager makes, and their plane of data."""

    def __init__(self, root: Path, manager: ResourceManager, faults: Faults) -> None:
        self._root, self._manager, self._faults = root, manager, faults
        self._imports: dict[str, Import] = {}
        self.routes = [
            Route("/registrymanagement/v1.0/registries/{registry}/discovery", self.discovery),
            Route(f"/{PLANE}/{REGISTRY}/import", self.begin, methods=["POST"]),
            Route(f"/{PLANE}/operations/{{operation}}", self.poll),
            Route(f"/{PLANE}/{REGISTRY}/{{asset:path}}", self.read),
        ]

    async def discovery(self, request: Request) -> Response:
        """Say in which group a registry is, and who answers for it."""
        name = request.path_params["registry"]
        path = self._manager.path_of(KIND.strip("/"), name)
        if not path:
            return failed(404, "RegistryNotFound", f"Registry {name} was not found.")
        document = self._manager.find(path) or {}
        details = document["properties"].get("regionDetails") or []
        regions = [each["location"] for each in details] or [document.get("location", REGIONS[0])]
        answer = {"registryName": document["name"], "tenantId": TENANT, "primaryRegion": regions[0], "regions": regions}
        answer |= {"subscriptionId": path.split("/")[2], "resourceGroup": path.split("/")[4], "workspaceName": None}
        return JSONResponse(answer | {"primaryRegionResourceProviderUri": f"https://{regions[0]}.api.azureml.ms/"})

    async def read(self, request: Request) -> Response:
        """Answer for a version, or for all of a name; what is on its way to be there comes nearer to it."""
        path = request.url.path.removeprefix(f"/{PLANE}")
        if "api-version" not in request.query_params:
            return failed(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        for name in [name for name, begun in self._imports.items() if begun.path.lower() == path.lower()]:
            self._step(name)
        if path.endswith("/versions"):
            return JSONResponse({"value": self._manager.below(path)})
        document = self._manager.find(path)
        return JSONResponse(document) if document is not None else not_found(path)

    async def begin(self, request: Request) -> Response:
        """Begin to copy what a workspace shares; a version that is there, or on its way, is never replaced."""
        registry = request.url.path.removeprefix(f"/{PLANE}").removesuffix("/import")
        if self._manager.find(registry) is None:
            return not_found(registry)
        own = (await request.json()).get("properties") or {}
        source = SOURCE.fullmatch(str(own.get("sourceAssetId")))
        name, version = str(own.get("destinationName") or ""), str(own.get("destinationVersion") or "")
        if own.get("referenceType") != "Id" or source is None or own.keys() != KEYS:
            return failed(400, "BadRequest", "The reference of an asset to import is of type Id and names a workspace.")
        if not NAME.fullmatch(name) or not NAME.fullmatch(version):
            return failed(400, "BadRequest", f"The name {name!r} or version {version!r} is invalid.")
        shared = self._shared(*source.groups())
        if shared is None:
            return failed(404, "ResourceNotFound", f"The asset {source[0]} was not found.")
        path = f"{registry}/{source[3]}/{name}/versions/{version}"
        if self._manager.find(path) is not None:
            return failed(409, "UserError", f"{source[3]} {name}:{version} already exists in the registry.")
        if any(each.path.lower() == path.lower() for each in self._imports.values()):
            return failed(409, "UserError", f"Another import of {name}:{version} is in progress.")
        asset_id = f"azureml://registries/{registry.rpartition('/')[2]}/{source[3]}/{name}/versions/{version}"
        fault = self._faults.take(request, "operation_fails", "operation_never_ends")
        operation = uuid.uuid4().hex
        self._imports[operation] = Import(path, asset_id, deepcopy(shared), fault)
        location = f"https://{request.url.hostname}/{PLANE}/operations/{operation}"
        headers = {"Location": f"{location}?api-version=2021-10-01-dataplanepreview", **RETRY}
        return Response(status_code=202, headers=headers)

    def _shared(self, location: str, guid: str, kind: str, name: str, version: str) -> Document | None:
        workspace = self._manager.workspace_of(guid)
        if workspace is None or workspace["location"].lower() != location.lower():
            return None
        return self._manager.find(f"{workspace['id']}/{kind}/{name}/versions/{version}")

    async def poll(self, request: Request) -> Response:
        """Say how an import goes, which comes nearer to its end as often as somebody looks."""
        name = request.path_params["operation"]
        if name not in self._imports:
            return failed(404, "NotFound", f"The operation {name} was not found.")
        fault = self._imports[name].fault
        if not self._step(name):
            return Response(status_code=202, headers={"Location": str(request.url), **RETRY})
        return failed(400, fault.code, fault.message) if fault else Response(status_code=200)

    def _step(self, name: str) -> bool:
        begun = self._imports[name]
        begun.polls -= begun.fault is None or begun.fault.kind != "operation_never_ends"
        if begun.polls > 0:
            return False
        del self._imports[name]
        if begun.fault is None:
            self._finish(begun)
        return True

    def _finish(self, begun: Import) -> None:
        document = {key: value for key, value in begun.source.items() if key not in IDENTITY}
        own = document["properties"] = dict(document["properties"])
        if "modelUri" in own:
            place = f"registries/{begun.asset_id.removeprefix('azureml://registries/')}"
            shutil.copytree(self._root / folder_of(own["modelUri"]), self._root / place, dirs_exist_ok=True)
            own["modelUri"] = f"https://{ACCOUNT}/{place}"
            own.setdefault("flavors", {})
        self._manager.put(begun.path, document, asset_id=begun.asset_id)
