"""A monitor compares what the slot that serves collects with the training; its body is that of the SDK, but for faults."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib import errors
from notebooks_lib.azure.assets import data_asset
from notebooks_lib.azure.assets.data_asset import TABLE, DataAsset
from notebooks_lib.azure.client.credential import credential
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.schedules import monitor, schedule, schedule_body
from notebooks_lib.azure.schedules.monitor import Comparison, ServingSlot
from tests.azure.emulator import Emulated
from tests.azure.monitored_endpoint import FILE, put_endpoint, put_slot
from tests.azure.request_shapes import misfits

PLACE = Workspace("s", "g", "w")
VALUES: dict[str, Any] = yaml.safe_load(FILE)


def _slot(place: Workspace = PLACE, name: str = "blue") -> ServingSlot:
    collected = {
        each: f"{place.path}/data/houses-{name}-{each}/versions/1" for each in ("model_inputs", "model_outputs")
    }
    return ServingSlot("houses", name, f"{place.path}/onlineEndpoints/houses/deployments/{name}", {}, collected)


def _comparison(slot: ServingSlot | None = None, place: Workspace = PLACE) -> Comparison:
    return Comparison(slot or _slot(place), f"{place.path}/data/sales-reference/versions/3", "price", "regression")


def test_its_signals_are_named_and_compare_with_the_training() -> None:
    completed = monitor.monitor_values(VALUES, _comparison())["create_monitor"]
    assert completed["monitoring_target"] == {
        "ml_task": "regression",
        "endpoint_deployment_id": f"azureml:{_slot().id}",
    }
    for name, signal in completed["monitoring_signals"].items():
        assert signal["reference_data"] == {
            "input_data": {"path": f"azureml:{PLACE.path}/data/sales-reference/versions/3", "type": "mltable"},
            "data_context": "training",
            "data_column_names": {"target_column": "price"},
        }
        collection = "model_outputs" if name == "prediction_drift" else "model_inputs"
        assert signal["production_data"]["input_data"]["path"].endswith(f"houses-blue-{collection}/versions/1")
        assert signal["alert_enabled"] is True


def test_another_slot_or_another_training_is_another_content() -> None:
    contents = {
        monitor.monitor_content(monitor.monitor_values(values, comparison))
        for values, comparison in (
            (VALUES, _comparison()),
            (VALUES | {"description": "d"}, _comparison()),
            (VALUES, _comparison(_slot(name="green"))),
            (VALUES, Comparison(_slot(), "other", "price", "regression")),
            (VALUES, Comparison(_slot(), _comparison().reference, "price", "classification")),
        )
    }
    assert len(contents) == 4


def test_a_slot_that_collects_nothing_is_refused_with_the_key() -> None:
    slot = ServingSlot("houses", "blue", "id", {}, {"model_inputs": "asset"})
    with pytest.raises(
        errors.UsageError, match=r"does not collect model_outputs: write data_collector: in deployment.yml"
    ):
        monitor.check_collects(slot, Path("monitor.yml"))


@pytest.mark.proof
def test_what_the_sdk_gets_wrong_is_right_in_the_body(tmp_path: Path) -> None:
    completed = monitor.monitor_values(VALUES, _comparison())
    action = monitor.monitor_action(tmp_path / "monitor.yml", completed, "regression", {})
    own = action["monitorDefinition"]
    assert own["signals"]["prediction_drift"]["modelType"] == "regression"
    assert own["monitoringTarget"]["taskType"] == "regression"
    assert {signal["mode"] for signal in own["signals"].values()} == {"Enabled"}
    assert {signal["referenceData"]["inputDataType"] for signal in own["signals"].values()} == {"Fixed"}
    assert own["alertNotificationSetting"]["emailNotificationSetting"]["emails"] == ["someone@example.com"]
    assert "azureml:" not in str(action)
    body = {"properties": {"action": action, "trigger": schedule_body.trigger_body(VALUES["trigger"])}}
    known = ("modelType", "mode", "windowSize", "windowOffset", "inputDataType: Trailing", "alertNotificationSetting")
    assert [each for each in misfits(body, "Schedule") if not any(key in each for key in known)] == []
    with pytest.raises(errors.UsageError, match="Azure's SDK refuses it"):
        monitor.monitor_action(tmp_path / "monitor.yml", completed | {"trigger": 5}, "regression", {})


@pytest.fixture
def served(azure_server: Emulated, client: RestClient, place: Workspace) -> Iterator[str]:
    """An endpoint whose slot blue serves and collects, and rows of a training."""
    name = f"m-{uuid.uuid4().hex[:8]}"
    put_endpoint(azure_server, place, name, {"blue": 90, "green": 10})
    for slot in ("blue", "green"):
        put_slot(azure_server, client, place, name, slot, version="3")
    data_asset.create_asset(
        client, place, DataAsset(f"{name}-reference", "1", "azureml://datastores/x/paths/y", {}, type=TABLE)
    )
    yield name
    for each in list(schedule.list_schedules(client, place)):
        if each.name.startswith(name):
            schedule.delete_schedule(client, place, each)


@pytest.mark.tracking
def test_the_slot_with_most_traffic_serves(
    served: str, client: RestClient, place: Workspace, azure_server: Emulated
) -> None:
    endpoint = monitor.find_endpoint(client, place, served)
    assert endpoint is not None
    slot = monitor.serving_slot(client, place, endpoint)
    assert slot is not None
    assert (slot.name, slot.tags, sorted(slot.collected)) == (
        "blue",
        {"nbops.slot.version": "3"},
        ["model_inputs", "model_outputs"],
    )
    put_slot(azure_server, client, place, served, "blue", mode="Disabled")
    off = monitor.serving_slot(client, place, endpoint)
    assert off is not None
    assert off.collected == {}
    put_endpoint(azure_server, place, served, {})
    stopped = monitor.find_endpoint(client, place, served)
    assert stopped is not None
    assert monitor.serving_slot(client, place, stopped) is None


@pytest.mark.proof
@pytest.mark.tracking
def test_the_real_sdk_sends_the_same_monitor(
    served: str, client: RestClient, place: Workspace, tmp_path: Path, azure_server: Emulated
) -> None:
    """The unpatched client puts the completed file; what arrives is what nbops puts, but for the SDK's task."""
    endpoint = monitor.find_endpoint(client, place, served)
    assert endpoint is not None
    slot = monitor.serving_slot(client, place, endpoint)
    assert slot is not None
    comparison = Comparison(slot, data_asset.asset_id(place, f"{served}-reference", "1"), "price", "regression")
    values = VALUES | {"trigger": VALUES["trigger"] | {"start_time": "2026-01-01T00:00:00"}}
    completed = monitor.monitor_values(values, comparison)
    mine = schedule.put_schedule(
        client,
        place,
        f"{served}-mine",
        {
            "action": monitor.monitor_action(tmp_path / "monitor.yml", completed, "regression", {}),
            "trigger": schedule_body.trigger_body(values["trigger"]),
        },
    )
    file = tmp_path / "completed.yml"
    file.write_text(yaml.safe_dump({"tags": {}, **completed, "name": f"{served}-theirs"}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.ai.ml.entities._load_functions import load_schedule

        sdk = MLClient(credential(), place.subscription, place.resource_group, place.name)
        sdk.schedules.begin_create_or_update(load_schedule(file)).result()
    theirs = schedule.require_schedule(client, place, f"{served}-theirs")
    assert theirs.kind == mine.kind == "monitor"
    definition = dict(theirs.properties["action"]["monitorDefinition"])
    definition["signals"]["prediction_drift"]["modelType"] = "regression"
    assert definition == mine.properties["action"]["monitorDefinition"]
    assert theirs.properties["trigger"] == mine.properties["trigger"]


@pytest.mark.tracking
def test_a_monitor_of_what_is_not_there_is_refused(client: RestClient, place: Workspace) -> None:
    definition = {"monitoringTarget": {"deploymentId": "gone"}, "signals": {}}
    with pytest.raises(errors.AzureError, match="deployment gone was not found"):
        schedule.put_schedule(
            client,
            place,
            "gone-monitor",
            {
                "action": {"actionType": "CreateMonitor", "monitorDefinition": definition},
                "trigger": {"triggerType": "Cron", "expression": "0 2 * * *"},
            },
        )
