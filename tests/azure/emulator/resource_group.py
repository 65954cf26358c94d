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
ADMINISTRATOR = "b78c5d69-af96-48a3-bf8d-a8b4d589de94"
"""The role Azure AI Administrator, which a workspace's own identity gets on its resource group."""
LOCK = "Microsoft.Authorization/locks"
VAULT = "Microsoft.KeyVault/vaults"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
TOPIC = "Microsoft.EventGrid/systemTopics"
SUBSCRIBED = "Microsoft.EventGrid/eventSubscriptions"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
DAYS = "softDeleteRetentionInDays"


class ResourceGroups:
    """The rules for resources that a template declares."""

    def __init__(self, documents: dict[str, Document]) -> None:
        self._documents = documents
        self._deleted: dict[str, Document] = {}
        """What was deleted, and keeps its name, by its path."""

    def resources(self, group: str) -> list[Document]:
        """Return what the list of a resource group names."""
        inside = (one for key, one in self._documents.items() if key.startswith(f"{group.lower()}/providers/"))
        listed = [one for one in inside if TRACKED.search(one["id"]) and one["id"].count("/providers/") == 1]
        return [one for one in listed if not re.search("/Microsoft.(Resources|Authorization)/", one["id"])]

    def below(self, group: str, kind: str, principal: str = "") -> list[Document]:
        """Return the locks or the role assignments on a resource group and on what lies in it."""
        found = [one for key, one in self._documents.items() if key.startswith(f"{group.lower()}/")]
        found = [one for one in found if one["type"].lower() == kind.lower()]
        return [one for one in found if principal in ("", one["properties"].get("principalId"))]

    def permissions(self, scope: str, principal: str) -> list[Document]:
        """Return what an owner of the subscription may do: read and write data only by a role for that."""
        found: list[Document] = [{"actions": ["*"], "notActions": []}]
        for role in self.below("/".join(scope.split("/")[:5]), ROLE, principal):
            held = f"{scope.lower()}/".startswith(f"{role['id'].partition(f'/providers/{ROLE}/')[0].lower()}/")
            if held and role["properties"]["roleDefinitionId"].endswith(BLOBS):
                found.append({"actions": [], "dataActions": ["Microsoft.Storage/storageAccounts/blobServices/*"]})
        return found

    def refusal(self, path: str, body: Document) -> tuple[str, str] | None:
        """Return code and message with which the service refuses a PUT."""
        own, there, deleted = (
            body.get("properties") or {},
            self._documents.get(path.lower()),
            self._deleted.get(path.lower()),
        )
        if deleted and deleted["type"] == WORKSPACE:
            return "BadRequest", "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete"
        if deleted and own.get("createMode") != "recover":
            text = "A vault with the same name already exists in deleted state. You need to either recover or purge"
            return "ConflictError", f"{text} existing key vault."
        if deleted and deleted.get("location") != body.get("location"):
            return "VaultNotFound", f"There is no deleted vault of this name in {body.get('location')}."
        before = (there or deleted or {"properties": {}})["properties"]
        if f"/{VAULT}/" in path and DAYS in before and own.get(DAYS, before[DAYS]) != before[DAYS]:
            return "BadRequest", f'The property "{DAYS}" has been set already and it can\'t be modified.'
        scope, is_role, _ = path.partition(f"/providers/{ROLE}/")
        if is_role and not GUID.fullmatch(str(own.get("principalId"))):
            text = f"Error converting value '{own.get('principalId')}' to type 'System.Guid'."
            return "InvalidRequestContent", f"The request content is not valid and could not be deserialized: {text}"
        for key, other in self._documents.items() if is_role else ():
            same = key.startswith(f"{scope}/providers/{ROLE}/".lower()) and key != path.lower()
            if same and all(
                other["properties"].get(each) == own.get(each) for each in ("principalId", "roleDefinitionId")
            ):
                return "RoleAssignmentExists", "The role assignment already exists."
        if f"/{TOPIC}/" in path and (topic := self._topic(own.get("source"))) and topic["id"].lower() != path.lower():
            text = "There is an existing tracked system topic for the given source."
            return "InvalidRequest", f"{text} Only one system topic is allowed per source."
        return None

    def lock_on(self, path: str) -> tuple[str, str] | None:
        """Return code and message with which a lock refuses to delete."""
        for lock in self.below("/".join(path.split("/")[:5]), LOCK):
            scope = lock["id"].partition(f"/providers/{LOCK}/")[0].lower()
            if f"{path.lower()}/".startswith(f"{scope}/") or scope.startswith(f"{path.lower()}/"):
                text = f"The scope '{path}' cannot perform delete operation because following scope(s) are locked"
                return "ScopeLocked", f"{text}: '{scope}'. Please remove the lock and try again."
        return None

    def _topic(self, source: str | None) -> Document | None:
        topics = [one for one in self._documents.values() if one["type"].lower() == TOPIC.lower()]
        return next(
            (one for one in topics if str(one["properties"].get("source")).lower() == str(source).lower()), None
        )

    def complete(self, path: str, document: Document) -> Iterator[tuple[str, Document]]:
        """Add what the service adds to a document, and yield other documents that it makes with it."""
        own = document["properties"]
        if deleted := self._deleted.pop(path.lower(), None):
            own |= {DAYS: deleted["properties"].get(DAYS, 90)}
        own.pop("createMode", None)
        principal = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{path}{document['systemData']['createdAt']}"))
        if document["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities":
            own |= {"principalId": principal, "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, principal))}
        if (document.get("identity") or {}).get("type") == "SystemAssigned":
            document["identity"] = {"type": "SystemAssigned", "principalId": principal}
        subscription, group = "/".join(path.split("/")[:3]), "/".join(path.split("/")[:5])
        if document["type"] == "Microsoft.Logic/workflows":
            url = f"https://prod.westeurope.logic.azure.com/{principal}?sig=secret"
            yield f"{path}/triggers/newVersion/listCallbackUrl", {"list": {"value": url}}
        if document["type"] == VAULT:
            self._documents.pop(
                f"{subscription}/providers/microsoft.keyvault/deletedvaults/{document['name']}".lower(), None
            )
        source = path.partition(f"/providers/{SUBSCRIBED}/")[0]
        if document["type"] == SUBSCRIBED and not self._topic(source):
            topic = f"{source.rpartition('/')[2]}-{uuid.uuid4()}"
            yield f"{group}/providers/{TOPIC}/{topic}", {"properties": {"source": source}}
        if document["type"] == WORKSPACE and document.get("identity"):
            for scope, role in ((own["storageAccount"], BLOBS), (group, ADMINISTRATOR)):
                definition = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
                given = {"principalId": document["identity"]["principalId"], "roleDefinitionId": definition}
                yield f"{scope}/providers/{ROLE}/{principal}", {"properties": given}

    def remember(self, document: Document, *, for_good: bool) -> None:
        """Keep the name of what is deleted, where the service does."""
        path, kind = document["id"], document["type"]
        if kind == VAULT and document["properties"].get("enablePurgeProtection"):
            self._deleted[path.lower()] = document
            deleted = f"/{'/'.join(path.split('/')[1:3])}/providers/Microsoft.KeyVault/deletedVaults/{document['name']}"
            told = {"vaultId": path, "location": document.get("location"), "scheduledPurgeDate": "2027-03-01T00:00:00Z"}
            self._documents[deleted.lower()] = {"id": deleted, "name": document["name"], "type": "", "properties": told}
        if kind == WORKSPACE and not for_good:
            self._deleted[path.lower()] = document
