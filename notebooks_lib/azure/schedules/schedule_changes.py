"""What `nbops azure schedule apply` changes: schedules of the project against those of the workspace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
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
    taken = [each for each in wanted if _owner(by_name.get(each.name.casefold())) not in (None, project)]
    if taken:
        owner = _owner(by_name[taken[0].name.casefold()])
        whose = f"project {owner!r} made it" if owner else "nbops did not make it"
        raise errors.UsageError(
            f"the workspace has another schedule {taken[0].name!r} ({whose}): rename the file, or delete that one with "
            f"nbops azure schedule delete {taken[0].name}"
        )
    changes = []
    for each in sorted(wanted, key=lambda each: each.name):
        there = by_name.get(each.name.casefold())
        lines = tuple(schedule_body.differences(each, there)) if there else ()
        if there is None or lines:
            changes.append(ScheduleChange("change" if there else "create", each.name, lines))
    names = {name.casefold() for name in (*keep, *(each.name for each in wanted))}
    gone = (each for name, each in by_name.items() if _owner(each) == project and name not in names)
    return [*changes, *(ScheduleChange("delete", each.name) for each in sorted(gone, key=lambda each: each.name))]


def make(
    client: RestClient, workspace: Workspace, wanted: WantedSchedule, action: Mapping[str, Any], there: Schedule | None
) -> Schedule:
    """Make a schedule as the project wants it, with what it starts; one that is off stays off."""
    enabled = there.enabled if there else True
    properties = {**wanted.properties, "action": dict(action), "isEnabled": enabled}
    return schedule.put_schedule(client, workspace, wanted.name, properties)


def _owner(there: Schedule | None) -> str | None:
    """Return the project that made a schedule, empty if nbops did not; None if there is no schedule."""
    return None if there is None else there.tags.get(Tag.SCHEDULE_PROJECT, "")
