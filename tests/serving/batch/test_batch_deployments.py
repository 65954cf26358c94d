"""A batch endpoint is nbops' own, or it is left alone; both of its files are applied, also after the first time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import batch_endpoint
from notebooks_lib.azure.endpoints.batch_endpoint import BatchDeployment, BatchEndpoint, BatchParts
from notebooks_lib.errors import UsageError
from notebooks_lib.models.registry import Version
from notebooks_lib.serving.batch.batch_deployments import BatchDeployments
from notebooks_lib.serving.batch.batch_request import BatchModel
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag

AZURE = '[azure]\nsubscription = "s"\nresource_group = "g"\nworkspace = "w"\n[stages.prod]\nendpoint = "azureml:"\n'


@pytest.fixture
def place(empty_project: Settings) -> BatchDeployments:
    empty_project.layout.settings_file.write_text(AZURE)
    return BatchDeployments(load(empty_project.root, {}), "houses", "prod")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({}, "was not made by nbops; give the stage another name"),
        ({Tag.ENDPOINT_MODEL: "cars"}, "scores with model 'cars', not 'houses'"),
    ],
)
def test_the_endpoint_of_somebody_else_is_neither_used_nor_deleted(
    place: BatchDeployments, tags: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = BatchEndpoint("houses-batch", "", "", tags)
    monkeypatch.setattr(batch_endpoint, "find_batch_endpoint", lambda *at: found)
    for act in (place.delete, place.deploy):
        with pytest.raises(UsageError, match=message):
            act()


def test_a_change_of_the_file_of_the_endpoint_is_applied(
    place: BatchDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}

    def put(client: Any, at: Any, name: str, body: Any) -> BatchEndpoint:
        kept["endpoint"] = BatchEndpoint.of({"name": name, **body})
        kept["bodies"] = [*kept.get("bodies", []), body]
        return BatchEndpoint.of({"name": name, **body})

    def put_deployment(client: Any, at: Any, endpoint: str, name: str, body: Any) -> None:
        kept["deployment"] = BatchDeployment(name, "Succeeded", body["tags"])

    @contextmanager
    def fetch(*at: Any) -> Any:
        yield BatchModel(version, place.settings.root, "digest")

    version = Version("houses", "3", "r", "", {})
    monkeypatch.setattr(BatchModel, "fetch", fetch)
    monkeypatch.setattr(BatchDeployments, "_check_here", lambda self, model: None)
    monkeypatch.setattr(BatchDeployments, "_parts", lambda *at: BatchParts("m", "e", "c", "s", "k", {}, {}))
    monkeypatch.setattr(workspace, "read", lambda *at: {"location": "westeurope"})
    monkeypatch.setattr(batch_endpoint, "find_batch_endpoint", lambda *at: kept.get("endpoint"))
    monkeypatch.setattr(batch_endpoint, "find_batch_deployment", lambda *at: kept.get("deployment"))
    monkeypatch.setattr(batch_endpoint, "put_batch_endpoint", put)
    monkeypatch.setattr(batch_endpoint, "put_batch_deployment", put_deployment)
    assert [place.deploy().changed, place.deploy().changed] == [True, False]

    file = place.settings.root / "production" / "azure" / "batch" / "endpoint.yml"
    file.parent.mkdir(parents=True)
    file.write_text("description: prices of houses\n")
    sent = len(kept["bodies"])
    assert [place.deploy().changed, place.deploy().changed] == [True, False]
    (body,) = kept["bodies"][sent:]
    assert body["properties"]["description"] == "prices of houses"
    assert body["properties"]["defaults"] == {"deploymentName": "version-3"}
