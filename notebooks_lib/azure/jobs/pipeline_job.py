"""What is sent of a pipeline: a component for each step, named by its content, and the job that puts them together."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import compute_names, file_check, file_loading, pipeline_file_kind

API_VERSION = "2024-01-01-preview"
_COMPONENTS = "components/azureml_anonymous/versions"
_NAMES = uuid.UUID("5b1e7f0a-6d0c-5c7e-9a55-0f6f0c1f6a41")


@dataclass(frozen=True)
class PipelineParts:
    """The ids, in the workspace, of what all steps share; `computes` are ids by name, serverless has none."""

    environment: str
    code: str
    computes: Mapping[str, str]


@dataclass(frozen=True)
class PipelineRequest:
    """The bodies that make a pipeline, which a schedule can have as its job too."""

    components: Mapping[str, Mapping[str, Any]]
    """Path of a component's version -> its properties."""
    properties: Mapping[str, Any]
    """Of the job."""


def pipeline_request(
    workspace: Workspace,
    file: Path,
    values: dict[str, Any],
    parts: PipelineParts,
    *,
    always_run: frozenset[str],
    environ: Mapping[str, str],
) -> PipelineRequest:
    """Return the bodies for the values of a file. Nothing is sent.

    `always_run` are the steps whose results Azure must not take from an earlier pipeline; `environ` has what each
    `${NAME}` of the file stands for. Raises UsageError for what Azure's SDK refuses.
    """
    settings = {key: value for key, value in (values.get("settings") or {}).items() if key != "default_compute"}
    steps: dict[str, dict[str, Any]] = values["jobs"]
    places = {name: str(step["compute"]) for name, step in steps.items() if "compute" in step}
    free = {name: {key: value for key, value in step.items() if key != "compute"} for name, step in steps.items()}
    plain = {**values, "settings": settings, "jobs": free}
    filled = pipeline_file_kind.with_filled_steps(
        plain, *(f"azureml:{asset}" for asset in (parts.code, parts.environment))
    )
    for step in filled["jobs"].values():
        step["environment"] = _environment_id(workspace, str(step["environment"]))
    kind = pipeline_file_kind.PIPELINE
    try:
        loaded = file_loading.load(kind.name, file, filled, kind.filled_in(file))
        components = _take_components(workspace, loaded, always_run)
        properties: dict[str, Any] = loaded._to_rest_object().as_dict()["properties"]
    except Exception as error:
        raise file_check.sdk_refusal(file, error, environ) from error
    default = str((values.get("settings") or {}).get("default_compute") or compute_names.SERVERLESS)
    properties["settings"]["default_compute"] = _compute_id(parts, default) or compute_names.SERVERLESS
    for name, place in places.items():
        properties["jobs"][name]["computeId"] = _compute_id(parts, place) or compute_names.SERVERLESS
    return PipelineRequest(components, properties)


def create_components(client: RestClient, request: PipelineRequest) -> None:
    """Make the components of a pipeline that are not there yet."""
    for path, properties in request.components.items():
        client.request("PUT", path, API_VERSION, what="a step of the pipeline", body={"properties": properties})


def job_name(of_content: str, previous: str) -> str:
    """Return the name for the next pipeline of a content, after the one of the same content that was the last.

    Two that submit the same at once arrive at the same name, and Azure takes a name only once.
    """
    return uuid.uuid5(_NAMES, f"{of_content}/{previous}").hex


def _take_components(workspace: Workspace, loaded: Any, always_run: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return the components of a loaded pipeline, whose steps then name them by their ids."""
    components: dict[str, dict[str, Any]] = {}
    for name, step in loaded.jobs.items():
        properties = step.component._to_rest_object().as_dict()["properties"]
        spec = properties["componentSpec"]
        spec["is_deterministic"] = name not in always_run
        content = json.dumps(properties, sort_keys=True).encode()
        version = str(uuid.UUID(hashlib.sha256(content).hexdigest()[:32]))
        spec["version"] = version
        path = f"{workspace.path}/{_COMPONENTS}/{version}"
        components[path] = properties
        step._component = path
    return components


def _environment_id(workspace: Workspace, environment: str) -> str:
    """Return what names an environment to Azure: `azureml:NAME:VERSION` of a file as the id of that version."""
    text = environment.removeprefix("azureml:")
    name, _, version = text.partition(":")
    if text.startswith("/") or "//" in text:
        return environment
    return f"azureml:{workspace.path}/environments/{name}/versions/{version}"


def _compute_id(parts: PipelineParts, place: str) -> str:
    return parts.computes[place.removeprefix(compute_names.PREFIX)]
