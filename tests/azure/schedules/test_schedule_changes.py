"""Applying makes what is missing, changes what differs, deletes what the project made and no longer has, no more."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.schedules import schedule_changes
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule, wanted_schedule
from notebooks_lib.azure.schedules.schedule_changes import ScheduleChange
from notebooks_lib.tags import Tag

TRIGGER = {"type": "cron", "expression": "0 2 * * *"}


def _wanted(name: str, content: str = "one", project: str = "p") -> WantedSchedule:
    return wanted_schedule(name, {"trigger": TRIGGER}, project=project, content=content)


def _there(name: str, content: str = "one", project: str = "p") -> Schedule:
    own = dict(_wanted(name, content, project).properties)
    if not project:
        own["tags"] = {}
    return Schedule.of({"name": name, "properties": own})


def test_what_is_as_wanted_is_no_change() -> None:
    assert schedule_changes.plan_changes([_wanted("a")], [_there("a"), _there("b", project="q")], "p") == []


def test_missing_different_and_gone() -> None:
    there = [_there("b"), _there("gone"), _there("theirs", project="q"), _there("nobodys", project="")]
    assert schedule_changes.plan_changes([_wanted("b", "two"), _wanted("a")], there, "p") == [
        ScheduleChange("create", "a"),
        ScheduleChange("change", "b", ("what it starts",)),
        ScheduleChange("delete", "gone"),
    ]


def test_what_is_to_be_kept_is_not_deleted() -> None:
    assert schedule_changes.plan_changes([], [_there("houses-monitor")], "p", keep=["Houses-monitor"]) == []


@pytest.mark.parametrize(("project", "whose"), [("q", "project 'q' made it"), ("", "nbops did not make it")])
def test_a_schedule_of_somebody_else_is_left_alone(project: str, whose: str) -> None:
    with pytest.raises(errors.UsageError, match=rf"another schedule 'a' \({whose}\): rename the file"):
        schedule_changes.plan_changes([_wanted("a")], [_there("A", project=project)], "p")


class Azure:
    """A workspace with one schedule."""

    def __init__(self, there: Schedule) -> None:
        self.there = there

    def request(self, method: str, path: str, version: str, **_: Any) -> Any:
        return {"name": self.there.name, "properties": self.there.properties}

    def operation(self, method: str, path: str, version: str, *, body: Any, **_: Any) -> Any:
        return {"name": self.there.name, **body}


def test_one_that_was_switched_off_or_taken_in_the_meantime_is_seen() -> None:
    off = Schedule.of({"name": "a", "properties": {**_there("a").properties, "isEnabled": False}})
    at = Workspace("s", "g", "w")
    made = schedule_changes.make(Azure(off), at, _wanted("a", "two"), {})  # type: ignore[arg-type]
    assert (made.enabled, made.tags[Tag.SCHEDULE_CONTENT]) == (False, "two")
    assert "startTime" in made.trigger
    with pytest.raises(errors.UsageError, match="project 'q' made it"):
        schedule_changes.make(Azure(_there("a", project="q")), at, _wanted("a"), {})  # type: ignore[arg-type]


def test_the_tags_of_a_schedule_say_which_project_made_it() -> None:
    assert _there("a").tags[Tag.SCHEDULE_PROJECT] == "p"
