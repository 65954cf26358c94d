"""What `nbops azure schedule apply` changes: schedules of the project against those of the workspace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from notebooks_lib import errors
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.schedules import schedule, schedule_body
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule
from notebooks_lib.tags import Tag


@dataclass(frozen=True)
class ScheduleChange:
    """One schedule that is not as the project wants it."""

    kind: Literal["create", "change", "delete"]
    name: str
    lines: tuple[str, ...] = ()
    """What is different, for people."""


def plan_changes(
    wanted: Collection[WantedSchedule], present: Iterable[Schedule], project: str, keep: Collection[str] = ()
) -> list[ScheduleChange]:
    """Return the changes by which a workspace has the schedules of a project; none if it has them.

    Only what the project made is deleted, but for the names in `keep`. Raises UsageError for a name that a schedule
    has which the project did not make.
    """
    by_name = {each.name.casefold(): each for each in present}
    for each in wanted:
        refuse_taken(each, by_name.get(each.name.casefold()), project)
    changes = []
    for each in sorted(wanted, key=lambda each: each.name):
        there = by_name.get(each.name.casefold())
        lines = tuple(schedule_body.differences(each, there)) if there else ()
        if there is None or lines:
            changes.append(ScheduleChange("change" if there else "create", each.name, lines))
    names = {name.casefold() for name in (*keep, *(each.name for each in wanted))}
    gone = (each for name, each in by_name.items() if owner(each) == project and name not in names)
    return [*changes, *(ScheduleChange("delete", each.name) for each in sorted(gone, key=lambda each: each.name))]


def make(client: RestClient, workspace: Workspace, wanted: WantedSchedule, action: Mapping[str, Any]) -> Schedule:
    """Make a schedule as the project wants it, with what it starts.

    It is read again just before: one that was switched off in the meantime stays off. Raises UsageError if somebody
    else has taken its name.
    """
    there = schedule.find_schedule(client, workspace, wanted.name)
    refuse_taken(wanted, there, wanted.tags[Tag.SCHEDULE_PROJECT])
    trigger = schedule_body.with_start(wanted.properties["trigger"], there.trigger if there else {}, datetime.now(UTC))
    enabled = there.enabled if there else True
    properties = {**wanted.properties, "trigger": trigger, "action": dict(action), "isEnabled": enabled}
    return schedule.put_schedule(client, workspace, wanted.name, properties)


def refuse_taken(wanted: WantedSchedule, there: Schedule | None, project: str) -> None:
    """Raise UsageError if the schedule of that name is not the project's."""
    if there is not None and owner(there) != project:
        whose = f"project {owner(there)!r} made it" if owner(there) else "nbops did not make it"
        raise errors.UsageError(
            f"the workspace has another schedule {wanted.name!r} ({whose}): rename the file, or delete that one with "
            f"nbops azure schedule delete {wanted.name}"
        )


def owner(there: Schedule) -> str:
    """Return the project that made a schedule; empty if nbops did not."""
    return there.tags.get(Tag.SCHEDULE_PROJECT, "")
