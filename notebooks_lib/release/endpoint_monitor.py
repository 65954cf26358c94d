"""The monitor of a model's endpoint on Azure: it watches the slot that serves, and compares with its training data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import dataset_tag, datasets
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.azure.project_files import file_check
from notebooks_lib.azure.project_files.schedule_file_kinds import MONITOR
from notebooks_lib.azure.schedules import monitor, schedule, schedule_body, schedule_changes
from notebooks_lib.azure.schedules.monitor import Comparison, ServingSlot
from notebooks_lib.azure.schedules.schedule_body import WantedSchedule
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.errors import NbopsError, UsageError
from notebooks_lib.models import registry
from notebooks_lib.release import reference_data
from notebooks_lib.release.monitored_stage import monitor_file, monitored_stage
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import azure_name
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query

if TYPE_CHECKING:
    from notebooks_lib.azure.client.rest_client import RestClient
    from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class EndpointMonitor:
    """The monitor of one endpoint, as it should be now."""

    comparison: Comparison
    dataset: Dataset
    """What the model was trained on."""
    completed: Mapping[str, Any]
    """The values of its file, completed."""
    wanted: WantedSchedule

    def make(self, client: RestClient, place: Workspace, file: Path) -> None:
        """Upload the rows of the training if they are not there, then make or change the monitor.

        The SDK makes what is sent, and takes seconds to import.
        """
        reference_data.upload_reference(client, place, self.dataset)
        action = monitor.monitor_action(file, self.completed, self.comparison.task, os.environ)
        schedule_changes.make(client, place, self.wanted, action)


@dataclass(frozen=True)
class NoMonitor:
    """An endpoint that has no monitor of the project now."""

    reason: str
    is_anothers: bool = False
    """Whether somebody else made the endpoint, so that it will never have one."""


def read_monitor_file(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the file. Raises UsageError with its faults."""
    return file_check.valid_values(monitor_file(settings), MONITOR, settings.root, environ)


def find_monitor(
    store: Store, client: RestClient, place: Workspace, model: str, values: Mapping[str, Any]
) -> EndpointMonitor | NoMonitor:
    """Return the monitor of a model's endpoint as it should be now, or why there is none.

    There is none where nothing serves, and for an endpoint that another project, or nobody of nbops, made. Nothing is
    changed. Raises UsageError for a slot that does not collect, or a version whose dataset is not known.
    """
    settings = store.settings
    name = _endpoint_name(settings, model)
    endpoint = monitor.find_endpoint(client, place, name)
    if endpoint is not None and (whose := _other_owner(endpoint, model, settings)):
        return NoMonitor(f"endpoint {name} is not monitored: {whose} made it", is_anothers=True)
    slot = monitor.serving_slot(client, place, endpoint) if endpoint else None
    if slot is None:
        return NoMonitor(f"endpoint {name} does not serve: the next promotion makes its monitor")
    monitor.check_collects(slot, monitor_file(settings))
    comparison, dataset = _comparison(store, place, model, slot)
    completed = monitor.monitor_values(values, comparison)
    content = monitor.monitor_content(completed)
    wanted = schedule_body.wanted_schedule(
        monitor.monitor_name(name), values, project=settings.project_name, content=content
    )
    return EndpointMonitor(comparison, dataset, completed, wanted)


def _other_owner(endpoint: OnlineEndpoint, model: str, settings: Settings) -> str:
    """Return who else made an endpoint, for people; empty if it is the project's own.

    A project without a name in its settings passes for every other: its folder has another name in a job, and in CI.
    """
    served, project = (endpoint.tags.get(tag, "") for tag in (Tag.ENDPOINT_MODEL, Tag.ENDPOINT_PROJECT))
    if not served:
        return "somebody without nbops"
    if served != model:
        return f"model {served!r}"
    own = settings.project.name
    return f"project {project!r}" if own and project not in ("", own) else ""


def _comparison(store: Store, place: Workspace, model: str, slot: ServingSlot) -> tuple[Comparison, Dataset]:
    number = slot.tags.get(f"{Tag.SLOT_PREFIX}version", "")
    run = query.find_run(store, registry.get(store, model, number).run_id)
    tags = dataset_tag.of_run(run.tags) if run else ()
    if run is None or len(tags) != 1:
        found = ", ".join(tag.ref for tag in tags) or "none"
        raise UsageError(
            f"monitor.yml: version {number} of {model!r} was trained on {found}, and a monitor compares with one "
            "dataset: load one by datasets.load in the notebook, and promote a version of that"
        )
    dataset = datasets.read(tags[0].ref, store.settings)
    if tags[0].fingerprint not in ("", dataset.fingerprint):
        raise UsageError(
            f"monitor.yml: version {number} of {model!r} was trained on {tags[0].ref} with fingerprint "
            f"{tags[0].short_fingerprint}, and {dataset.ref} has {dataset.fingerprint[:12]} here: bring the files of "
            f"that version back, as with nbops data pull {dataset.ref}"
        )
    reference_data.reference_rows(dataset)  # refuses a dataset without a target, before anything is sent
    reference, task = reference_data.reference_id(place, dataset), reference_data.task_of(run.metrics, dataset)
    return Comparison(slot, reference, dataset.target or "", task), dataset


@dataclass
class FoundMonitors:
    """The monitors of all models at the monitored stage, and those that there cannot be now; by name."""

    found: dict[str, EndpointMonitor] = field(default_factory=dict)
    idle: dict[str, str] = field(default_factory=dict)
    """Name -> why there is none. What is there is kept."""
    failed: dict[str, str] = field(default_factory=dict)
    """Name -> what must be mended first. What is there is kept."""


def find_monitors(store: Store, client: RestClient, place: Workspace, values: Mapping[str, Any]) -> FoundMonitors:
    """Return the monitors of all models that serve at the monitored stage. One that cannot be holds up no other."""
    monitors = FoundMonitors()
    for model in registry.models(store):
        name = monitor.monitor_name(_endpoint_name(store.settings, model))
        try:
            each = find_monitor(store, client, place, model, values)
        except NbopsError as error:
            monitors.failed[name] = f"monitor {name}: {error}"
            continue
        if isinstance(each, EndpointMonitor):
            monitors.found[name] = each
        else:
            monitors.idle[name] = each.reason
    return monitors


def _endpoint_name(settings: Settings, model: str) -> str:
    return azure_name(settings.stages.plain_endpoint(monitored_stage(settings), model))


def move_monitor(store: Store, model: str) -> str:
    """Let the monitor of a model watch the slot that serves now; return what changed, empty if nothing did.

    The endpoint of somebody else is not monitored: that is a warning.
    """
    from notebooks_lib.azure.client import rest_client

    settings = store.settings
    values = read_monitor_file(settings, os.environ)
    place = workspace.stage_workspace(settings, monitored_stage(settings))
    client = rest_client.resource_manager()
    found = find_monitor(store, client, place, model, values)
    if isinstance(found, NoMonitor):
        return f"warning: {found.reason}" if found.is_anothers else ""
    there = schedule.find_schedule(client, place, found.wanted.name)
    present = [there] if there else []
    if not schedule_changes.plan_changes([found.wanted], present, settings.project_name):
        return ""
    found.make(client, place, monitor_file(settings))
    return f"monitor {found.wanted.name} watches slot {found.comparison.slot.name}"
