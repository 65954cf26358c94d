"""The pipeline of production/azure/pipelines/retrain.yml, whole: new data are found, searched for a model, and it serves.

Each step is a job that runs a command of nbops; the last one deploys to an endpoint of the workspace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.endpoints import online_endpoint
from notebooks_lib.settings import load
from tests import building
from tests.azure.fixtures import AzureProject

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(1800)]

REPOSITORY = Path(__file__).parents[2]
FILE = "production/azure/pipelines/retrain.yml"
NOTEBOOK = "experimentation/sales.ipynb"
SWEEP, PROMOTE = "experimentation/diabetes_ridge.ipynb", "nbops promote --live --stages dev"
PARAMETERS = 'dataset: str = "NAME"  # of the shop\nalpha: float = 0.1  # strength of the penalty'
CELLS = (
    "from notebooks_lib import datasets, tracking\nrun = tracking.run()\ndata = datasets.load(dataset)",
    "from sklearn.linear_model import Ridge\nmodel = Ridge(alpha=alpha).fit(data.train.X, data.train.y)",
    "missed = data.validation.y - model.predict(data.validation.X)\nrmse = float((missed**2).mean() ** 0.5)",
    "run.log_dataset(data)\nrun.log({'rmse': rmse})\nrun.log_model(model, example=data.validation.X.head(2))",
)
ENDED = ("Completed", "Failed", "Canceled")
SETTINGS = """
[promotion]
trusted_flavors = ["sklearn", "python_function"]

[stages.dev]
endpoint = "azureml:"
"""
SCHEDULE = """\
trigger: {type: cron, expression: "0 2 * * *"}
create_job: ../pipelines/retrain.yml
"""


@dataclass(frozen=True)
class Shop:
    """A project whose notebook learns sales, in a workspace that it shares with other tests."""

    root: Path
    name: str
    """Of the project, its experiment, dataset, model and schedule."""
    environment: Mapping[str, str]

    def nbops(self, *arguments: str) -> Any:
        """Run a command in a process of its own; return the object that it prints, or its text."""
        done = subprocess.run(
            [sys.executable, "-m", "notebooks_lib", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    def write(self, file: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def sells(self, version: int, more: int) -> None:
        """Push a version of the data, in which a promotion sells so much more."""
        rows = [f"{day},{day % 17},{day % 3},{900 - 30 * (day % 17) + more * (day % 3)}" for day in range(600)]
        self.write("sales.csv", "day,price,promotion,turnover\n" + "\n".join(rows) + "\n")
        first = ("--target", "turnover", "--key", "day") if version == 1 else ()
        self.nbops("data", "add", "sales.csv", "--name", self.name, *first)
        self.nbops("data", "push", f"{self.name}@{version}")

    def serves(self) -> tuple[str, float]:
        """The version that serves, and what it says of a day with a promotion."""
        status = self.nbops("endpoint", "status", f"{self.name}-dev", "--json")
        (version,) = {slot["version"] for slot in status["slots"].values() if slot["traffic"] == 100}
        self.write("day.json", json.dumps({"dataframe_records": [{"price": 0.0, "promotion": 1.0}]}))
        (answer,) = self.nbops("endpoint", "invoke", f"{self.name}-dev", "--data", "@day.json", "--json")["predictions"]
        return version, answer


@pytest.fixture
def shop(azure_workspace: AzureProject) -> Iterator[Shop]:
    settings = azure_workspace.settings
    root, name = settings.root, f"sales-{uuid.uuid4().hex[:6]}"
    shop = Shop(root, name, {**os.environ, **azure_workspace.environment})
    text = settings.layout.settings_file.read_text().replace(settings.project_name, name)
    settings.layout.settings_file.write_text(text + SETTINGS)
    parameters = PARAMETERS.replace("NAME", name)
    building.write(root / NOTEBOOK, *CELLS, parameters=parameters, title="What will the shop sell?")
    shutil.copyfile(REPOSITORY / "production" / "promote.ipynb", root / "production" / "promote.ipynb")
    pipeline = (REPOSITORY / FILE).read_text()
    for ours, theirs in (
        (SWEEP, NOTEBOOK),
        ("--trials 12", "--trials 2"),
        (PROMOTE, f"{PROMOTE} -p experiment={name}"),
    ):
        assert ours in pipeline
        pipeline = pipeline.replace(ours, theirs)
    shop.write(FILE, pipeline.replace("diabetes", name))
    shop.write(f"production/azure/schedules/{name}.yml", SCHEDULE)
    shop.write("requirements.lock", "click==8.5.1\n")
    shop.write(".gitignore", ".nbops\n*.csv\n*.parquet\n*.json\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    yield shop
    place = workspace.find_workspace(load(root, {}))
    online_endpoint.delete_endpoint(rest_client.resource_manager(), place, f"{name}-dev")


def retrain(shop: Shop) -> dict[str, str]:
    """Run the pipeline to its good end; step -> why it did nothing, empty if it did something."""
    result = shop.nbops("azure", "pipeline", FILE, "--json")
    assert {step["status"] for step in result["steps"]} == {"FINISHED"}, result
    return {step["name"]: step["skipped"] for step in result["steps"]}


def test_new_data_are_found_searched_and_their_model_serves(shop: Shop) -> None:
    shop.sells(1, more=50)
    assert retrain(shop) == {"newer": "", "sweep": "", "promote": ""}, "there is no champion yet"
    version, answer = shop.serves()
    assert (version, round(answer, -1)) == ("1", 950)

    shop.sells(2, more=90)
    assert retrain(shop) == {"newer": "", "sweep": "", "promote": ""}
    version, answer = shop.serves()
    assert (version, round(answer, -1)) == ("2", 990)

    skipped = retrain(shop)
    assert skipped["newer"] == ""
    assert skipped["sweep"] == skipped["promote"]
    assert f"{shop.name}@2" in skipped["promote"]
    assert shop.serves() == (version, answer)

    shop.sells(3, more=20)
    shop.nbops("azure", "schedule", "apply", "--yes")
    started = shop.nbops("azure", "schedule", "now", shop.name, "--json")
    deadline, status = time.monotonic() + 600, ""
    while status not in ENDED:
        assert time.monotonic() < deadline
        time.sleep(3)
        jobs = shop.nbops("azure", "jobs", "list", "--json")["jobs"]
        status = {job["name"]: job["status"] for job in jobs}.get(started["job"], "")
    assert status == "Completed"
    version, answer = shop.serves()
    assert (version, round(answer, -1)) == ("3", 920)
