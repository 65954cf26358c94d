"""A small project with a table and a notebook, whose commands run in a workspace and which is removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import safe_text
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.settings import Settings, load

PREFIX = "nbops-verify-"
NOTEBOOK = "experimentation/probe.ipynb"
DATASET = "probe"
SHORT_JOB = "production/azure/short.yml"
"""A job file with SHORT_LIMIT."""
SHORT_LIMIT = 60
"""Seconds after which Azure has to stop a job."""
PARAMETERS = (
    'dataset: str = "{dataset}@1"  # of the throw-away project\nshrink: float = 1.0\nwait: float = 0.0  # seconds'
)
CELLS = (
    "import time\nfrom notebooks_lib import datasets, tracking\nrun = tracking.run()",
    "data = datasets.load(dataset)\ntime.sleep(wait)",
    "from sklearn.linear_model import LinearRegression\nmodel = LinearRegression().fit(data.train.X, data.train.y)",
    "guess = shrink * model.predict(data.validation.X)\nrmse = float(((data.validation.y - guess) ** 2).mean() ** 0.5)",
    "run.log_dataset(data)\nrun.log({'rmse': rmse})",
    "run.log_model(model, example=data.validation.X.head(3))",
)
_COPIED = ("environment.yml", "requirements.lock", "production/azure/job.yml", "production/azure/environment.yml")
_BEFORE_SETTINGS = (
    "NBOPS_",
    "AZUREML_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT",
)
"""How the variables begin that name a store, a run or a setting in place of the project's files."""
_COPIED_FOLDERS = ("production/azure/compute", "production/azure/connections")


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    code: int
    content: Any
    """The object that it printed with --json; None if it printed none."""
    error: str
    """The last line on standard error."""


@dataclass(frozen=True)
class ThrowawayProject:
    """A project in a temporary folder. What it makes in the workspace bears its name."""

    name: str
    root: Path
    workspace: Workspace

    @property
    def dataset(self) -> str:
        """Return the name of its dataset."""
        return f"{self.name}-{DATASET}"

    @property
    def endpoint(self) -> str:
        """Return the name of the endpoint of its stage prod."""
        return self.name

    @property
    def settings(self) -> Settings:
        """Return its settings."""
        return load(self.root, {})

    def nbops(self, *arguments: str, wait_seconds: float = 1200.0) -> CommandResult:
        """Run a command of nbops in a process of its own. One that takes too long is ended, with code 1."""
        command = [sys.executable, "-m", "notebooks_lib", *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.root, capture_output=True, text=True, timeout=wait_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return CommandResult(1, None, f"it took longer than {wait_seconds:.0f} s")
        lines = done.stderr.strip().splitlines()
        error = safe_text.masked(lines[-1].removeprefix("nbops: ")) if lines else ""
        return CommandResult(done.returncode, _parsed(done.stdout), error)

    @contextmanager
    def with_other_rows(self) -> Iterator[ThrowawayProject]:
        """Give a clone of this project, whose table has other rows, as a colleague might have."""
        with _folder() as root:
            write_files(root, self.name, self.workspace, factor=3)
            yield ThrowawayProject(self.name, root, self.workspace)


@contextmanager
def throwaway_project(settings: Settings, workspace: Workspace, name: str = "") -> Iterator[ThrowawayProject]:
    """Make a project with the environment and the computes of `settings`; its folder is removed at the end.

    Without `name` it gets a new one. Until the end, no variable of this process names another store or workspace.
    """
    name = name or f"{PREFIX}{uuid.uuid4().hex[:6]}"
    with _folder() as root, _hide_variables():
        for file in _COPIED:
            if (settings.root / file).is_file():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(settings.root / file, root / file)
        for folder in _COPIED_FOLDERS:
            if (settings.root / folder).is_dir():
                shutil.copytree(settings.root / folder, root / folder)
        write_files(root, name, workspace)
        yield ThrowawayProject(name, root, workspace)


def write_files(root: Path, name: str, workspace: Workspace, *, factor: int = 2) -> None:
    """Write settings, table, notebook and the file of a short job; `factor` decides what the rows are."""
    keys = {
        "subscription": workspace.subscription,
        "resource_group": workspace.resource_group,
        "workspace": workspace.name,
    }
    azure = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    stage = '[stages.prod]\nendpoint = "azureml:"\n'
    text = f'[project]\nname = "{name}"\n\n[tracking]\nuri = "azureml"\n\n[azure]\n{azure}\n{stage}'
    _write(root / "production" / "settings.toml", text)
    rows = (f"{row},{row % 7},{factor * row + row % 5}" for row in range(300))
    _write(root / "probe.csv", "first,second,outcome\n" + "\n".join(rows) + "\n")
    cells = [_code(PARAMETERS.format(dataset=f"{name}-{DATASET}"), "parameters"), *map(_code, CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    _write(root / NOTEBOOK, json.dumps(notebook))
    job = root / "production" / "azure" / "job.yml"
    general = job.read_text("utf-8") if job.is_file() else ""
    if "limits:" not in general:
        _write(root / SHORT_JOB, f"{general.rstrip()}\nlimits:\n  timeout: {SHORT_LIMIT}\n")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def _code(source: str, *tags: str) -> Mapping[str, object]:
    return {
        "cell_type": "code",
        "id": uuid.uuid4().hex[:8],
        "source": source,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "execution_count": None,
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@contextmanager
def _hide_variables() -> Iterator[None]:
    """Take away the variables that hold before a project's settings, also from its commands."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_BEFORE_SETTINGS)}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a temporary folder outside any repository: the snapshot of a job must hold nothing else."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{time.strftime('%H%M%S')}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
