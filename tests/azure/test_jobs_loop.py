"""A notebook as a job, by the commands that a user types: submitted, followed, adopted, stopped, found again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests import building
from tests.azure.fixtures import AzureProject

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(300)]

PARAMETERS = "alpha: float = 1.0  # strength\nseed: int = 1  # of the split"
CELLS = (
    "import random\nimport mlflow\nimport notebooks_lib\nrandom.seed(seed)",
    "mlflow.log_metric('rmse', alpha * random.random())\nmlflow.log_text('all well', 'report/note.txt')",
    "print('nbops of', notebooks_lib.__file__)",
)


def committed(settings: Settings) -> None:
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=settings.root, check=True)


@pytest.fixture
def project_on_azure(azure_workspace: AzureProject) -> Settings:
    settings = azure_workspace.settings
    building.write(settings.root / "experimentation" / "n.ipynb", *CELLS, parameters=PARAMETERS, title="A question")
    (settings.root / "requirements.lock").write_text("click==1.0\n")
    (settings.root / ".gitignore").write_text(".nbops\n")
    (settings.root / "environment.yml").write_text("dependencies:\n  - python=3.11\n")
    committed(settings)
    return settings


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = program.run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_job_runs_a_notebook(project_on_azure: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = program.run(
        ["run", "experimentation/n.ipynb", "-p", "alpha=2.0", "--on", "azureml:serverless", "--out", "r.json"]
    )
    shown = capsys.readouterr()
    print(shown.out, shown.err)
    result = json.loads(Path("r.json").read_text())
    print(json.dumps(result, indent=1))
    program.run(["azure", "jobs", "logs", result["run_id"]])
    print(capsys.readouterr().out)
    assert code == 0
