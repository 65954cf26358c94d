"""What the workflows and pipelines for Azure need of this machine: a project in git, and machines that reach the emulator."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.azure import emulator
from tests.azure.emulator import Emulated, sign_in, stand_in_az
from tests.azure.emulator.certificates import AZURE_PIPELINES, GITHUB
from tests.ci.azure_devops_pipeline import PipelineRun
from tests.ci.github_workflow import Event, Run
from tests.ci.machine import Machine

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PIPELINES = ROOT / ".ci"
ENVIRONMENT = Path(sys.executable).parents[1]
"""Stands in for the one that `make setup` makes."""
COPIED = (
    "Makefile",
    ".ci/require-reviewers",
    "experimentation/diabetes_ridge.ipynb",
    "production/promote.ipynb",
    "production/scoring",
)
STAGES = """
[promotion]
trusted_flavors = ["sklearn", "python_function"]

[stages.dev]
endpoint = "azureml:"

[stages.test]
endpoint = "azureml:"

[stages.prod]
endpoint = "azureml:"
max_latency_ratio = 1000
"""
APPLICATION = {"AZURE_CLIENT_ID": sign_in.CLIENT}
VARIABLES = {
    "": {"AZURE_TENANT_ID": sign_in.TENANT, "AZURE_SUBSCRIPTION_ID": emulator.SUBSCRIPTION},
    "azure-train": APPLICATION,
    **{f"azure-promote-{stage}": APPLICATION for stage in ("dev", "test", "prod")},
    **{f"azure-{stage}": APPLICATION for stage in ("dev", "test", "prod")},
}
"""Environment -> its variables; "" has those of the repository. docs/azure-ci.md tells people to set them."""


@dataclass
class Project:
    """A repository whose settings name the emulated workspace, and the machines on which its CI runs."""

    folder: Path
    azure: Emulated
    variables: dict[str, Mapping[str, str]]
    """Environment -> its variables."""

    def __post_init__(self) -> None:
        self.repository = self.folder / "repository"
        self._numbers = itertools.count(1)
        self._programs = self._make_programs()

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> None:
        self.git("add", ".")
        self.git("commit", "-qm", message)

    def _make_programs(self) -> Path:
        """An `az` that is signed in as the service, for the steps of CI have no secret; and a `gh`."""
        real, folder = stand_in_az.put_on_path(self.folder / "az"), self.folder / "programs"
        folder.mkdir()
        given = (
            f"AZURE_CLIENT_ID={sign_in.CLIENT} AZURE_TENANT_ID={sign_in.TENANT} AZURE_CLIENT_SECRET={sign_in.SECRET}"
        )
        program = folder / "az"
        program.write_text(f'#!/bin/sh\n{given} exec {real}/az "$@"\n')
        gh = folder / "gh"
        gh.write_text(
            "#!/bin/sh\necho branch_policy; echo required_reviewers\n"
        )  # tests/test_workflows.py has the real one
        for each in (program, gh):
            each.chmod(0o755)
        return folder

    def machine(self, job: str, system: Mapping[str, str]) -> Machine:
        """Return a machine of GitHub or Azure DevOps that reaches Azure, and can ask for the OIDC token of its job."""
        hidden = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")
        reach = {name: value for name, value in self.azure.environment.items() if name not in hidden}
        variables = {**reach, "PATH": f"{self._programs}:/usr/bin:/bin", **system}
        if variables.pop("ID_TOKEN", ""):
            variables["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"https://{GITHUB}/token?api-version=2.0"
            variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = sign_in.JOB_TOKEN
        if "TF_BUILD" in variables:
            variables["SYSTEM_OIDCREQUESTURI"] = f"https://{AZURE_PIPELINES}/organisation/oidctoken"
        return Machine(self.folder / f"machine-{next(self._numbers)}-{job}", variables)

    def workflow(self, name: str, event: str, **more: Any) -> Run:
        """A run of a workflow of GitHub, not started yet."""
        started = Event(event, environments=self.variables, **more)
        return Run(WORKFLOWS / f"{name}.yml", started, self.repository, self.machine, ENVIRONMENT)

    def pipeline(self, name: str, **more: Any) -> PipelineRun:
        """A run of a pipeline of Azure DevOps, not started yet."""
        return PipelineRun(PIPELINES / f"{name}.yml", self.repository, self.machine, ENVIRONMENT, **more)

    def nbops(self, *arguments: str) -> Any:
        """Ask a command with --json, from the repository, as somebody with a client secret."""
        variables = {**self.azure.environment, "PATH": f"{ENVIRONMENT}/bin:/usr/bin:/bin", "HOME": str(self.folder)}
        command = [sys.executable, "-m", "notebooks_lib", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.repository, env=variables, capture_output=True, text=True, check=True, timeout=600
        )
        return json.loads(done.stdout)


def make_project(folder: Path, azure: Emulated, *, infrastructure: bool = False) -> Project:
    """A project with the files of this repository that CI uses. One for infrastructure has no workspace yet."""
    project = Project(folder, azure, dict(VARIABLES))
    for path in (*COPIED, *(["production/infra"] if infrastructure else [])):
        source, target = ROOT / path, project.repository / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    (project.repository / "pyproject.toml").write_text('[project]\nname = "sample"\n')
    (project.repository / "requirements.lock").write_text("click==8.5.1\n")
    (project.repository / "environment.yml").write_text("dependencies:\n  - python=3.11\n")
    (project.repository / ".gitignore").write_text(".nbops/\n")
    settings = '[project]\nname = "sample"\n\n' + ("" if infrastructure else azure.settings + STAGES)
    (project.repository / "production" / "settings.toml").write_text(settings)
    project.git("init", "-q", "-b", "main")
    project.commit("first")
    return project


def requested(azure: Emulated, method: str, path: str) -> Callable[[], bool]:
    """Return a function that says whether such a request has been made since now. `path`: a regular expression."""
    began = azure.record.position()

    def seen() -> bool:
        return any(each.method == method and re.search(path, each.path) for each in azure.record.since(began))

    return seen
