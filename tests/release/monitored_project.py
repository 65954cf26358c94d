"""A project with a registered model that was trained on a dataset, and an endpoint of the emulator that serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import datasets
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store, connect
from tests.azure.emulator import Emulated
from tests.azure.monitored_endpoint import DEPLOYMENT, FILE, put_endpoint, put_slot
from tests.release import moving
from tests.serving.azure_project import azure_project

ENDPOINT = "houses-live"
STAGE = '[stages.prod]\nendpoint = "azureml:{model}-live"\n'


@dataclass(frozen=True)
class Monitored:
    """The project, and the workspace with its endpoint."""

    server: Emulated
    settings: Settings
    store: Store
    client: RestClient
    place: Workspace

    def add_version(self, dataset: str = "diabetes@1", metric: str = "rmse") -> str:
        """Register a version that was trained on a dataset; return its number."""
        version = moving.version(self.store, 1.0)
        used = datasets.read(dataset, self.settings)
        tag = DatasetTag.of(used.name, used.version, used.fingerprint)
        self.store.client.set_tag(version.run_id, f"{Tag.DATASET_PREFIX}{used.name}", str(tag))
        self.store.client.log_metric(version.run_id, metric, 1.0)
        return version.version

    def serve(self, slot: str, version: str, *, mode: str = "Enabled") -> None:
        """Let a slot that holds a version serve all requests."""
        put_slot(self.server, self.client, self.place, ENDPOINT, slot, mode=mode, version=version)
        put_endpoint(self.server, self.place, ENDPOINT, {slot: 100}, **{Tag.ENDPOINT_MODEL: moving.MODEL})


@contextlib.contextmanager
def monitored_project(server: Emulated, root: Path) -> Iterator[Monitored]:
    """A project with monitor.yml and a workspace of its own."""
    with azure_project(server, root, stage=STAGE) as settings:
        folder = settings.root / "production" / "azure"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "monitor.yml").write_text(FILE)
        (folder / "deployment.yml").write_text(DEPLOYMENT)
        place = workspace.find_workspace(settings)
        yield Monitored(server, settings, connect(settings), rest_client.resource_manager(), place)
