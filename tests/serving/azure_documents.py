"""What Azure knows of one endpoint, in memory: for tests that kill a change at each of its requests.

The emulator of `tests/azure` holds the same requests to Azure's rules and serves; this one only remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.errors import AzureError
from notebooks_lib.serving.azure_changes import AzureChanges
from notebooks_lib.serving.azure_deployment import StageDeployment
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.settings import Settings
from tests.serving.test_azure_slots import SLOT

PLACE = Workspace("s", "g", "w")
ENDPOINT = f"{PLACE.path}/onlineEndpoints/houses"


class Killed(BaseException):
    """As a process that is killed: nothing handles it."""


class Documents:
    """In place of the client of the resource manager. `writes` are the requests that changed something."""

    def __init__(self, *, die_at: int = 0, die_after: bool = False) -> None:
        self.there: dict[str, Any] = {}
        self.writes: list[str] = []
        self.broken: dict[str, AzureError] = {}
        """Slot -> what making its deployment raises; a status of 400 or more leaves no deployment."""
        self.die_at = die_at
        self.die_after = die_after

    @property
    def traffic(self) -> dict[str, int]:
        """What the callers get."""
        return {slot: share for slot, share in self.there[ENDPOINT]["properties"]["traffic"].items() if share}

    @property
    def deployments(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.there if "/deployments/" in path]

    def request(self, method: str, path: str, api_version: str, **more: Any) -> Any:
        if path.endswith("/getLogs"):
            return {"content": ""}
        if path not in self.there:
            raise AzureError("no such endpoint or deployment", status=404)
        return self.there[path]

    def pages(self, path: str, api_version: str, **more: Any) -> Iterator[Any]:
        yield from [document for name, document in self.there.items() if name.rpartition("/")[0] == path]

    def operation(self, method: str, path: str, api_version: str, *, body: Any = None, **more: Any) -> Any:
        name = path.rpartition("/")[2]
        self.writes.append(f"{method} {name}")
        if len(self.writes) == self.die_at and not self.die_after:
            raise Killed
        if method == "DELETE":
            assert not self.traffic.get(name), "Azure deletes no deployment with traffic"
            self.there.pop(path, None)
        else:
            self._put(path, name, body)
        if len(self.writes) == self.die_at:
            raise Killed
        return self.there.get(path)

    def _put(self, path: str, name: str, body: Any) -> None:
        error = self.broken.get(name)
        if path == ENDPOINT:
            assert sum(body["properties"]["traffic"].values()) in (0, 100)
            assert {*body["properties"]["traffic"]} <= {*self.deployments}, "traffic on a slot that is missing"
        if error is None or (error.status or 0) < 400:
            state = "Failed" if error else "Succeeded"
            self.there[path] = body | {"name": name, "properties": body["properties"] | {"provisioningState": state}}
        if error is not None:
            raise error


def changes(documents: Any, settings: Settings) -> AzureChanges:
    """The changes of endpoint houses of prod."""
    return AzureChanges(StageDeployment(settings, "prod", documents, PLACE, "houses"))


def serving(settings: Settings, **shares: int) -> Documents:
    """An endpoint whose slots blue and green serve these shares."""
    documents = Documents()
    change = changes(documents, settings)
    body = {"location": "westeurope", "tags": {"team": "sales"}, "properties": {"traffic": {}, "mirrorTraffic": {}}}
    documents.operation("PUT", ENDPOINT, "1", body=body)
    for name in ("blue", "green"):
        change.at.fill(name, held(change, name), "westeurope")
    endpoint = change.find()
    assert endpoint is not None
    change.change(endpoint, traffic=shares)
    documents.writes.clear()
    return documents


def held(change: AzureChanges, name: str) -> AzureSlot:
    """What a slot of `serving` holds."""
    from dataclasses import replace

    return change.at.with_todays_settings(replace(SLOT, version={"blue": "1", "green": "2"}[name]))
