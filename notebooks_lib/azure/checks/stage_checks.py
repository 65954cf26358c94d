"""Check what stages in other workspaces than the project's need: the workspaces, and the registry. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from notebooks_lib import errors
from notebooks_lib.azure.assets import asset_registry
from notebooks_lib.azure.checks import workspace_checks
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.client.http_pipeline import QUICK
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.health_check import HealthCheck
from notebooks_lib.settings import Settings
from notebooks_lib.settings.endpoint_names import AZUREML
from notebooks_lib.stages import STAGES


def examine(settings: Settings, examined: Workspace | None) -> Iterator[HealthCheck]:
    """Check each workspace that a stage names, but for the one that was `examined`, and the registry."""
    places: dict[str, tuple[Workspace, list[str]]] = {}
    for stage in (each for each in STAGES if settings.stages.of(each).target == AZUREML):
        try:
            place = workspace.stage_workspace(settings, stage)
        except errors.SettingsError as error:
            yield HealthCheck(f"azure stage {stage}", False, str(error), "name the workspace")
            continue
        places.setdefault(place.path.casefold(), (place, []))[1].append(stage)
    signed_in = examined is not None
    for place, stages in places.values():
        if examined is not None and place.path.casefold() == examined.path.casefold():
            continue
        sign_in, *checks = workspace_checks.examine(place)
        if not (signed_in and sign_in.ok):
            yield sign_in
        if not sign_in.ok:
            return
        signed_in = True
        yield from (replace(check, what=f"{check.what} of {' and '.join(stages)}") for check in checks)
    yield from _registry(settings, {stage: place for place, stages in places.values() for stage in stages})


def _registry(settings: Settings, places: Mapping[str, Workspace]) -> Iterator[HealthCheck]:
    """Check that the registry is there, and that the workspaces on both sides are in its regions."""
    through: dict[str, Workspace] = {}
    for stage, place in places.items():
        try:
            if workspace.stage_registry(settings, stage):
                through[stage] = place
        except errors.SettingsError as error:
            cause, _, step = str(error).rpartition("; ")
            yield HealthCheck("azure registry", False, cause, step)
            return
    home = workspace.project_workspace(settings)
    if not through or home is None:
        return
    try:
        registry = asset_registry.open_registry(settings.azure.registry, QUICK)
        client = rest_client.resource_manager(QUICK)
        outside = [
            f"{place.name} is in {location}"
            for place in dict.fromkeys((home, *through.values()))
            if _spelled(location := str(workspace.read(client, place)["location"]))
            not in map(_spelled, registry.regions)
        ]
    except errors.AzureError as error:
        yield HealthCheck("azure registry", False, error.cause, error.step)
        return
    regions = ", ".join(registry.regions)
    detail = f"{registry} serves {regions}" + "".join(f"; workspace {each}" for each in outside)
    yield HealthCheck("azure registry", not outside, detail, "add the region to the registry: `az ml registry update`")


def _spelled(location: str) -> str:
    """Return a region in one spelling: Azure also writes West Europe."""
    return location.replace(" ", "").casefold()
