"""The way of a notebook through a workspace, by the commands that a user types, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.settings import Settings
from tests import building
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(900)]

NOTEBOOK = "experimentation/sales.ipynb"
PARAMETERS = 'dataset: str = "sales@1"  # of the shop\nshrink: float = 0.5  # of the mean\nwait: float = 0.0  # seconds'
CELLS = (
    "import time\nfrom notebooks_lib import datasets, tracking\nrun = tracking.run()",
    "data = datasets.load(dataset)\ntime.sleep(wait)",
    "guess = shrink * data.train.y.mean()\nrmse = float(((data.validation.y - guess) ** 2).mean() ** 0.5)",
    "run.log_dataset(data)\nrun.log({'rmse': rmse})",
)
Nbops = Callable[..., Any]


@pytest.fixture
def shop(azure_git_project: Settings) -> Path:
    """A project with a table of sales, a notebook about it, and the file of a cluster that is not there yet."""
    root = azure_git_project.root
    rows = [f"{day},{100 + 7 * (day % 10)}.5,{200 + 3 * day}" for day in range(300)]
    (root / "sales.csv").write_text("day,price,turnover\n" + "\n".join(rows) + "\n")
    building.write(root / NOTEBOOK, *CELLS, parameters=PARAMETERS, title="What will the shop sell?")
    file = root / "production" / "azure" / "compute" / f"{cluster(root)}.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: 2\n")
    (file.parent.parent / "job.yml").write_text("identity: {type: managed}\n")  # to read the dataset with
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    return root


def cluster(root: Path) -> str:
    return f"cpu-{json.dumps(str(root)).__hash__() % 10**6}"


def test_the_first_half_of_the_journey(
    shop: Path, azure_workspace: AzureProject, azure_server: Emulated, ask: Ask
) -> None:
    environment = {**os.environ, **azure_workspace.environment}

    def nbops(*arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "notebooks_lib", *arguments],
            cwd=shop,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    began = azure_server.record.position()
    on = ("--on", f"azureml:{cluster(shop)}")
    checks = {check["what"]: check for check in nbops("doctor", "--json")["findings"]}
    assert checks[f"azure compute {cluster(shop)}"]["detail"] == "not there yet: the first job on it makes it"
    nbops("data", "add", "sales.csv", "--name", "sales", "--target", "turnover")
    nbops("data", "push", "sales@1")
    first = nbops("run", NOTEBOOK, *on, "--json")
    assert first["status"] == "FINISHED"
    print(shape(azure_server, began))


def shape(server: Emulated, began: int) -> list[str]:
    """Return each kind of request, with the names in it left out."""
    kinds = set()
    for seen in server.record.since(began):
        path = seen.path.replace(emulator.SCOPE, "<WS>")
        kinds.add(f"{seen.method} {seen.host} {path}")
    return sorted(kinds)
