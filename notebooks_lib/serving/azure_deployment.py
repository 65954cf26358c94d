"""Fill a slot of an online endpoint of Azure, step by step; a slot that fails is deleted, and says why in one line.

check    the model was loaded here in a child process and predicted its example; nothing is in Azure yet
parts    model version, environment and code are where the endpoint finds them (`azure_asset_source.py`)
slot     what the slot held is deleted, the new deployment is made and waited for
ask      the new slot answers the model's example
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.assets import code_asset, data_asset, model_asset
from notebooks_lib.azure.assets.data_asset import DataAsset
from notebooks_lib.azure.client import workspace as workspaces
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import deployment_failure, online_deployment
from notebooks_lib.azure.endpoints.online_deployment import CONTAINERS, DeployedParts
from notebooks_lib.azure.project_files import endpoint_file_kinds, stage_files
from notebooks_lib.azure.storage import datastore
from notebooks_lib.errors import AzureError, EndpointError
from notebooks_lib.models import model_files
from notebooks_lib.serving import (
    azure_slots,
    load_check,
    scoring_code,
    scoring_environment,
    scoring_script,
    server_launch,
)
from notebooks_lib.serving.azure_asset_source import AssetSource
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.endpoint import FetchedModel, ServedVersion
from notebooks_lib.settings import Settings

log = logging.getLogger("nbops.endpoint")

TOLD_EVERY = 30.0
"""Seconds between two lines about a deployment that takes long."""
LOG_LINES = 50
"""Lines of each container's log that a failure shows."""


@dataclass(frozen=True)
class StageDeployment:
    """Deploys to the endpoint of one stage, by the files of this stage."""

    settings: Settings
    stage: str
    client: RestClient
    workspace: Workspace
    endpoint: str

    @property
    def wait_seconds(self) -> float:
        """How long a deployment may take."""
        return 60 * self.settings.stages.of(self.stage).wait_minutes

    def endpoint_values(self) -> dict[str, Any]:
        """Return what the files say of the endpoint. Raises UsageError with the faults of a file."""
        return stage_files.read_stage_values(self.settings.root, self.stage, endpoint_file_kinds.ENDPOINT, os.environ)

    def slot_values(self) -> dict[str, Any]:
        """Return what the files say of its slots. Raises UsageError with the faults of a file."""
        return stage_files.read_stage_values(self.settings.root, self.stage, endpoint_file_kinds.DEPLOYMENT, os.environ)

    def check_files(self) -> None:
        """Raise UsageError with the faults of the files, before anything is fetched or sent."""
        self.endpoint_values()
        self.slot_values()
        if lacks := self.lacks():
            raise errors.UsageError(lacks)

    def lacks(self) -> str:
        """Return which setting is missing without which nothing can be deployed; empty if none is."""
        try:
            workspaces.stage_registry(self.settings, self.stage)
        except errors.SettingsError as error:
            return str(error)
        return ""

    def check_here(self, version: ServedVersion, model: FetchedModel, scratch: Path) -> tuple[str, dict[str, Any]]:
        """Load the model in a child process on this machine; return the digest of its files, and its example.

        Raises EndpointError when the files have another digest than expected, or the model does not load.
        """
        try:
            digest = model_files.read_model_files(model.folder).sha256
            if model.sha256 and digest != model.sha256:
                raise EndpointError(
                    f"the files of version {version.version} are not those that were deployed (digest {digest[:12]}, "
                    f"expected {model.sha256[:12]}): they were changed"
                )
            loaded = load_check.check_load(
                model.folder,
                scratch / "log",
                self.settings.endpoint.start_timeout,
                server_launch.server_environment(),
            )
        except (EndpointError, errors.ModelError) as error:
            raise EndpointError(
                f"endpoint {self.endpoint!r} cannot serve version {version.version}: {error}"
            ) from error
        return digest, dict(loaded["example"] or {})

    def new_slot(
        self, version: ServedVersion, model: FetchedModel, digest: str, example: Mapping[str, Any]
    ) -> AzureSlot:
        """Bring model, environment and code of a slot into the workspace, and return what the slot will hold."""
        detail = replace(version.detail, files=model.note)
        name = detail.model or self.endpoint
        source = AssetSource.of(self.settings, self.stage, self.client, self.workspace)
        if example:
            model_asset.keep_example(self.client, self.workspace, digest, example)
        code = scoring_code.scoring_code(self.settings.root)
        wanted = scoring_environment.scoring_requirements(model.folder).environment()
        slot = AzureSlot(
            version.version,
            digest,
            datetime.now(UTC).isoformat(timespec="seconds"),
            detail,
            model_id=source.model(name, version.version, model.folder, digest),
            environment_id=source.environment(wanted),
            code_id=code_asset.find_or_upload_snapshot(self.client, self.workspace, code, tell=log.info),
        )
        return self.with_todays_settings(slot)

    def with_todays_settings(self, slot: AzureSlot) -> AzureSlot:
        """Return a slot as it would be deployed by the files and settings as they are now."""
        return replace(slot, settings=self._digest(slot))

    def differing_keys(self, name: str, slot: AzureSlot) -> list[str]:
        """Return the keys of deployment.yml in which a deployment differs from the files and settings as they are now.

        Empty if nothing differs, or there is no deployment.
        """
        if self.with_todays_settings(slot).settings == slot.settings:
            return []
        found = online_deployment.find_deployment(self.client, self.workspace, self.endpoint, name)
        body = online_deployment.deployment_body("", self.slot_values(), self._parts("", slot, {}))
        return (online_deployment.differing_keys(found, body) or ["deployment.yml"]) if found else []

    def _digest(self, slot: AzureSlot) -> str:
        body = online_deployment.deployment_body("", self.slot_values(), self._parts("", slot, {}))
        about = {name: value for name, value in slot.tags().items() if not name.endswith((".since", ".settings"))}
        content = {key: value for key, value in body.items() if key != "tags"} | {"about": about}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _parts(self, name: str, slot: AzureSlot, collections: Mapping[str, str]) -> DeployedParts:
        limit = self.settings.endpoint.body_limit
        variables = scoring_script.scoring_variables(slot.version, slot.sha256, limit)
        tags = slot.tags() if name else {}
        return DeployedParts(slot.model_id, slot.environment_id, slot.code_id, variables, tags, collections)

    def fill(self, name: str, slot: AzureSlot, location: str, *, delete_failed: bool = True) -> None:
        """Make the deployment of a slot and wait until it serves.

        Raises EndpointError, with the line that matters and the ends of the logs, when it does not. A deployment that
        failed is deleted, with `delete_failed`; one of which nothing is known is not.
        """
        values = self.slot_values()
        parts = self._parts(name, slot, self._collections(name, values))
        body = online_deployment.deployment_body(location, values, parts)
        at = self.client, self.workspace, self.endpoint, name
        began = told = time.monotonic()
        log.info("slot %s of endpoint %s: deploying version %s, which takes minutes", name, self.endpoint, slot.version)

        def progress(status: str) -> None:
            nonlocal told
            if time.monotonic() - told >= TOLD_EVERY:
                told = time.monotonic()
                log.info("slot %s of endpoint %s: %s for %.0f s", name, self.endpoint, status, told - began)

        try:
            online_deployment.create_deployment(*at, body, wait_seconds=self.wait_seconds, on_poll=progress)
        except AzureError as error:
            remark = self._settle(name, slot, error, delete_failed=delete_failed)
            if remark is not None:
                raise EndpointError(remark) from error

    def _settle(self, name: str, slot: AzureSlot, error: AzureError, *, delete_failed: bool) -> str | None:
        """Return why a slot does not serve, once its deployment is deleted if it failed; None if it serves after all.

        It does where only the last look at it failed.
        """
        at = self.client, self.workspace, self.endpoint, name
        late, seen = isinstance(error.__cause__, TimeoutError), None
        try:
            seen = online_deployment.find_deployment(*at)
        except AzureError:
            log.info("slot %s of endpoint %s: whether it was made cannot be asked", name, self.endpoint)
        if seen is not None and azure_slots.holds(seen, slot):
            return None
        if seen is not None and (late or azure_slots.has_failed(seen)):
            return self.explain(name, slot.version, error, delete=delete_failed)
        going_on = seen is not None and not azure_slots.has_ended(seen)
        remark = f"; slot {name!r} may still be made: nbops endpoint status {self.endpoint}" if going_on else ""
        return self.explain(name, slot.version, error, delete=False) + remark

    def explain(self, name: str, version: str, error: AzureError, *, delete: bool) -> str:
        """Return why a slot does not serve, with the ends of its logs, and delete it if it is to be deleted."""
        logs: dict[str, list[str]] = {}
        at = self.client, self.workspace, self.endpoint, name
        for container in CONTAINERS:
            with suppress(AzureError):  # there may be no container; the first error is the one to report
                logs[container] = online_deployment.container_log(*at, container, LOG_LINES)
        found = deployment_failure.explain_failure(error, logs)
        remark = ""
        if delete:
            try:
                online_deployment.delete_deployment(*at)
            except AzureError as second:
                remark = f"; slot {name!r} is still there: {second.cause}"
        shown = "".join(f"\n  {container} | {line}" for container, lines in logs.items() for line in lines)
        return (
            f"endpoint {self.endpoint!r} cannot serve version {version} ({found.cause}): {found.line}; "
            f"{found.step}{remark}{shown}"
        )

    def _collections(self, name: str, values: Mapping[str, Any]) -> dict[str, str]:
        """Make the data assets that the collector of a slot fills; return their ids by collection."""
        ids, store = {}, None
        for collection in (values.get("data_collector") or {}).get("collections") or ():
            place = f"modelDataCollector/{self.endpoint}/{name}/{collection}"
            store = store or datastore.default_datastore(self.client, self.workspace)
            asset = DataAsset(f"{self.endpoint}-{name}-{collection}", "1", store.uri(place), {})
            data_asset.create_asset(self.client, self.workspace, asset)
            ids[collection] = f"{self.workspace.path}/data/{asset.name}/versions/{asset.version}"
        return ids
