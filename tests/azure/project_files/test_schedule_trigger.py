"""A trigger that would never run, or not when its file says, is a fault; others fire at the times of their zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from notebooks_lib.azure.project_files import schedule_trigger
from notebooks_lib.azure.project_files.schedule_trigger import Trigger

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)  # a Monday
BERLIN = "W. Europe Standard Time"


def _cron(expression: str, **others: str) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, **others}


def _every(frequency: str, interval: int = 1, schedule: Any = None, **others: str) -> dict[str, Any]:
    pattern = {} if schedule is None else {"schedule": schedule}
    return {"type": "recurrence", "frequency": frequency, "interval": interval, **pattern, **others}


SIX = {"hours": 6, "minutes": [0, 30]}


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (_cron("0 2 * * *"), "2026-12-01T02:00"),
        (_cron("*/15 * * * *"), "2026-11-30T09:15"),
        (_cron("0 8-17/3 * * 1-5"), "2026-11-30T11:00"),
        (_cron("30 6 * * sun"), "2026-12-06T06:30"),
        (_cron("30 6 * * 0,6"), "2026-12-05T06:30"),
        (_cron("0 2 * * *", time_zone=BERLIN), "2026-12-01T01:00"),
        (_cron("0 2 * * *", start_time="2027-07-01T00:00:00", time_zone=BERLIN), "2027-07-01T00:00"),
        (_cron("0 2 * * *", end_time="2026-11-30T20:00:00"), None),
        (_every("minute", 20), "2026-11-30T09:10"),
        (_every("hour", 5), "2026-11-30T10:50"),
        (_every("day", 2), "2026-12-01T07:50"),
        (_every("day", 1, SIX), "2026-12-01T06:00"),
        (_every("week", 1, SIX | {"week_days": "wednesday"}), "2026-12-02T06:00"),
        (_every("week", 2, SIX | {"week_days": ["wednesday"]}), "2026-12-09T06:00"),
        (_every("month", 1, SIX | {"month_days": [5, 31]}), "2026-12-05T06:00"),
        (_every("month", 1, start_time="2026-01-31T05:00:00"), "2026-12-31T05:00"),
        (_every("month", 3, SIX, start_time="2026-10-02T00:00:00"), "2027-01-02T06:00"),
        (_every("day", 1, SIX, end_time="2026-11-30T10:00:00"), None),
    ],
)
def test_a_trigger_fires_next(trigger: dict[str, Any], expected: str | None) -> None:
    created = datetime(2026, 11, 27, 7, 50, tzinfo=UTC)
    run = Trigger.of(trigger).next_run(NOW, created)
    assert (run.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") if run else None) == expected
    assert not list(schedule_trigger.faults(trigger, NOW))


def test_what_azure_answers_is_the_trigger_of_the_file() -> None:
    file = _every("week", 1, {"hours": 6, "minutes": [30, 0], "week_days": ["monday"]}, time_zone=BERLIN)
    answer = {
        "triggerType": "Recurrence",
        "frequency": "Week",
        "interval": 1,
        "schedule": {"hours": [6], "minutes": [0, 30], "weekDays": ["Monday"]},
        "timeZone": BERLIN,
    }
    assert Trigger.of(file) == Trigger.of(answer)
    assert Trigger.of(file) != Trigger.of(answer | {"interval": 2})
    assert Trigger.of(_cron("0 2 * * *", start_time="2026-12-01T00:00:00")) == Trigger.of(
        {"triggerType": "Cron", "expression": "0  2 * * *", "startTime": "2026-12-01 00:00:00", "timeZone": "UTC"}
    )


@pytest.mark.parametrize(
    ("trigger", "fault"),
    [
        (_cron("0 2 * *"), "expression: '0 2 * *' has 4 fields, and five are wanted"),
        (_cron("0 25 * * *"), "expression: '25' is no hour ('25' is out of range): write 0 to 23, *"),
        (_cron("61 2 * * *"), "expression: '61' is no minute"),
        (_cron("0 2 1 * *"), "expression: Azure ignores the day of a cron expression ('1') and would run every day"),
        (_cron("0 2 * 6 *"), "expression: Azure ignores the month of a cron expression ('6') and would run every mo"),
        (_cron("0 2 * * 7"), "expression: '7' is no day of the week ('7' is out of range): write 0 to 6, or sun to"),
        (_cron("0 2 * * fry"), "expression: 'fry' is no day of the week ('fry' is no number)"),
        (_cron("5/2 2 * * *"), "expression: '5/2' is no minute ('5/2' is no step)"),
        (_cron("*/0 2 * * *"), "expression: '*/0' is no minute"),
        (_cron("9-5 2 * * *"), "expression: '9-5' is no minute ('9-5' is out of range)"),
        (_cron("@daily"), "expression: '@daily' has 1 fields"),
        (_cron("0 2 * * *", time_zone="Europe/Berlin"), 'Windows: write "W. Europe Standard Time"'),
        (_cron("0 2 * * *", time_zone="Mars"), 'Windows: write UTC, or a name such as "W. Europe Standard Time"'),
        (_cron("0 2 * * *", end_time="2026-11-30T08:59:00"), "end_time: 2026-11-30T08:59:00 is past"),
        (_cron("0 2 * * *", end_time="2026-11-30T09:59:00", time_zone=BERLIN), "end_time: 2026-11-30T09:59:00 is p"),
        (_cron("0 2 * * *", start_time="tomorrow"), "start_time: 'tomorrow' is no time: write it as in start_time:"),
        (_cron("0 2 * * *", end_time="2028-01-01"), "end_time: '2028-01-01' is no time: write it as in end_time:"),
        (
            _cron("0 2 * * *", start_time="2027-02-01T00:00:00", end_time="2027-01-01T00:00:00"),
            "end_time: is not after start_time (2027-02-01T00:00:00), so that it would never run",
        ),
        (_every("day", 0), "interval: 0 is too few: write 1 or more"),
        (_every("day", 99999999999999), "interval: 99999999999999 days are more than four years: write 1464 or less"),
        (_every("hour", 40_000), "interval: 40000 hours are more than four years: write 35136 or less"),
        (_every("month", 49), "interval: 49 months are more than four years: write 48 or less"),
        (_every("day", 1, {"hours": [6, 24], "minutes": 0}), "schedule.hours: 24 is out of range: write 0 to 23"),
        (_every("month", 1, SIX | {"month_days": 32}), "schedule.month_days: 32 is out of range: write 1 to 31"),
        (_every("week", 1, SIX | {"week_days": "mon"}), "schedule.week_days: 'mon' is none of monday, tuesday"),
        (_every("day", 1, SIX | {"week_days": "monday"}), "schedule.week_days: does not go with frequency day"),
        (_every("hour", 1, SIX), "schedule: does not go with frequency hour: write frequency: day"),
    ],
)
def test_a_trigger_that_azure_takes_and_does_not_keep_is_a_fault(trigger: dict[str, Any], fault: str) -> None:
    found = [f"{'.'.join(map(str, path))}: {text}" for path, text in schedule_trigger.faults(trigger, NOW)]
    assert len(found) == 1
    assert fault in found[0]
