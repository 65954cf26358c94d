"""Deploy versions of a model to a batch endpoint of Azure, find them again, and delete the endpoint.

A model has one endpoint in the workspace of a stage, and each version a deployment: a batch may name an older one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from notebooks_lib.azure.assets import code_asset, environment, model_asset
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints import batch_endpoint
from notebooks_lib.azure.endpoints.batch_endpoint import BatchDeployment, BatchEndpoint, BatchParts
from notebooks_lib.azure.jobs import compute
from notebooks_lib.azure.project_files import batch_file_kinds, file_check
from notebooks_lib.errors import EndpointError, ModelError, UsageError
from notebooks_lib.models.registry import Version
from notebooks_lib.serving import load_check, scoring_code, scoring_environment, scoring_script, server_launch
from notebooks_lib.serving.batch import batch_scratch
from notebooks_lib.serving.batch.batch_request import BatchModel
from notebooks_lib.settings import Settings, endpoint_names
from notebooks_lib.tags import Tag

Tell = Callable[[str], None]


@dataclass(frozen=True)
class DeployedBatch:
    """A version that a batch endpoint can score with."""

    model: str
    version: str
    endpoint: str
    deployment: str
    workspace: str
    changed: bool
    """False when all of it was there already."""


@dataclass(frozen=True)
class BatchDeployments:
    """The deployments of a model in the workspace of one stage."""

    settings: Settings
    model: str
    stage: str

    @cached_property
    def client(self) -> RestClient:
        """The client of Azure Resource Manager."""
        return rest_client.resource_manager()

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace of the stage. Raises SettingsError when none is named."""
        return workspace.stage_workspace(self.settings, self.stage)

    @cached_property
    def endpoint(self) -> str:
        """The name of the endpoint. Raises UsageError when Azure does not take it."""
        name = endpoint_names.azure_name(self.settings.stages.endpoint(self.stage, self.model))
        return endpoint_names.check_azure_name("batch endpoint", f"{name}-batch", self.stage)

    def deploy(self, version: str = "", *, tell: Tell = lambda line: None) -> DeployedBatch:
        """Make endpoint and deployment of a version, by default the champion, and make it the endpoint's default.

        Raises UsageError with the faults of a file, ModelError for files that were changed or do not load here,
        AzureError when Azure refuses or takes too long. The same again completes what was cut short.
        """
        of_endpoint, of_deployment = self._values("endpoint.yml"), self._values("deployment.yml")
        name, there = self.endpoint, self.find()
        with BatchModel.fetch(self.model, version, self.stage, self.settings) as model:
            self._check_here(model)
            parts = self._parts(model, of_deployment, tell)
        chosen = _deployment_name(model.version)
        at = self.client, self.workspace, name
        location = str(workspace.read(self.client, self.workspace)["location"])
        body = batch_endpoint.deployment_body(location, of_deployment, parts)
        body["tags"][Tag.BATCH_SETTINGS] = digest = _digest(body)
        tags = {Tag.ENDPOINT_MODEL: self.model}
        tags[Tag.BATCH_SETTINGS] = _digest(batch_endpoint.endpoint_body(location, of_endpoint, tags))
        if there is None:
            tell(f"batch endpoint {name}: making it")
            there = batch_endpoint.put_batch_endpoint(*at, batch_endpoint.endpoint_body(location, of_endpoint, tags))
        before = batch_endpoint.find_batch_deployment(*at, chosen)
        same = before is not None and before.state == "Succeeded" and before.tags.get(Tag.BATCH_SETTINGS) == digest
        if not same:
            tell(f"batch endpoint {name}: deploying version {model.version.version}")
            batch_endpoint.put_batch_deployment(*at, chosen, body)
        as_wanted = there.default == chosen and there.tags.get(Tag.BATCH_SETTINGS) == tags[Tag.BATCH_SETTINGS]
        if not as_wanted:
            body = batch_endpoint.endpoint_body(location, of_endpoint, tags, chosen)
            batch_endpoint.put_batch_endpoint(*at, body)
        changed = not (same and as_wanted)
        return DeployedBatch(self.model, model.version.version, name, chosen, str(self.workspace.name), changed)

    def find(self) -> BatchEndpoint | None:
        """Return the endpoint; None if there is none. Raises UsageError when nbops did not make it for this model."""
        found = batch_endpoint.find_batch_endpoint(self.client, self.workspace, self.endpoint)
        other = found.tags.get(Tag.ENDPOINT_MODEL, "") if found is not None else self.model
        if other != self.model:
            what = f"scores with model {other!r}, not {self.model!r}" if other else "was not made by nbops"
            raise UsageError(
                f"batch endpoint {self.endpoint!r} of workspace {self.workspace.name!r} {what}; give the stage another "
                f"name: endpoint under [stages.{self.stage}]"
            )
        return found

    def require(self, model: BatchModel) -> tuple[BatchEndpoint, BatchDeployment]:
        """Return endpoint and deployment of a version. Raises UsageError unless it was deployed with these files."""
        endpoint = self.find()
        number, stage = model.version.version, "" if self.stage == "prod" else f" --stage {self.stage}"
        how = f"nbops batch deploy {self.model} --version {number}{stage}"
        if endpoint is None:
            raise UsageError(
                f"model {self.model!r} has no batch endpoint in workspace {self.workspace.name!r}: make one: {how}; "
                "or score here: --on local"
            )
        name = _deployment_name(model.version)
        found = batch_endpoint.find_batch_deployment(self.client, self.workspace, endpoint.name, name)
        if found is None or found.state != "Succeeded" or found.tags.get(Tag.MODEL_SHA256) != model.sha256:
            state = "is not deployed to" if found is None else "is not ready, or has other files, at"
            raise UsageError(f"version {number} {state} batch endpoint {endpoint.name!r}: {how}")
        return endpoint, found

    def delete(self) -> bool:
        """Delete the endpoint with its deployments; return False if there was none."""
        if self.find() is None:
            return False
        batch_endpoint.delete_batch_endpoint(self.client, self.workspace, self.endpoint)
        return True

    def _values(self, name: str) -> dict[str, Any]:
        path = file_check.folder(self.settings.root) / batch_file_kinds.FOLDER / name
        return file_check.valid_values(path, file_check.BATCH[name], self.settings.root, os.environ)

    def _check_here(self, model: BatchModel) -> None:
        """Load the model in a child process. Raises ModelError when it does not load, or answers no example."""
        with batch_scratch.scratch_folder(self.settings) as scratch:
            seconds, variables = self.settings.endpoint.start_timeout, server_launch.server_environment()
            try:
                load_check.check_load(model.folder, scratch / "log", seconds, variables)
            except EndpointError as error:
                raise ModelError(f"version {model.version.version} cannot score: {error}") from error

    def _parts(self, model: BatchModel, values: dict[str, Any], tell: Tell) -> BatchParts:
        """Bring model, environment, code and compute into the workspace, where each is found again by its content."""
        at, version = (self.client, self.workspace), model.version
        files = model_asset.folder_files(model.folder)
        wanted = scoring_environment.scoring_requirements(model.folder, batch=True).environment()
        code = scoring_code.scoring_code(self.settings.root)
        return BatchParts(
            model=model_asset.find_or_upload_model(*at, self.model, version.version, files, model.sha256),
            environment=environment.find_or_create_environment(*at, wanted, tell=tell),
            code=code_asset.find_or_upload_snapshot(*at, code, tell=tell),
            script=scoring_code.SCRIPT,
            compute=compute.find_or_create_compute(
                *at, batch_file_kinds.compute_of(values), self.settings.root, os.environ, tell=tell
            ),
            variables=scoring_script.scoring_variables(version.version, model.sha256),
            tags={Tag.MODEL_SHA256: model.sha256, Tag.ENDPOINT_MODEL: self.model},
        )


def _deployment_name(version: Version) -> str:
    return endpoint_names.check_azure_name("deployment", f"version-{version.version}")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:16]
