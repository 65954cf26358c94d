"""What is sent of a trigger is what the SDK would send, and a schedule that is as its file says has no difference."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.project_files import file_loading
from notebooks_lib.azure.schedules import schedule_body
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule, wanted_schedule
from notebooks_lib.tags import Tag
from tests.azure.request_shapes import misfits

CRON = {"type": "cron", "expression": "0 2 * * 1-5"}
WEEKLY = {
    "type": "Recurrence",
    "frequency": "Week",
    "interval": 2,
    "schedule": {"hours": 6, "minutes": [0, 30], "week_days": "monday"},
}
MONTHLY = {
    "type": "recurrence",
    "frequency": "month",
    "interval": 1,
    "schedule": {"hours": [6], "minutes": 0, "month_days": 1},
}
BETWEEN = {
    "start_time": "2027-01-01T00:00:00",
    "end_time": "2028-01-01 00:00:00",
    "time_zone": "W. Europe Standard Time",
}


@pytest.mark.proof
@pytest.mark.parametrize("trigger", [CRON, WEEKLY, MONTHLY, CRON | BETWEEN, {**WEEKLY, "interval": "2"}])
def test_the_body_of_a_trigger_is_what_the_sdk_would_send(trigger: dict[str, Any]) -> None:
    values = {"name": "a", "trigger": trigger, "create_job": "azureml:some-job"}
    loaded = file_loading.load("schedule", Path("a.yml"), values, {})
    theirs = {key: value for key, value in loaded._to_rest_object().as_dict()["properties"]["trigger"].items() if value}
    mine = schedule_body.trigger_body(trigger)
    assert mine == theirs | {"triggerType": theirs["triggerType"].capitalize()}
    assert (
        misfits(
            {
                "properties": {
                    "trigger": mine,
                    "action": {"actionType": "CreateJob", "jobDefinition": {"jobType": "Pipeline"}},
                }
            },
            "Schedule",
        )
        == []
    )


def test_times_are_sent_in_the_zone_of_the_trigger() -> None:
    body = schedule_body.trigger_body(CRON | BETWEEN | {"start_time": "2027-01-01T00:00:00+05:00"})
    assert body["startTime"] == "2026-12-31 20:00:00"


def _present(wanted: WantedSchedule, **changed: Any) -> Schedule:
    """The schedule as Azure answers it."""
    own = {**wanted.properties, "isEnabled": True, "provisioningState": "Succeeded", **changed}
    own["trigger"] = {key: value.capitalize() if key == "frequency" else value for key, value in own["trigger"].items()}
    return Schedule.of({"name": wanted.name, "properties": own})


def _wanted(**changed: Any) -> WantedSchedule:
    values = {"trigger": WEEKLY, "tags": {"team": "sales"}, **changed}
    content, commit = values.pop("content", "one"), values.pop("commit", "a" * 40)
    return wanted_schedule("retrain", values, project="p", content=content, commit=commit)


def test_what_is_as_its_file_says_has_no_difference() -> None:
    assert list(schedule_body.differences(_wanted(), _present(_wanted()))) == []
    assert list(schedule_body.differences(_wanted(commit="b" * 40), _present(_wanted()))) == [], "the code is the same"


def test_a_start_that_azure_has_filled_in_is_no_difference_and_one_that_is_to_come_is() -> None:
    answered = dict(_wanted().properties["trigger"]) | {"startTime": "2022-11-07T10:52:06", "endTime": None}
    assert list(schedule_body.differences(_wanted(), _present(_wanted(), trigger=answered))) == []
    later = _present(_wanted(), trigger=answered | {"startTime": "2099-01-01T00:00:00"})
    (line,) = schedule_body.differences(_wanted(), later)
    assert "UTC 2099-01-01T00:00:00 -> 2 week" in line
    chosen = _wanted(trigger=WEEKLY | {"start_time": "2022-11-07T10:00:00"})
    (line,) = schedule_body.differences(chosen, _present(_wanted(), trigger=answered))
    assert "None" not in line


NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("own", "present", "expected"),
    [
        ({}, {}, "2026-11-30 12:59:00"),
        ({"start_time": "2027-01-01T00:00:00"}, {"startTime": "2026-01-01T06:00:00"}, "2027-01-01 00:00:00"),
        ({}, {"startTime": "2026-01-01T06:00:00", "timeZone": "UTC"}, "2026-01-01 07:00:00"),
        ({}, {"startTime": "2099-01-01T06:00:00"}, "2026-11-30 12:59:00"),
        ({}, {"triggerType": "Odd", "interval": "x"}, "2026-11-30 12:59:00"),
    ],
)
def test_what_is_sent_has_a_start_so_that_azure_starts_no_job_at_once(
    own: dict[str, Any], present: dict[str, Any], expected: str
) -> None:
    trigger = schedule_body.trigger_body(CRON | {"time_zone": "W. Europe Standard Time"} | own)
    assert schedule_body.with_start(trigger, present, NOON) == trigger | {"startTime": expected}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"trigger": WEEKLY | {"interval": 3}},
            'trigger: 2 Week {"hours": [6], "minutes": [0, 30], "weekDays": ["monday"]} UTC -> 3 week',
        ),
        ({"trigger": CRON}, "-> 0 2 * * 1-5 UTC"),
        ({"display_name": "Again"}, "display_name: 'retrain' -> 'Again'"),
        ({"tags": {"team": "shop"}}, "tags: team sales -> shop"),
        ({"tags": {}}, "tags: team sales -> none"),
        ({"content": "two", "commit": "b" * 40}, "what it starts, commit aaaaaaaa -> bbbbbbbb"),
    ],
)
def test_each_difference_is_one_line(changed: dict[str, Any], line: str) -> None:
    (found,) = schedule_body.differences(_wanted(**changed), _present(_wanted()))
    assert line in found


def test_a_trigger_that_was_changed_in_azure_is_a_difference() -> None:
    changed = _present(_wanted(), trigger={"triggerType": "Cron", "expression": "0 5 * * *"})
    assert len(list(schedule_body.differences(_wanted(), changed))) == 1


def test_its_tags_say_whose_it_is_and_what_it_starts() -> None:
    assert _wanted().tags == {
        "team": "sales",
        Tag.SCHEDULE_PROJECT: "p",
        Tag.SCHEDULE_CONTENT: "one",
        Tag.SCHEDULE_COMMIT: "a" * 40,
    }
