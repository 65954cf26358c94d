"""Runs and model versions of a workspace are found by plain requests as MLflow finds them, page after page."""

from __future__ import annotations

import uuid

import pytest

from notebooks_lib.azure.jobs.run_search import RunSearch
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.store import Store
from tests.azure.fixtures import AzureProject

pytestmark = pytest.mark.tracking


@pytest.fixture
def store(azure_workspace: AzureProject) -> Store:
    return stores.connect(azure_workspace.settings)


def new_run(store: Store, mark: str) -> str:
    run = store.client.create_run(store.experiment_id(store.settings.experiment), tags={"mark": mark})
    return str(run.info.run_id)


def test_runs_are_found_by_a_tag_newest_first(store: Store) -> None:
    mark = uuid.uuid4().hex
    first, second = new_run(store, mark), new_run(store, mark)
    new_run(store, "another")
    store.client.log_metric(first, "loss", float("inf"))
    store.client.log_metric(first, "rmse", 0.5)
    store.client.set_terminated(first, "FAILED")

    found = RunSearch(store.uri).runs(f"tags.`mark` = '{mark}'")
    assert [run.run_id for run in found] == [second, first]
    assert (found[1].experiment, found[1].status) == (store.settings.experiment, "FAILED")
    assert (dict(found[1].metrics), found[1].tags["mark"]) == ({"loss": float("inf"), "rmse": 0.5}, mark)
    assert RunSearch(store.uri).runs("tags.`mark` = 'none'") == []


def test_all_pages_count(store: Store) -> None:
    mark = uuid.uuid4().hex
    runs = {new_run(store, mark) for _ in range(3)}

    assert {run.run_id for run in RunSearch(store.uri, page=1).runs(f"tags.`mark` = '{mark}'")} == runs


def test_the_versions_of_each_run_are_found_with_their_tags(store: Store) -> None:
    with_two, without, model = new_run(store, "x"), new_run(store, "x"), f"m-{uuid.uuid4().hex[:8]}"
    store.client.create_registered_model(model)
    source = f"{store.client.get_run(with_two).info.artifact_uri}/model"
    for tags in ({Tag.READY: "loaded"}, {}):
        store.client.create_model_version(model, source, with_two, tags=tags)

    search = RunSearch(store.uri)
    assert [(each.version, each.run_id) for each in search.versions_named(model)] == [("2", with_two), ("1", with_two)]
    assert model in RunSearch(store.uri, page=1).models()
    assert (search.aliases_of(model), search.aliases_of("none-such")) == ({}, None)
    assert (search.tags_of(with_two)["mark"], search.tags_of("0" * 32), search.tags_of("")) == ("x", {}, {})
    versions = search.versions_of([with_two, without])
    assert versions[without] == []
    assert {(each.model, each.version, Tag.READY in each.tags) for each in versions[with_two]} == {
        (model, "1", True),
        (model, "2", False),
    }
