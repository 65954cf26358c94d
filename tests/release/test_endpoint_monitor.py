"""The monitor of an endpoint watches the slot that serves, against the training data of the version in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from notebooks_lib import dataset_tag, datasets
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.schedules import monitor, schedule
from notebooks_lib.azure.schedules.monitor import ServingSlot
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.errors import UsageError
from notebooks_lib.models import registry
from notebooks_lib.release import endpoint_monitor
from notebooks_lib.release.endpoint_monitor import EndpointMonitor, NoMonitor
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from tests.azure.emulator import Emulated
from tests.release.monitored_project import ENDPOINT, STAGE, Monitored, monitored_project
from tests.release.moving import MODEL

pytestmark = pytest.mark.tracking
NAME = f"{ENDPOINT}-monitor"


@pytest.fixture
def monitored(azure_server: Emulated, tmp_path: Path) -> Iterator[Monitored]:
    with monitored_project(azure_server, tmp_path / "azure") as monitored:
        yield monitored


def _found(monitored: Monitored) -> EndpointMonitor | NoMonitor:
    values = endpoint_monitor.read_monitor_file(monitored.settings, os.environ)
    return endpoint_monitor.find_monitor(monitored.store, monitored.client, monitored.place, MODEL, values)


def _present(monitored: Monitored) -> Schedule:
    return schedule.require_schedule(monitored.client, monitored.place, NAME)


PLACE = Workspace("s", "g", "w")


@pytest.fixture
def store(empty_project: Settings) -> Any:
    """A store of a project whose prod is on Azure; nothing is asked of it."""
    empty_project.layout.settings_file.write_text(f'[project]\nname = "mine"\n{STAGE}')
    return SimpleNamespace(settings=load(empty_project.root, {}))


def test_one_model_that_cannot_be_monitored_holds_up_no_other(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(store: Any, client: Any, place: Any, model: str, values: Any) -> Any:
        if model == "bad":
            raise UsageError("slot blue does not collect")
        return NoMonitor("it does not serve")

    monkeypatch.setattr(registry, "models", lambda store: ["bad", "good"])
    monkeypatch.setattr(endpoint_monitor, "find_monitor", find)
    monitors = endpoint_monitor.find_monitors(store, None, PLACE, {})  # type: ignore[arg-type]
    assert monitors.failed == {"bad-live-monitor": "monitor bad-live-monitor: slot blue does not collect"}
    assert monitors.idle == {"good-live-monitor": "it does not serve"}


@pytest.mark.parametrize(
    ("tags", "whose"),
    [
        ({}, "somebody without nbops"),
        ({Tag.ENDPOINT_MODEL: "cars"}, "model 'cars'"),
        ({Tag.ENDPOINT_MODEL: MODEL, Tag.ENDPOINT_PROJECT: "theirs"}, "project 'theirs'"),
        ({Tag.ENDPOINT_MODEL: MODEL, Tag.ENDPOINT_PROJECT: "mine"}, ""),
        ({Tag.ENDPOINT_MODEL: MODEL}, ""),
    ],
)
def test_the_endpoint_of_somebody_else_is_not_monitored(
    store: Any, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], whose: str
) -> None:
    endpoint = OnlineEndpoint.of({"name": ENDPOINT, "tags": tags, "properties": {"traffic": {}}})
    monkeypatch.setattr(monitor, "find_endpoint", lambda *at: endpoint)
    found = endpoint_monitor.find_monitor(store, None, PLACE, MODEL, {})  # type: ignore[arg-type]
    assert isinstance(found, NoMonitor)
    assert found.is_anothers == bool(whose)
    assert found.reason.endswith(f"is not monitored: {whose} made it") if whose else "does not serve" in found.reason


def test_a_promotion_warns_that_the_endpoint_of_another_project_is_not_monitored(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {Tag.ENDPOINT_MODEL: MODEL, Tag.ENDPOINT_PROJECT: "theirs"}
    endpoint = OnlineEndpoint.of({"name": ENDPOINT, "tags": theirs, "properties": {"traffic": {}}})
    monkeypatch.setattr(rest_client, "resource_manager", lambda: None)
    monkeypatch.setattr(endpoint_monitor, "read_monitor_file", lambda *at: {})
    monkeypatch.setattr(workspace, "stage_workspace", lambda *at: PLACE)
    monkeypatch.setattr(monitor, "find_endpoint", lambda *at: endpoint)
    warning = f"warning: endpoint {ENDPOINT} is not monitored: project 'theirs' made it"
    assert endpoint_monitor.move_monitor(store, MODEL) == warning
    store.settings.layout.settings_file.write_text(STAGE)
    nameless: Any = SimpleNamespace(settings=load(store.settings.root, {}))
    assert endpoint_monitor.move_monitor(nameless, MODEL) == "", "the name of its folder differs from job to job"


def test_a_reference_of_other_content_than_the_training_is_refused(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here = datasets.read("diabetes@1", store.settings)
    trained = dataset_tag.DatasetTag.of("diabetes", 1, "0" * 64)
    run = SimpleNamespace(tags={f"{Tag.DATASET_PREFIX}diabetes": str(trained)}, metrics={})
    slot = ServingSlot(ENDPOINT, "blue", "id", {}, {"model_inputs": "i", "model_outputs": "o"})
    endpoint = OnlineEndpoint.of({"name": ENDPOINT, "tags": {Tag.ENDPOINT_MODEL: MODEL}, "properties": {}})
    monkeypatch.setattr(monitor, "find_endpoint", lambda *at: endpoint)
    monkeypatch.setattr(monitor, "serving_slot", lambda *at: slot)
    monkeypatch.setattr(registry, "get", lambda *at: SimpleNamespace(run_id="r"))
    monkeypatch.setattr(query, "find_run", lambda *at: run)
    with pytest.raises(UsageError, match=rf"fingerprint 0{{12}}, and diabetes@1 has {here.fingerprint[:12]} here"):
        endpoint_monitor.find_monitor(store, None, PLACE, MODEL, {})  # type: ignore[arg-type]


@pytest.mark.proof
def test_it_compares_with_the_dataset_of_the_version_that_serves(monitored: Monitored) -> None:
    assert _found(monitored) == NoMonitor(f"endpoint {ENDPOINT} does not serve: the next promotion makes its monitor")
    monitored.serve("blue", monitored.add_version())
    found = _found(monitored)
    assert isinstance(found, EndpointMonitor)
    assert found.wanted.name == NAME
    assert (found.comparison.slot.name, found.dataset.ref, found.comparison.task) == (
        "blue",
        "diabetes@1",
        "regression",
    )
    assert found.comparison.reference.endswith("/data/diabetes-reference/versions/1")
    monitored.serve("green", monitored.add_version("breast_cancer@1", "accuracy"))
    found = _found(monitored)
    assert isinstance(found, EndpointMonitor)
    assert (found.comparison.slot.name, found.comparison.task) == ("green", "classification")


@pytest.mark.proof
def test_a_slot_that_does_not_collect_and_a_version_without_a_dataset_are_refused(monitored: Monitored) -> None:
    version = monitored.add_version()
    monitored.serve("blue", version, mode="Disabled")
    with pytest.raises(UsageError, match="does not collect model_inputs and model_outputs: write data_collector"):
        _found(monitored)
    monitored.serve("blue", version)
    run = monitored.store.client.get_model_version(MODEL, version).run_id
    monitored.store.client.delete_tag(run, "nbops.dataset.diabetes")
    with pytest.raises(UsageError, match="was trained on none, and a monitor compares with one dataset"):
        _found(monitored)


@pytest.mark.proof
def test_it_moves_with_the_slot_and_only_then(monitored: Monitored, azure_server: Emulated) -> None:
    first = monitored.add_version()
    monitored.serve("blue", first)
    assert endpoint_monitor.move_monitor(monitored.store, MODEL) == f"monitor {NAME} watches slot blue"
    before = _present(monitored)
    assert before.kind == "monitor"
    began = azure_server.record.position()
    assert endpoint_monitor.move_monitor(monitored.store, MODEL) == ""
    assert {seen.method for seen in azure_server.record.since(began)} == {"GET"}

    schedule.switch(monitored.client, monitored.place, before, on=False)
    monitored.serve("green", monitored.add_version("breast_cancer@1", "accuracy"))
    assert endpoint_monitor.move_monitor(monitored.store, MODEL) == f"monitor {NAME} watches slot green"
    after = _present(monitored)
    assert not after.enabled, "who switched it off, wants it off"
    own = after.properties["action"]["monitorDefinition"]
    assert own["monitoringTarget"]["deploymentId"].endswith("/deployments/green")
    assert own["monitoringTarget"]["taskType"] == "classification"
    assert {signal["referenceData"]["uri"].rpartition("/data/")[2] for signal in own["signals"].values()} == {
        "breast_cancer-reference/versions/1"
    }
