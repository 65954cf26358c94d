"""What is sent of a schedule's file, and in what a schedule of the workspace differs from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from notebooks_lib.azure.project_files import schedule_trigger, time_zones
from notebooks_lib.azure.project_files.schedule_trigger import Trigger
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.tags import Tag

BEFORE_NOW = timedelta(minutes=1)
"""By how much a start of our own is past: Azure runs the first job at once if it is given none."""
_RECURRENCE = {"hours": "hours", "minutes": "minutes", "week_days": "weekDays", "month_days": "monthDays"}


@dataclass(frozen=True)
class WantedSchedule:
    """A schedule as the project wants it."""

    name: str
    properties: Mapping[str, Any]
    """What is sent, tags included, but for what it starts and whether it is on."""

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags that it should have."""
        tags: Mapping[str, str] = self.properties["tags"]
        return tags


def wanted_schedule(
    name: str, values: Mapping[str, Any], *, project: str, content: str, commit: str = ""
) -> WantedSchedule:
    """Return the schedule for the values of a file.

    `content` is the digest of what it starts. `commit`, of the code that it starts, is shown and not compared.
    """
    tags = {
        **{key: str(value) for key, value in (values.get("tags") or {}).items()},
        Tag.SCHEDULE_PROJECT: project,
        Tag.SCHEDULE_CONTENT: content,
        **({Tag.SCHEDULE_COMMIT: commit} if commit else {}),
    }
    properties = {
        "trigger": trigger_body(values["trigger"]),
        "displayName": str(values.get("display_name") or name),
        "description": str(values.get("description") or ""),
        "properties": {key: str(value) for key, value in (values.get("properties") or {}).items()},
        "tags": tags,
    }
    return WantedSchedule(name, properties)


def trigger_body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is sent of a trigger. Its times are those of its time zone: Azure's SDK drops another offset."""
    cron = str(values["type"]).lower() == "cron"
    name = str(values.get("time_zone") or time_zones.UTC)
    zone = _zone(name)
    body: dict[str, Any] = {"triggerType": "Cron" if cron else "Recurrence", "timeZone": name}
    for key, sent in (("start_time", "startTime"), ("end_time", "endTime")):
        if values.get(key):
            body[sent] = _written(schedule_trigger.read_time(values[key], zone), zone)
    if cron:
        return {**body, "expression": str(values["expression"])}
    body |= {"frequency": str(values["frequency"]).lower(), "interval": int(values["interval"])}
    if pattern := values.get("schedule"):
        body["schedule"] = {
            sent: schedule_trigger.listed(pattern[key]) for key, sent in _RECURRENCE.items() if key in pattern
        }
    return body


def with_start(trigger: Mapping[str, Any], present: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a trigger with a start: its own, else that of the schedule that is there, else one that is just past.

    After a start that is past, the first job runs at the next time of the trigger. The start of what is there is kept,
    so that a change does not restart the count of an interval such as three days.
    """
    if trigger.get("startTime"):
        return dict(trigger)
    before, start = _readable(present), now - BEFORE_NOW
    if before is not None and before.start is not None and before.start < start:
        start = before.start
    return {**trigger, "startTime": _written(start, _zone(str(trigger["timeZone"])))}


def _zone(name: str) -> ZoneInfo:
    return time_zones.zone(name) or ZoneInfo(time_zones.UTC)


def _written(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def digest(content: object) -> str:
    """Return the digest of what a schedule starts."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def differences(wanted: WantedSchedule, present: Schedule) -> Iterator[str]:
    """Yield, each as a line for people, in what a schedule of the workspace is not as the project wants it."""
    own, trigger = present.properties, wanted.properties["trigger"]
    there = _without_chosen_start(own.get("trigger") or {}, trigger)
    if _readable(there) != _readable(trigger):
        yield f"trigger: {_shown(there)} -> {_shown(trigger)}"
    for key, name in (("displayName", "display_name"), ("description", "description")):
        if (own.get(key) or "") != wanted.properties[key]:
            yield f"{name}: {own.get(key) or ''!r} -> {wanted.properties[key]!r}"
    for key in ("tags", "properties"):
        there, asked = (_compared(dict(values.get(key) or {})) for values in (own, wanted.properties))
        if there != asked:
            yield f"{key}: {_changed(there, asked)}"
    if present.tags.get(Tag.SCHEDULE_CONTENT) != wanted.tags[Tag.SCHEDULE_CONTENT]:
        old, new = (tags.get(Tag.SCHEDULE_COMMIT, "") for tags in (present.tags, wanted.tags))
        commits = f", commit {old[:8] or '?'} -> {new[:8]}" if new else ""
        yield f"what it starts{commits}"


def _compared(values: dict[str, Any]) -> dict[str, str]:
    """Return the tags that a person gives; what it starts is compared by itself."""
    return {key: str(value) for key, value in values.items() if key not in (Tag.SCHEDULE_CONTENT, Tag.SCHEDULE_COMMIT)}


def _changed(there: Mapping[str, str], asked: Mapping[str, str]) -> str:
    changed = sorted({*there, *asked} - {key for key in there if there.get(key) == asked.get(key)})
    return ", ".join(f"{key} {there.get(key, 'none')} -> {asked.get(key, 'none')}" for key in changed)


def _without_chosen_start(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trigger of a schedule without a start that no file has chosen.

    Azure answers with a start always. A start that is still to come is somebody's choice.
    """
    trigger = _readable(present)
    chosen = wanted.get("startTime") or trigger is None or trigger.start is None or trigger.start > datetime.now(UTC)
    return {key: value for key, value in present.items() if chosen or key != "startTime"}


def _readable(trigger: Mapping[str, Any]) -> Trigger | None:
    """Return a trigger; None if nbops cannot read it."""
    try:
        return Trigger.of(trigger)
    except (ValueError, TypeError):
        return None


def _shown(trigger: Mapping[str, Any]) -> str:
    names = ("expression", "interval", "frequency", "schedule", "timeZone", "startTime", "endTime")
    given = {name: trigger[name] for name in names if trigger.get(name) is not None}
    return " ".join(json.dumps(value) if isinstance(value, dict) else str(value) for value in given.values())
