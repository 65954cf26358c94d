"""Following a pipeline reports each step once as it starts, waits and ends, and bounds the wait."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs.pipeline_following import NOT_STARTED, StepEnd, follow_pipeline
from notebooks_lib.azure.jobs.run_history import ChildRun, RunDetails, TrackedRun
from notebooks_lib.tags import Tag

LOOK = ChildRun("r1", "look", "Queued", "", "1", 0.0)
TRAIN = ChildRun("r2", "train", "Running", "", "2", 0.0)
STEPS = {"look": {}, "train": {}, "last": {}}


def at(child: ChildRun, status: str, seconds: float = 0.0) -> ChildRun:
    return dataclasses.replace(child, status=status, seconds=seconds)


class Service:
    """Answers with one moment after the other, and with the last one for ever."""

    def __init__(self, *moments: tuple[str, list[ChildRun]], tags: dict[str, dict[str, str]] | None = None) -> None:
        self.moments, self.tags = list(moments), tags or {}
        self.lines: list[str] = []

    def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        moment = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        self.now = moment[1]
        tags = {Tag.PIPELINE: "p.yml"}
        return {"name": "p1", "properties": {"jobType": "Pipeline", "status": moment[0], "jobs": STEPS, "tags": tags}}

    def children(self, _: str) -> list[ChildRun]:
        return self.now

    def tracked(self, run_id: str) -> TrackedRun:
        return TrackedRun(run_id, "1", "FINISHED", self.tags.get(run_id, {}), {}, 1.0)

    def details(self, _: str) -> RunDetails:
        return RunDetails("Failed", "exit code 3", "UserError", {}, 1.0)

    def step(self, name: str, text: str) -> None:
        self.lines.append(f"{name}: {text}")

    def cell(self, name: str, index: int, total: int, line: str) -> None:
        self.lines.append(f"{name}: cell {index} of {total} {line}")

    def follow(self, **options: Any) -> Any:
        service: Any = self
        return follow_pipeline(service, Workspace("s", "g", "w"), service, "p1", self, shortest=0.0, **options)


def test_steps_are_told_of_as_they_wait_start_run_their_cells_and_end() -> None:
    progress = {"r2": {Tag.PROGRESS: '{"cell": 0, "of": 2, "line": "fit()"}'}, "r1": {Tag.SKIPPED: "nothing new"}}
    done = at(LOOK, "Completed", 3.0)
    service = Service(
        ("Running", [LOOK]),
        ("Running", [done, TRAIN]),
        ("Running", [done, TRAIN]),
        ("Completed", [done, at(TRAIN, "Completed", 5.4)]),
        tags=progress,
    )
    end = service.follow()

    waits, *others = service.lines
    assert waits.startswith("look: waits for a machine (Queued now, submitted ")
    assert waits.endswith("to stop it: nbops azure jobs stop p1")
    assert others == [
        "look: FINISHED, nothing done: nothing new",
        "train: started, run r2",
        "train: cell 0 of 2 fit()",
        "train: FINISHED in 5 s",
    ]
    assert (end.status, end.file) == ("FINISHED", "p.yml")
    assert [(step.name, step.status) for step in end.steps] == [
        ("look", "FINISHED"),
        ("train", "FINISHED"),
        ("last", NOT_STARTED),
    ]


def test_a_step_that_fails_has_a_reason_and_one_that_was_reused_says_of_which_run() -> None:
    reused = dataclasses.replace(at(LOOK, "Completed"), reused="r0")
    end = Service(("Failed", [reused, at(TRAIN, "Failed")])).follow()
    assert end.steps[0].shown() == "FINISHED, taken from run r0: nothing of the step has changed"
    assert end.steps[1].failure == "UserError: exit code 3; nbops azure jobs logs r2"
    assert (end.status, end.steps[1].shown()) == ("FAILED", f"FAILED: {end.steps[1].failure}")
    assert StepEnd("a", "FINISHED", seconds=61).shown() == "FINISHED in 61 s"


def test_a_pipeline_of_which_no_step_runs_is_left_after_the_wait() -> None:
    with pytest.raises(errors.JobWaitingError) as raised:
        Service(("Running", [LOOK])).follow(wait_minutes=0.0001)
    assert raised.value.state == "Queued"
