"""Schedules are made, switched, started and deleted by plain requests, under the rules of the service."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import http_pipeline, rest_client
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.schedules import schedule
from notebooks_lib.azure.schedules.schedule import Schedule
from tests.azure.emulator import Emulated

pytestmark = pytest.mark.tracking
TRIGGER = {
    "triggerType": "Recurrence",
    "frequency": "week",
    "interval": 1,
    "timeZone": "UTC",
    "startTime": "2026-01-01 06:00:00",
}


@pytest.fixture
def properties(client: RestClient, place: Workspace) -> dict[str, Any]:
    """What makes a schedule of a pipeline with one step, whose component is there."""
    path = f"{place.path}/components/azureml_anonymous/versions/{uuid.uuid4()}"
    component = {"properties": {"isAnonymous": True, "componentSpec": {"type": "command", "command": "true"}}}
    client.request("PUT", path, "2024-01-01-preview", what="a component", body=component)
    job = {"jobType": "Pipeline", "jobs": {"a": {"componentId": path}}, "settings": {}}
    return {"action": {"actionType": "CreateJob", "jobDefinition": job}, "trigger": TRIGGER, "tags": {"nbops.x": "y"}}


@pytest.fixture
def made(client: RestClient, place: Workspace, properties: dict[str, Any]) -> Schedule:
    return schedule.put_schedule(client, place, f"s-{uuid.uuid4().hex[:8]}", properties)


def test_a_schedule_is_found_and_listed_on_and_off(client: RestClient, place: Workspace, made: Schedule) -> None:
    assert (made.kind, made.enabled, made.tags) == ("pipeline", True, {"nbops.x": "y"})
    for on in (False, False, True, True):
        found = schedule.require_schedule(client, place, made.name)
        assert schedule.switch(client, place, found, on=on).enabled == on
        assert made.name in [each.name for each in schedule.list_schedules(client, place)]
    after = schedule.require_schedule(client, place, made.name)
    assert made.properties["action"]["jobDefinition"]["status"] == "NotStarted", "Azure says more than it was told"
    for key in ("action", "tags", "trigger"):
        assert after.properties[key] == made.properties[key]


def test_a_switch_that_changes_nothing_sends_nothing(
    client: RestClient, place: Workspace, made: Schedule, azure_server: Emulated
) -> None:
    began = azure_server.record.position()
    schedule.switch(client, place, made, on=True)
    assert not list(azure_server.record.since(began))


def test_what_azure_sets_itself_is_not_sent_back() -> None:
    sent: list[Any] = []

    class Client:
        def operation(self, method: str, path: str, version: str, *, body: Any, **_: Any) -> Any:
            sent.append(body["properties"])
            return {"name": "a", **body}

    job = {"jobType": "Pipeline", "jobs": {"a": {"componentId": "c", "limits": None}}}
    answered = {"jobDefinition": job | {"status": "NotStarted", "services": {}, "description": None}}
    own = {"action": answered, "trigger": {**TRIGGER, "endTime": None}, "isEnabled": True, "provisioningState": "Ok"}
    there = Schedule.of({"name": "a", "properties": own})
    schedule.switch(Client(), Workspace("s", "g", "w"), there, on=False)  # type: ignore[arg-type]
    plain = {"jobType": "Pipeline", "jobs": {"a": {"componentId": "c"}}}
    assert sent == [{"action": {"jobDefinition": plain}, "trigger": TRIGGER, "isEnabled": False}]


def test_it_runs_next_at_the_time_of_its_trigger(made: Schedule) -> None:
    now = datetime.now(UTC)
    run = made.next_run(now)
    assert run is not None
    assert 0 < (run - now).days + 1 <= 7
    assert Schedule.of({"name": "a", "properties": {"trigger": {"triggerType": "Odd"}}}).next_run(now) is None
    assert Schedule.of({"name": "a", "properties": {**made.properties, "isEnabled": False}}).next_run(now) is None


def test_an_unknown_name_is_told_with_those_that_there_are(
    client: RestClient, place: Workspace, made: Schedule
) -> None:
    assert schedule.find_schedule(client, place, "nothing") is None
    with pytest.raises(errors.UnknownNameError, match=rf"{made.name}.*nbops azure schedule apply"):
        schedule.require_schedule(client, place, f"{made.name}x")


def test_a_schedule_is_switched_off_before_it_is_deleted(client: RestClient, place: Workspace, made: Schedule) -> None:
    path = f"{place.path}/schedules/{made.name}"
    with pytest.raises(errors.AzureError, match="enabled schedule cannot be deleted"):
        client.operation("DELETE", path, schedule.API_VERSION, what="it", wait_seconds=30)
    schedule.delete_schedule(client, place, made)
    assert schedule.find_schedule(client, place, made.name) is None
    schedule.delete_schedule(client, place, Schedule.of({"name": made.name, "properties": {"isEnabled": False}}))


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Command"}}}, "Only pipeline jobs"),
        (
            {
                "action": {
                    "actionType": "CreateJob",
                    "jobDefinition": {"jobType": "Pipeline", "jobs": {"a": {"componentId": "gone"}}},
                }
            },
            "component gone was not found",
        ),
        ({"trigger": {"triggerType": "Cron", "expression": "0 2 * *"}}, "cron expression 0 2 \\* \\* is invalid"),
        ({"trigger": {"triggerType": "Daily"}}, "trigger type Daily is not supported"),
        ({"trigger": TRIGGER | {"timeZone": "Europe/Berlin"}}, "time zone Europe/Berlin is not supported"),
    ],
)
def test_the_service_refuses_what_could_not_run(
    client: RestClient, place: Workspace, properties: dict[str, Any], change: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(errors.AzureError, match=refusal):
        schedule.put_schedule(client, place, "refused", properties | change)
    with pytest.raises(errors.AzureError, match="letters, digits"):
        schedule.put_schedule(client, place, "-refused", properties)


def test_a_start_without_an_answer_is_not_repeated(
    client: RestClient, place: Workspace, made: Schedule, azure_server: Emulated
) -> None:
    once = rest_client.resource_manager(http_pipeline.HttpLimits(retries=0))
    began = azure_server.record.position()
    with (
        azure_server.fault("server_error", method="POST", path="/trigger$"),
        pytest.raises(errors.AzureError, match=r"may have started a job.*nbops azure schedule list"),
    ):
        schedule.start_now(once, place, made.name, datetime.now(UTC))
    assert len([seen for seen in azure_server.record.since(began) if seen.path.endswith("/trigger")]) == 1
    off = schedule.switch(client, place, made, on=False)
    with pytest.raises(errors.AzureError, match="disabled schedule cannot be triggered"):
        schedule.start_now(once, place, off.name, datetime.now(UTC))
    assert schedule.last_job(client, place, made.name) is None
