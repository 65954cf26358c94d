"""Sends a planned notebook to an Azure ML workspace as a job. All that can be checked is checked before that."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure import (
    clouds,
    code_asset,
    compute,
    environment,
    file_check,
    file_kinds,
    file_loading,
    http_pipeline,
    jobs,
    rest_client,
    snapshot,
    workspace,
)
from notebooks_lib.azure.environment import Environment
from notebooks_lib.azure.snapshot import Snapshot
from notebooks_lib.azure.workspace import Workspace
from notebooks_lib.datasets import version_lookup
from notebooks_lib.notebooks import project_modules
from notebooks_lib.running import job_inputs
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.running.plan import Plan
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import store as stores


@dataclass(frozen=True)
class PreparedJob:
    """A job of which all is known but what Azure says to it."""

    name: str
    """Of the job, and the id of its run: chosen here, so that a submission can be looked for."""
    workspace: Workspace
    compute: str
    environment: Environment
    snapshot: Snapshot
    properties: Mapping[str, Any]
    parameters: Mapping[str, object]
    """All of the notebook's, for those that name data assets are inputs of the job."""


def prepare_job(
    plan: Plan, on: str, environ: Mapping[str, str], *, job_file: Path | None = None, options: Sequence[str] = ()
) -> PreparedJob:
    """Check a job and return it; nothing is sent. `options` are those of the `nbops run` in the job.

    Raises UsageError for a place, a file, a parameter or a project that cannot be run as a job.
    """
    settings, start = plan.settings, plan.start
    assert start is not None, "an untracked run has no job"
    place = compute.compute_name(on)
    chosen = _workspace(plan, on)
    file = _job_file(job_file, settings.root)
    values = file_check.valid_values(file, file_kinds.JOB, settings.root, environ)
    notebook = _notebook(plan)
    _refuse_missing_secrets(plan, values.get("environment_variables") or {}, file)
    request = JobRequest.of(plan)
    files = snapshot.take_snapshot(
        settings.root,
        always=[
            plan.notebook.path,
            *(settings.root / module for module, _ in project_modules.find_modules(plan.notebook, settings.root)),
            *(each for each in (settings.layout.settings_file, settings.layout.lock) if each.exists()),
        ],
        uncommitted=start.git is not None and start.git.dirty,
        limit_mb=settings.azure.snapshot_mb,
    )
    properties = _properties(file, values)
    properties["command"] = _command(notebook, options)
    properties["experimentName"] = _experiment(plan)
    properties["displayName"] = start.name
    properties["tags"] = {**(properties.get("tags") or {}), Tag.NOTEBOOK: start.notebook, "mlflow.user": request.user}
    variables = {**_forwarded(environ, settings), **(properties.get("environmentVariables") or {})}
    properties["environmentVariables"] = {**variables, Env.JOB: request.as_text()}
    described = environment.read_environment(settings.root, environ)
    return PreparedJob(uuid.uuid4().hex, chosen, place, described, files, properties, start.parameters)


def submit_job(
    job: PreparedJob, root: Path, environ: Mapping[str, str], tell: Callable[[str], None] = lambda line: None
) -> None:
    """Make what the job needs and is not there, and submit it once. `tell` gets a line for what takes time."""
    client = rest_client.resource_manager()
    compute_id = compute.find_or_create_compute(client, job.workspace, job.compute, root, environ, tell=tell)
    ids: dict[str, Any] = {
        "environmentId": environment.find_or_create_environment(client, job.workspace, job.environment, tell=tell),
        "codeId": code_asset.find_or_upload_snapshot(client, job.workspace, job.snapshot, tell=tell),
        **({"computeId": compute_id} if compute_id else {}),
    }
    if inputs := job_inputs.dataset_inputs(client, job.workspace, job.parameters):
        ids["inputs"] = inputs
    jobs.submit(client, job.workspace, job.name, {**job.properties, **ids})


def is_submitted(job: PreparedJob) -> bool:
    """Return whether a job has arrived, for one whose submission was interrupted."""
    try:
        jobs.find_job(rest_client.resource_manager(http_pipeline.QUICK), job.workspace, job.name)
    except errors.AzureError as error:
        return error.status != 404  # it may have: better to tell how to look for it
    return True


def _workspace(plan: Plan, on: str) -> Workspace:
    try:
        return workspace.find_workspace(plan.settings)
    except errors.SettingsError as error:
        raise errors.UsageError(
            f"--on {on}: no workspace is named: fill subscription, resource_group and workspace under [azure] in"
            f" {plan.settings.layout.settings_file}, or put the config.json that Azure ML Studio offers into"
            f" {plan.settings.root}"
        ) from error


def _job_file(chosen: Path | None, root: Path) -> Path:
    if chosen is None:
        return file_check.folder(root) / "job.yml"
    if not chosen.is_file():
        there = sorted(path.name for path in chosen.parent.glob("*.yml")) if chosen.parent.is_dir() else []
        near = errors.nearest(chosen.name, there)
        hint = f", did you mean {chosen.parent / near}?" if near else ": write it, or leave --job out"
        raise errors.UsageError(f"--job {chosen}: no such file{hint}")
    return chosen.absolute()


def _properties(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Return what a job file says, as the SDK would send it; it is not imported where nothing is said."""
    if not values:
        return {"jobType": "Command"}
    kind = file_kinds.JOB
    filled_in = {key: value for key, value in kind.filled_in(file).items() if key != "code"}
    try:
        properties: dict[str, Any] = file_loading.request_body(kind.name, file, values, filled_in)["properties"]
    except Exception as error:
        texts = "; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in file_loading.refusals(error))
        raise errors.UsageError(f"{file}: Azure's SDK refuses it: {texts}") from error
    return properties


def _refuse_missing_secrets(plan: Plan, variables: Mapping[str, object], file: Path) -> None:
    missing = {variable: name for name, variable in plan.secrets.items() if variable not in variables}
    for variable, name in missing.items():
        raise errors.UsageError(
            f"parameter {name} is a secret that is read from {variable}, which a job does not have: write"
            f" {variable}: ${{{variable}}} under environment_variables in {file}"
        )


def _forwarded(environ: Mapping[str, str], own: Settings) -> dict[str, str]:
    """Return the variables that go along: which cloud this is, settings, and the latest versions of datasets here.

    Not the settings that say where runs are tracked, and no folder outside the project: the job has none of it.
    """
    sections = Settings.model_fields.keys() - {"root", "tracking", "azure"}
    prefixes = tuple(f"NBOPS_{section.upper()}_" for section in sections)
    settings = {name: value for name, value in environ.items() if name.startswith(prefixes)}
    if not (own.root / settings.get("NBOPS_DATA_FOLDER", "")).resolve().is_relative_to(own.root.resolve()):
        del settings["NBOPS_DATA_FOLDER"]
    if versions := version_lookup.latest_versions(own):
        settings[Env.DATASETS] = json.dumps(versions)
    return settings | {name: environ[name] for name in (clouds.CLOUD, clouds.METADATA_URL) if environ.get(name)}


def _notebook(plan: Plan) -> str:
    """Return the notebook's path in the job, which is that under which it was opened, even if it is a link."""
    opened, root = plan.notebook.opened, plan.settings.root.resolve()
    for path in (opened, opened.resolve()):
        if not path.is_relative_to(root):
            leads = "" if path == opened else f" leads to {path}, which"
            raise errors.UsageError(
                f"{opened}{leads} lies outside the project {root}, and a job gets the project alone: move it"
            )
    return opened.relative_to(root).as_posix()


def _command(notebook: str, options: Sequence[str]) -> str:
    """Return the job's command: unpack nbops into a folder of this process, and run the notebook with it."""
    run = shlex.join(["python", "-m", "notebooks_lib", "run", notebook, *options])
    unpack = f"NBOPS=$(mktemp -d) && python -m zipfile -e {shlex.quote(snapshot.wheel_path())} $NBOPS"
    return f"{unpack} && export PYTHONPATH=$NBOPS${{PYTHONPATH:+:$PYTHONPATH}} && exec {run}"


def _experiment(plan: Plan) -> str:
    assert plan.start is not None
    if plan.start.experiment_id is None:
        return plan.start.experiment
    connected = stores.connect(plan.settings)  # a notebook that names its experiment by id
    with stores.translate_store_errors(connected):
        return str(connected.client.get_experiment(plan.start.experiment_id).name)
