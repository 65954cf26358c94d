"""The plan of `nbops azure schedule apply`: the schedules and monitors of a project against those of the workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import schedule_file_kinds
from notebooks_lib.azure.schedules import schedule, schedule_changes
from notebooks_lib.azure.schedules.schedule import Schedule
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule
from notebooks_lib.azure.schedules.schedule_changes import ScheduleChange
from notebooks_lib.errors import UsageError
from notebooks_lib.release import endpoint_monitor
from notebooks_lib.release.endpoint_monitor import EndpointMonitor
from notebooks_lib.release.monitored_stage import monitor_file, monitored_stage
from notebooks_lib.running import pipeline_schedules
from notebooks_lib.running.pipeline_schedules import ScheduledPipeline
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect

Tell = Callable[[str], None]


@dataclass(frozen=True)
class PlannedChange:
    """One change, and the function that carries it out; `Tell` gets a line for what takes time."""

    kind: Literal["create", "change", "delete"]
    what: str
    """schedule or monitor, and its name."""
    lines: tuple[str, ...]
    """What is different, for people."""
    carry_out: Callable[[Tell], None] = field(repr=False)


@dataclass(frozen=True)
class SchedulePlan:
    """What changes, in the order in which it is carried out, and what the user should know beside."""

    changes: tuple[PlannedChange, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """Monitors that cannot be planned, each with what must be mended first; all else can be carried out."""


@dataclass
class _Place:
    """What one workspace should have."""

    workspace: Workspace
    pipelines: dict[str, ScheduledPipeline] = field(default_factory=dict)
    monitors: dict[str, EndpointMonitor] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> list[WantedSchedule]:
        pipelines = [each.wanted for each in self.pipelines.values()]
        return [*pipelines, *(each.wanted for each in self.monitors.values())]


def plan_schedules(settings: Settings, client: RestClient, environ: Mapping[str, str]) -> SchedulePlan:
    """Return what must change so that the workspaces have the schedules and monitors of a project.

    Nothing is changed. Raises UsageError for faults of files, and for a name that somebody else has taken.
    """
    project = _Place(workspace.find_workspace(settings))
    for pipeline in pipeline_schedules.read_schedules(settings, environ):
        project.pipelines[pipeline.wanted.name] = pipeline
    places = {project.workspace.path.casefold(): project}  # Azure's names have no case
    notes, failures = list[str](), list[str]()
    if stage := monitored_stage(settings):
        workspace_of_stage = workspace.stage_workspace(settings, stage)
        place = places.setdefault(workspace_of_stage.path.casefold(), _Place(workspace_of_stage))
        notes, failures = _add_monitors(place, settings, client, environ)
    elif monitor_file(settings).exists():
        notes = ['monitor.yml: no stage has its endpoint on Azure: endpoint = "azureml:" under [stages.prod] names one']
    changes = list[PlannedChange]()
    for each in places.values():
        present = {there.name.casefold(): there for there in schedule.list_schedules(client, each.workspace)}
        failures += _leave_taken_monitors(each, present, settings.project_name)
        changes += _changes(each, present, settings, client, environ)
    return SchedulePlan(tuple(changes), tuple(notes), tuple(failures))


def _add_monitors(
    place: _Place, settings: Settings, client: RestClient, environ: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Add the monitors that a workspace should have; return what the user should know of them, and what failed."""
    if not monitor_file(settings).exists():
        return [], []
    values = endpoint_monitor.read_monitor_file(settings, environ)
    monitors = endpoint_monitor.find_monitors(connect(settings), client, place.workspace, values)
    place.monitors.update(monitors.found)
    place.keep += [*monitors.idle, *monitors.failed]
    notes, failures = list(monitors.idle.values()), list(monitors.failed.values())
    if not (monitors.found or notes or failures):
        notes.append("monitor.yml: no model is registered yet, so there is no monitor")
    if monitors.found and not schedule_file_kinds.has_emails(values):
        notes.append(
            "monitor.yml: nobody is notified when a monitor alerts: write emails: [NAME@DOMAIN] below create_monitor: "
            "and alert_notification:"
        )
    if monitors.found and _reads_by_identity(workspace.read(client, place.workspace)):
        notes.append(
            f"workspace {place.workspace.name!r} reads its data by identity, and Azure's monitors read by key or SAS "
            "only: their jobs will fail (docs/azure-retraining.md says what to do)"
        )
    return notes, failures


def _reads_by_identity(document: Mapping[str, Any]) -> bool:
    return str((document.get("properties") or {}).get("systemDatastoresAuthMode")).lower() == "identity"


def _leave_taken_monitors(place: _Place, present: Mapping[str, Schedule], project: str) -> list[str]:
    """Leave out the monitors whose names are somebody else's; return what must be done about them."""
    failures = []
    for name, each in list(place.monitors.items()):
        try:
            schedule_changes.refuse_taken(each.wanted, present.get(name.casefold()), project)
        except UsageError as error:
            failures.append(f"monitor {name}: {error}")
            del place.monitors[name]
    return failures


def _changes(
    place: _Place,
    present: Mapping[str, Schedule],
    settings: Settings,
    client: RestClient,
    environ: Mapping[str, str],
) -> list[PlannedChange]:
    planned = schedule_changes.plan_changes(place.wanted, present.values(), settings.project_name, place.keep)

    def planned_change(change: ScheduleChange) -> PlannedChange:
        there, at = present.get(change.name.casefold()), (client, place.workspace)
        what = "monitor" if change.name in place.monitors or (there and there.kind == "monitor") else "schedule"
        if change.kind == "delete" and there is not None:
            carry_out: Callable[[Tell], None] = partial(_delete, *at, there)
        elif change.name in place.monitors:
            carry_out = partial(_make_monitor, *at, place.monitors[change.name], settings)
        else:
            carry_out = partial(_make_pipeline, *at, place.pipelines[change.name], settings, environ)
        return PlannedChange(change.kind, f"{what} {change.name}", change.lines, carry_out)

    return [planned_change(change) for change in planned]


def _delete(client: RestClient, place: Workspace, there: Schedule, tell: Tell) -> None:
    tell(f"deleting {there.name}")
    schedule.delete_schedule(client, place, there)


def _make_monitor(client: RestClient, place: Workspace, found: EndpointMonitor, settings: Settings, tell: Tell) -> None:
    tell(f"{found.wanted.name} watches slot {found.comparison.slot.name}, against {found.dataset.ref}")
    found.make(client, place, monitor_file(settings))


def _make_pipeline(
    client: RestClient,
    place: Workspace,
    scheduled: ScheduledPipeline,
    settings: Settings,
    environ: Mapping[str, str],
    tell: Tell,
) -> None:
    tell(f"{scheduled.wanted.name} starts {scheduled.template.file.name}")
    schedule_changes.make(client, place, scheduled.wanted, scheduled.action(client, settings, environ, tell))
