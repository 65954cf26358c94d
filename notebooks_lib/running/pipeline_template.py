"""A pipeline file with all that nbops fills in, as far as that is known without the workspace. It sends nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.assets import environment, snapshot
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.assets.snapshot import Snapshot
from notebooks_lib.azure.client import clouds, workspace
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import compute_names, file_check
from notebooks_lib.azure.project_files.pipeline_file_kind import PIPELINE
from notebooks_lib.notebooks import document, project_modules
from notebooks_lib.running import job_template, pipeline_steps
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.running.pipeline_steps import StepCommand
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import provenance

USER = "mlflow.user"
"""The tag that says who submits."""


@dataclass(frozen=True)
class PipelineTemplate:
    """A pipeline whose file has no fault, and what its steps share."""

    workspace: Workspace
    file: Path
    values: dict[str, Any]
    """Of the file, with the commands, variables, tags and computes that are sent."""
    commands: Mapping[str, StepCommand]
    """Step -> its command, as it is written."""
    environment: Environment
    snapshot: Snapshot

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps, in the order of the file."""
        return tuple(self.values["jobs"])

    @property
    def computes(self) -> tuple[str, ...]:
        """The names of all computes that the steps need."""
        default = (self.values.get("settings") or {}).get("default_compute", compute_names.SERVERLESS)
        named = [default, *(step["compute"] for step in self.values["jobs"].values() if "compute" in step)]
        return tuple(dict.fromkeys(str(each).removeprefix(compute_names.PREFIX) for each in named))

    @property
    def always_run(self) -> frozenset[str]:
        """The steps that Azure must run each time, even if nothing of them has changed."""
        return frozenset(name for name, command in self.commands.items() if command.always_runs)

    @property
    def digest(self) -> str:
        """The digest of what it runs: not who submits it, nor by which commit."""
        steps = {
            name: {
                **step,
                "environment_variables": {
                    key: value for key, value in (step.get("environment_variables") or {}).items() if key != Env.JOB
                },
            }
            for name, step in self.values["jobs"].items()
        }
        tags = {key: value for key, value in self.values["tags"].items() if key != USER}
        content = [{**self.values, "jobs": steps, "tags": tags}, self.snapshot.sha256, self.environment.version]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def make_pipeline_template(
    file: Path, settings: Settings, environ: Mapping[str, str], *, on: str | None = None
) -> PipelineTemplate:
    """Return the pipeline of a file; `on` is the place of the steps for which the file names none.

    Raises UsageError for a file, a place or a project that cannot be run as a pipeline.
    """
    place = compute_names.compute_name(on) if on else ""
    values = file_check.valid_values(_existing(file), PIPELINE, settings.root, environ)
    commands = {name: StepCommand.of(step) for name, step in values["jobs"].items()}
    if refused := next(pipeline_steps.step_faults(commands, settings), None):
        step, reason = refused
        raise errors.UsageError(f"step {step}: {reason}")
    chosen = workspace.find_workspace(settings, f"--on {on}" if on else "")
    notebooks = [settings.root / path for command in commands.values() for path in command.notebooks]
    git = provenance.git_state(settings.root)
    files = snapshot.take_snapshot(
        settings.root,
        always=[
            *notebooks,
            *(settings.root / module for notebook in notebooks for module in _modules(notebook, settings.root)),
            *(each for each in (settings.layout.settings_file, settings.layout.lock) if each.exists()),
        ],
        uncommitted=git is not None and git.dirty,
        limit_mb=settings.azure.snapshot_mb,
    )
    request = JobRequest.by(git, {})
    named = dict(environ)
    clouds.set_azure_cloud(named)  # always, so that the same pipeline is the same whatever this process did before
    variables = {**job_template.forwarded(named, settings), Env.JOB: request.as_text()}
    tags = {Tag.PIPELINE: _relative(file, settings.root), USER: request.user}
    completed = {
        "display_name": file.stem,
        "experiment_name": _experiment(commands.values(), settings),
        **values,
        "tags": {**(values.get("tags") or {}), **tags},
        "settings": {**(values.get("settings") or {}), **({"default_compute": place} if place else {})},
        "jobs": {name: _completed(step, commands[name], variables) for name, step in values["jobs"].items()},
    }
    return PipelineTemplate(
        chosen, file, completed, commands, environment.read_environment(settings.root, environ), files
    )


def _existing(file: Path) -> Path:
    if file.is_file():
        return file.absolute()
    there = sorted(path.name for path in file.parent.glob("*.yml")) if file.parent.is_dir() else []
    near = errors.nearest(file.name, there)
    hint = f", did you mean {file.parent / near}?" if near else ": write it (docs/azure-retraining.md has an example)"
    raise errors.UsageError(f"{file}: no such file{hint}")


def _completed(step: Mapping[str, Any], command: StepCommand, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a step with the command of its job, and for one of nbops with what the submitter hands over."""
    if not command.is_ours:
        return dict(step)
    own = {**variables, **(step.get("environment_variables") or {})}
    return {**step, "command": command.completed(), "environment_variables": own}


def _modules(notebook: Path, root: Path) -> Iterable[str]:
    """Return the project's modules that a notebook imports, as paths from the root."""
    return [path for path, _ in project_modules.find_modules(document.read(notebook), root)]


def _experiment(steps: Iterable[StepCommand], settings: Settings) -> str:
    """Return the experiment of the first notebook that a step runs: the runs of all steps are in the pipeline's."""
    for command in (command for step in steps for command in step.commands):
        if command.subcommand == "run" and command.notebooks:
            planner = NotebookPlanner(
                settings.root / command.notebooks[0], settings, experiment=command.option("--experiment") or None
            )
            return planner.common(planner.schema.defaults, name="").experiment
    return settings.experiment


def _relative(file: Path, root: Path) -> str:
    path = file.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
