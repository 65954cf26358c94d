"""The plan of a project's monitors: what is made, what is kept while nothing serves, and what its user should know."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.schedules import schedule
from notebooks_lib.errors import UsageError
from notebooks_lib.release.monitored_stage import monitor_file
from notebooks_lib.release.schedule_plan import SchedulePlan, plan_schedules
from notebooks_lib.settings import load
from notebooks_lib.tags import Tag
from tests.azure.emulator import Emulated
from tests.azure.monitored_endpoint import FILE, put_endpoint
from tests.release.monitored_project import ENDPOINT, Monitored, monitored_project
from tests.release.moving import MODEL

pytestmark = pytest.mark.tracking
NAME = f"{ENDPOINT}-monitor"
NIGHTLY = 'trigger: {type: cron, expression: "0 2 * * *"}\ncreate_job: ../pipelines/look.yml\n'


@pytest.fixture
def monitored(azure_server: Emulated, tmp_path: Path) -> Iterator[Monitored]:
    with monitored_project(azure_server, tmp_path / "azure") as monitored:
        yield monitored


def _plan(monitored: Monitored) -> SchedulePlan:
    return plan_schedules(monitored.settings, monitored.client, {})


def _changes(plan: SchedulePlan) -> list[tuple[str, str]]:
    return [(change.kind, change.what) for change in plan.changes]


@pytest.mark.proof
def test_what_the_user_should_know_is_told(monitored: Monitored, azure_server: Emulated) -> None:
    assert _plan(monitored).notes == ("monitor.yml: no model is registered yet, so there is no monitor",)
    version = monitored.add_version()
    assert _plan(monitored).notes == (f"endpoint {ENDPOINT} does not serve: the next promotion makes its monitor",)
    monitored.serve("blue", version)
    plan = _plan(monitored)
    assert (_changes(plan), plan.notes) == ([("create", f"monitor {NAME}")], ())

    monitor_file(monitored.settings).write_text(FILE.partition("create_monitor")[0])
    body = {"location": "westeurope", "properties": {"systemDatastoresAuthMode": "identity"}}
    monitored.client.operation("PUT", monitored.place.path, "2024-10-01", what="w", body=body, wait_seconds=60)
    told = "\n".join(_plan(monitored).notes)
    assert "nobody is notified when a monitor alerts: write emails: [NAME@DOMAIN]" in told
    assert "Azure's monitors read by key or SAS only" in told

    monitor_file(monitored.settings).write_text("trigger: {type: cron}\n")
    with pytest.raises(UsageError, match=r"production/azure/monitor.yml:1: expression: is missing"):
        _plan(monitored)


def test_without_a_stage_on_azure_there_is_no_monitor(monitored: Monitored) -> None:
    file = monitored.settings.layout.settings_file
    file.write_text(file.read_text().replace('"azureml:{model}-live"', '"{model}-live"'))
    plan = plan_schedules(load(monitored.settings.root, {}), monitored.client, {})
    assert (plan.changes, plan.notes[0].partition(":")[0]) == ((), "monitor.yml")


def test_one_workspace_that_is_spelled_twice_is_one_place(monitored: Monitored) -> None:
    file, settings = monitored.settings.layout.settings_file, monitored.settings
    name = workspace.find_workspace(settings).name
    file.write_text(f'{file.read_text()}workspace = "{name.upper()}"\n')
    folder = settings.root / "production" / "azure"
    for path, text in {
        "pipelines/look": "jobs:\n  look: {command: nbops data newer diabetes}\n",
        "schedules/s": NIGHTLY,
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / f"{path}.yml").write_text(text)
    (settings.root / "environment.yml").write_text("dependencies:\n  - python=3.11\n")
    (settings.root / "requirements.lock").write_text("click==8.5.1\n")
    subprocess.run(["git", "init", "-q", str(settings.root)], check=True)
    spelled = load(settings.root, {})
    assert _changes(plan_schedules(spelled, monitored.client, {})) == [("create", "schedule s")]
    properties = {"tags": {Tag.SCHEDULE_PROJECT: settings.project_name}, "isEnabled": True, "action": {}, "trigger": {}}
    monitored.server.put(f"{monitored.place.path}/schedules/s", {"properties": properties})
    assert _changes(plan_schedules(spelled, monitored.client, {})) == [("change", "schedule s")]


@pytest.mark.proof
def test_a_monitor_is_made_kept_while_nothing_serves_and_deleted_with_its_file(
    monitored: Monitored, azure_server: Emulated
) -> None:
    monitored.serve("blue", monitored.add_version())
    lines: list[str] = []
    for change in _plan(monitored).changes:
        change.carry_out(lines.append)
    assert lines == [f"{NAME} watches slot blue, against diabetes@1"]
    assert _changes(_plan(monitored)) == []
    there = schedule.require_schedule(monitored.client, monitored.place, NAME)
    assert there.properties["action"]["monitorDefinition"]["monitoringTarget"]["taskType"] == "regression"

    put_endpoint(azure_server, monitored.place, ENDPOINT, {}, **{Tag.ENDPOINT_MODEL: MODEL})
    assert _changes(_plan(monitored)) == [], "it starts again, perhaps"
    monitor_file(monitored.settings).unlink()
    plan = _plan(monitored)
    assert _changes(plan) == [("delete", f"monitor {NAME}")]
    for change in plan.changes:
        change.carry_out(lines.append)
    assert schedule.find_schedule(monitored.client, monitored.place, NAME) is None
