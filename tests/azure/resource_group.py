"""What the resource manager does beside keeping documents: identities, roles that exist once, names that stay taken."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
TRACKED = re.compile(r"/providers/[^/]+/[^/]+/[^/]+(/onlineEndpoints/[^/]+(/deployments/[^/]+)?)?$", re.I)
"""What the list of a resource group names: top-level resources, and the endpoints of a workspace."""
ROLE = "Microsoft.Authorization/roleAssignments"
BLOBS = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
"""The role Storage Blob Data Contributor."""


class ResourceGroups:
    """The rules for resources that a template declares."""

    def __init__(self, documents: dict[str, Document]) -> None:
        self._documents = documents
        self._taken: dict[str, str] = {}
        """Path of what was deleted, and keeps its name -> what it is."""

    def resources(self, group: str) -> list[Document]:
        """Return what the list of a resource group names."""
        inside = (one for key, one in self._documents.items() if key.startswith(f"{group.lower()}/providers/"))
        listed = [one for one in inside if TRACKED.search(one["id"]) and one["id"].count("/providers/") == 1]
        return [one for one in listed if "Microsoft.Resources" not in one["id"] and ROLE not in one["id"]]

    def refusal(self, path: str, body: Document) -> tuple[str, str] | None:
        """Return code and message with which the service refuses a PUT."""
        own = body.get("properties") or {}
        if path.lower() in self._taken and own.get("createMode") != "recover":
            what = self._taken[path.lower()]
            return "Conflict", f"A {what} with the same name already exists in deleted state."
        scope, is_role, _ = path.partition(f"/providers/{ROLE}/")
        for key, other in self._documents.items() if is_role else ():
            same = key.startswith(f"{scope}/providers/{ROLE}/".lower()) and key != path.lower()
            if same and all(
                other["properties"].get(each) == own.get(each) for each in ("principalId", "roleDefinitionId")
            ):
                return "RoleAssignmentExists", "The role assignment already exists."
        return None

    def complete(self, path: str, document: Document) -> Iterator[tuple[str, Document]]:
        """Add what the service adds to a document, and yield other documents that it makes with it."""
        self._taken.pop(path.lower(), None)
        own = document["properties"]
        own.pop("createMode", None)
        principal = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{path}{document['systemData']['createdAt']}"))
        if document["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities":
            own |= {"principalId": principal, "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, principal))}
        if (document.get("identity") or {}).get("type") == "SystemAssigned":
            document["identity"] = {"type": "SystemAssigned", "principalId": principal}
        subscription = "/".join(path.split("/")[:3])
        if document["type"] == "Microsoft.Logic/workflows":
            url = f"https://prod.westeurope.logic.azure.com/{principal}?sig=secret"
            yield f"{path}/triggers/newVersion/listCallbackUrl", {"list": {"value": url}}
        if document["type"] == "Microsoft.KeyVault/vaults":
            self._documents.pop(
                f"{subscription}/providers/microsoft.keyvault/deletedvaults/{document['name']}".lower(), None
            )
        if document["type"] == "Microsoft.MachineLearningServices/workspaces" and document.get("identity"):
            definition = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{BLOBS}"
            role = {"principalId": document["identity"]["principalId"], "roleDefinitionId": definition}
            yield f"{own['storageAccount']}/providers/{ROLE}/{principal}", {"properties": role}

    def remember(self, document: Document, *, for_good: bool) -> None:
        """Keep the name of what is deleted, where the service does."""
        path, kind = document["id"], document["type"]
        if kind == "Microsoft.KeyVault/vaults" and document["properties"].get("enablePurgeProtection"):
            self._taken[path.lower()] = "vault"
            deleted = f"/{'/'.join(path.split('/')[1:3])}/providers/Microsoft.KeyVault/deletedVaults/{document['name']}"
            self._documents[deleted.lower()] = {"id": deleted, "name": document["name"], "properties": {}}
        if kind == "Microsoft.MachineLearningServices/workspaces" and not for_good:
            self._taken[path.lower()] = "workspace"
