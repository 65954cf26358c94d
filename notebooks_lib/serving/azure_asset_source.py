"""Where the slots of a stage get model and environment from: the endpoint's workspace, or an Azure ML registry.

A stage in another workspace than the project's gets both through the registry: each is an asset of the project's
workspace first, and is shared from there once. Marks, ledger and journal stay in the project's store.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.azure.assets import asset_registry, environment, model_asset
from notebooks_lib.azure.assets.asset_registry import AssetRegistry, SharedAsset
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.errors import AzureError
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag

log = logging.getLogger("nbops.endpoint")


@dataclass(frozen=True)
class AssetSource:
    """The workspace in which a stage's versions are assets, and the registry that they are shared to, if any."""

    client: RestClient
    home: Workspace
    tracks_here: bool
    """Whether the project registers its versions in this workspace."""
    registry: AssetRegistry | None
    wait_seconds: float
    """How long a version may take to be shared."""

    @classmethod
    def of(cls, settings: Settings, stage: str, client: RestClient, target: Workspace) -> AssetSource:
        """Return the source for a stage whose endpoint is in the workspace `target`. Raises AzureError."""
        name = workspace.stage_registry(settings, stage)
        registry = asset_registry.open_registry(name) if name else None
        project = workspace.project_workspace(settings)
        home = project if registry and project else target
        tracks_here = settings.tracking.uri == "azureml" and home == project
        return cls(client, home, tracks_here, registry, 60 * settings.stages.of(stage).wait_minutes)

    def model(self, name: str, version: str, folder: Path, sha256: str) -> str:
        """Return the id of a version of a model, whose files in `folder` have the digest `sha256`.

        Raises AzureError when the registry has other files under this name and version.
        """
        found = model_asset.find_model(self.client, self.home, name, version) if self.tracks_here else ""
        if not found:  # what is registered there is an asset of this name and number already
            files = model_asset.folder_files(folder)
            found = model_asset.find_or_upload_model(self.client, self.home, name, version, files, sha256)
        if self.registry is None:
            return found
        number = found.rpartition("/")[2]
        shared = self._share(self.registry, "models", name, number)
        digest = shared.labels.get(Tag.MODEL_SHA256, "")
        if not digest:
            log.info("%s says no digest of %s:%s: score.py alone checks its files", self.registry, name, number)
        elif digest != sha256:
            raise AzureError(
                f"{self.registry} has other files as {name}:{number} (digest {digest[:12]}, ours {sha256[:12]}), which"
                " another workspace shared",
                "name another registry under [azure], or promote under another model's name: a version never changes",
            )
        return shared.id

    def environment(self, wanted: Environment) -> str:
        """Return the id of an environment's version, which is made if it is not there."""
        found = environment.find_or_create_environment(self.client, self.home, wanted, tell=log.info)
        if self.registry is None:
            return found
        return self._share(self.registry, "environments", wanted.name, wanted.version).id

    def _share(self, registry: AssetRegistry, kind: asset_registry.Kind, name: str, version: str) -> SharedAsset:
        at = registry, self.client, self.home, kind, name, version
        return asset_registry.share_asset(*at, wait_seconds=self.wait_seconds, tell=log.info)
