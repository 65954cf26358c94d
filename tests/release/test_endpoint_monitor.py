"""The monitor of an endpoint watches the slot that serves, against the training data of the version in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.azure.schedules import schedule
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.errors import UsageError
from notebooks_lib.release import endpoint_monitor
from notebooks_lib.release.endpoint_monitor import EndpointMonitor
from tests.azure.emulator import Emulated
from tests.release.monitored_project import ENDPOINT, Monitored, monitored_project
from tests.release.moving import MODEL

pytestmark = pytest.mark.tracking
NAME = f"{ENDPOINT}-monitor"


@pytest.fixture
def monitored(azure_server: Emulated, tmp_path: Path) -> Iterator[Monitored]:
    with monitored_project(azure_server, tmp_path / "azure") as monitored:
        yield monitored


def _found(monitored: Monitored) -> EndpointMonitor | str:
    values = endpoint_monitor.read_monitor_file(monitored.settings, os.environ)
    return endpoint_monitor.find_monitor(monitored.store, monitored.client, monitored.place, MODEL, values)


def _present(monitored: Monitored) -> Schedule:
    return schedule.require_schedule(monitored.client, monitored.place, NAME)


@pytest.mark.proof
def test_it_compares_with_the_dataset_of_the_version_that_serves(monitored: Monitored) -> None:
    assert _found(monitored) == f"endpoint {ENDPOINT} does not serve: the next promotion makes its monitor"
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
