"""What all jobs of one notebook share, and what each of them adds. It checks what can be checked and sends nothing."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.assets import environment, snapshot
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client import clouds, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import compute_names, file_check, file_kinds, file_loading
from notebooks_lib.datasets import version_lookup
from notebooks_lib.notebooks import project_modules
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.running.plan import Plan
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import store as stores


@dataclass(frozen=True)
class JobDescription:
    """One job, of which all is known but the ids that the workspace gives to its parts."""

    name: str
    """The id of its run, too: chosen here, so that a submission can be looked for."""
    properties: Mapping[str, Any]
    parameters: Mapping[str, object]
    """All of the notebook's: those that name data assets are inputs of the job."""


@dataclass(frozen=True)
class JobTemplate:
    """What all jobs of one notebook share: place, files, environment, and what the job file says."""

    workspace: Workspace
    compute: str
    environment: Environment
    snapshot: Snapshot
    properties: Mapping[str, Any]

    @property
    def instances(self) -> int:
        """The number of machines that one job takes."""
        return int((self.properties.get("resources") or {}).get("instanceCount") or 1)

    def describe(
        self, plan: Plan, tags: Mapping[str, str] | None = None, *, experiment: str | None = None
    ) -> JobDescription:
        """Return the job of one run under a new name; `tags` are added to those by which nbops finds its jobs.

        `experiment` is its experiment's name, if it is known: a plan may have the id alone, which costs a request.

        Raises UsageError for a parameter that cannot be sent to a job.
        """
        start = plan.start
        assert start is not None, "an untracked run has no job"
        request = JobRequest.of(plan)
        mine = {Tag.NOTEBOOK: start.notebook, "mlflow.user": request.user, **(tags or {})}
        variables = {**(self.properties.get("environmentVariables") or {}), Env.JOB: request.as_text()}
        properties = {
            **self.properties,
            "experimentName": experiment or _experiment(plan),
            "displayName": start.name,
            "tags": {**(self.properties.get("tags") or {}), **mine},
            "environmentVariables": variables,
        }
        return JobDescription(uuid.uuid4().hex, properties, start.parameters)


def make_template(
    plan: Plan, on: str, environ: Mapping[str, str], *, job_file: Path | None = None, options: Sequence[str] = ()
) -> JobTemplate:
    """Return the template of a notebook's jobs. `plan` is that of any run of it; its parameters do not matter.

    `options` are those of the `nbops run` in each job. Raises UsageError for a place, a file or a project that cannot
    be run as a job.
    """
    settings, start = plan.settings, plan.start
    assert start is not None, "an untracked run has no job"
    place = compute_names.compute_name(on)
    chosen = workspace.find_workspace(settings, f"--on {on}")
    file = _job_file(job_file, settings.root)
    values = file_check.valid_values(file, file_kinds.JOB, settings.root, environ)
    notebook = _notebook(plan)
    _refuse_missing_secrets(plan, values.get("environment_variables") or {}, file)
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
    properties = _properties(file, values, environ)
    properties["command"] = _command(notebook, options)
    variables = properties.get("environmentVariables") or {}
    latest = {**version_lookup.latest_versions(settings), **json.loads(environ.get(Env.DATASETS) or "{}")}
    datasets = {Env.DATASETS: json.dumps(latest)} if latest else {}
    properties["environmentVariables"] = {**forwarded(environ, settings), **datasets, **variables}
    return JobTemplate(chosen, place, environment.read_environment(settings.root, environ), files, properties)


def run_options(
    *, timeout: float | None, cell_timeout: float | None, kernel: str | None, cold: bool, html: bool
) -> list[str]:
    """Return the options of the `nbops run` in a job."""
    given = {"--timeout": timeout, "--cell-timeout": cell_timeout, "--kernel": kernel}
    words = [word for key, value in given.items() if value is not None for word in (key, f"{value}")]
    return words + [flag for flag, wanted in {"--cold": cold, "--no-html": not html}.items() if wanted]


def _job_file(chosen: Path | None, root: Path) -> Path:
    if chosen is None:
        return file_check.folder(root) / "job.yml"
    if not chosen.is_file():
        there = sorted(path.name for path in chosen.parent.glob("*.yml")) if chosen.parent.is_dir() else []
        near = errors.nearest(chosen.name, there)
        hint = f", did you mean {chosen.parent / near}?" if near else ": write it, or leave --job out"
        raise errors.UsageError(f"--job {chosen}: no such file{hint}")
    return chosen.absolute()


def _properties(file: Path, values: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what a job file says, as the SDK would send it; it is not imported where nothing is said."""
    if not values:
        return {"jobType": "Command"}
    kind = file_kinds.JOB
    filled_in = {key: value for key, value in kind.filled_in(file).items() if key != "code"}
    try:
        properties: dict[str, Any] = file_loading.request_body(kind.name, file, values, filled_in)["properties"]
    except Exception as error:
        raise file_check.sdk_refusal(file, error, environ) from error
    return properties


def _refuse_missing_secrets(plan: Plan, variables: Mapping[str, object], file: Path) -> None:
    missing = {variable: name for name, variable in plan.secrets.items() if variable not in variables}
    for variable, name in missing.items():
        raise errors.UsageError(
            f"parameter {name} is a secret that is read from {variable}, which a job does not have: write"
            f" {variable}: ${{{variable}}} under environment_variables in {file}"
        )


def forwarded(environ: Mapping[str, str], own: Settings) -> dict[str, str]:
    """Return the variables that go along with each job: which cloud this is, and settings.

    Not the settings that say where runs are tracked, and no folder outside the project: the job has none of it.
    """
    sections = Settings.model_fields.keys() - {"root", "tracking", "azure"}
    prefixes = tuple(f"NBOPS_{section.upper()}_" for section in sections)
    settings = {name: value for name, value in environ.items() if name.startswith(prefixes)}
    if not (own.root / settings.get("NBOPS_DATA_FOLDER", "")).resolve().is_relative_to(own.root.resolve()):
        del settings["NBOPS_DATA_FOLDER"]
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
    return f"{snapshot.unpack_command()} && exec {run}"


def _experiment(plan: Plan) -> str:
    assert plan.start is not None
    if plan.start.experiment_id is None:
        return plan.start.experiment
    connected = stores.connect(plan.settings)  # a notebook that names its experiment by id
    with stores.translate_store_errors(connected):
        return str(connected.client.get_experiment(plan.start.experiment_id).name)
