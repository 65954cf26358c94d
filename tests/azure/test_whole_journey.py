"""The whole way, from `nbops azure up` to `nbops azure down`, by the commands that a user types, each in a process.

A workspace is made, a model is trained on its computes, promoted from this machine to a managed endpoint and one on
Kubernetes, asked, retrained on what it collected, used for a batch, and rolled back; afterwards nothing is left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import uv_environment
from notebooks_lib.azure.client import rest_client
from notebooks_lib.azure.infrastructure import managed_resources
from notebooks_lib.models import requirements
from notebooks_lib.serving.scoring_environment import scoring_requirements
from tests import building
from tests.azure import emulator, request_table
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject
from tests.serving.azure_project import make_registry, make_workspace

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(2400)]

REPOSITORY = Path(__file__).parents[2]
NOTEBOOK = "experimentation/sales.ipynb"
MODEL = "sales"
NEEDED = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops", "cloudpickle")
PARAMETERS = (
    'dataset: str = "sales"  # of the shop\nalpha: float = 0.1  # strength of the penalty\nwait: float = 0.0  # seconds'
)
CELLS = (
    "import time\nfrom notebooks_lib import datasets, tracking\nrun = tracking.run()\ndata = datasets.load(dataset)",
    "time.sleep(wait)",
    "from sklearn.linear_model import Ridge\nmodel = Ridge(alpha=alpha).fit(data.train.X, data.train.y)",
    "missed = data.validation.y - model.predict(data.validation.X)\nrmse = float((missed**2).mean() ** 0.5)",
    "run.log_dataset(data)\nrun.log({'rmse': rmse})\nrun.log_model(model, example=data.validation.X.head(2))",
)
SETTINGS = """\
[project]
name = "sales"

[tracking]
uri = "azureml"

[promotion]
trusted_flavors = ["sklearn", "python_function"]

[stages]
default = ["dev", "test", "prod"]

[stages.test]
endpoint = "azureml:"

[stages.prod]
endpoint = "azureml:{model}-live"
canary = [{traffic = 50, requests = 6}]
max_latency_ratio = 1000
wait_minutes = 6
"""
COLLECTS = """\
data_collector:
  collections:
    model_inputs: {enabled: "true"}
    model_outputs: {enabled: "true"}
"""
PIPELINE = """\
type: pipeline
jobs:
  newer:
    type: command
    command: nbops data newer sales --than-champion sales --stage test --out ${{outputs.answer}}
    identity: {type: managed}
    outputs:
      answer: {type: uri_file}
  train:
    type: command
    command: nbops run experimentation/sales.ipynb --only-if ${{inputs.newer}} --out ${{outputs.answer}}
    identity: {type: managed}
    inputs:
      newer: ${{parent.jobs.newer.outputs.answer}}
    outputs:
      answer: {type: uri_file}
"""
SCHEDULE = """\
trigger: {type: cron, expression: "0 2 * * *"}
create_job: ../pipelines/retrain.yml
"""


SUBJECT = ("-p", f"experiment={MODEL}", "-p", "metric=rmse")


@dataclass(frozen=True)
class Shop:
    """A project with a table of sales and a notebook about it."""

    root: Path
    cluster: str
    environment: Mapping[str, str]

    def nbops(self, *arguments: str, code: int | None = 0) -> Any:
        """Run a command in a process of its own; return the object that it prints, or its text."""
        done = subprocess.run(
            [sys.executable, "-m", "notebooks_lib", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert code in (done.returncode, None), f"{arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    def begin(self, *arguments: str) -> str:
        """Begin a command, wait until it names its run, and leave it to itself."""
        process = subprocess.Popen(
            [sys.executable, "-m", "notebooks_lib", *arguments],
            cwd=self.root,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr is not None
        run = next(line.split()[-1] for line in process.stderr if ": run " in line)
        process.kill()  # whoever follows a job may go away
        process.communicate()
        return run

    def write(self, file: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self) -> None:
        """Commit every file: stages take only models of a clean commit."""
        subprocess.run(["git", "add", "."], cwd=self.root, check=True)
        who = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *who, "commit", "-qm", "a step of the journey"], cwd=self.root, check=True)


def table(first: int, rows: int) -> str:
    """Sales by day: what is sold depends on price and promotion."""
    lines = (
        f"{day},{10 + day % 17},{day % 3},{900 - 30 * (day % 17) + 50 * (day % 3) + day % 7}"
        for day in range(first, first + rows)
    )
    return "day,price,promotion,turnover\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def scoring_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of the environment in which Azure would score: it has the collector.

    Its packages come from their index: it is made before every host but Azure's is refused.
    """
    model, folder = tmp_path_factory.mktemp("requirements"), tmp_path_factory.mktemp("scoring") / "environment"
    lines = requirements.pinned_requirements(NEEDED, REPOSITORY / "requirements.lock")
    (model / "requirements.txt").write_text("\n".join(lines))
    (model / "MLmodel").write_text("flavors: {python_function: {}}\n")
    packages = scoring_requirements(model).packages
    uv_environment.make_environment(
        folder, "install", "--compile-bytecode", *packages, python=sys.executable, subject="it", timeout=600
    )
    return uv_environment.python_of(folder)


@pytest.fixture
def shop(azure_group: str, azure_workspace: AzureProject) -> Shop:
    root = azure_workspace.settings.root
    shop = Shop(root, f"cpu-{uuid.uuid4().hex[:8]}", {**os.environ, **azure_workspace.environment})
    shop.write("production/settings.toml", '[project]\nname = "sales"\n')  # what `up` makes is named after it
    shop.write("sales.csv", table(0, 900))
    building.write(root / NOTEBOOK, *CELLS, parameters=PARAMETERS, title="What will the shop sell?")
    shutil.copyfile(REPOSITORY / "production" / "promote.ipynb", root / "production" / "promote.ipynb")
    shop.write("requirements.lock", "click==8.5.1\n")
    shop.write(".gitignore", ".nbops\ndata\n*.csv\n")
    shop.write(
        f"production/azure/compute/{shop.cluster}.yml", "type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: 2\n"
    )
    shop.write("production/azure/job.yml", "identity: {type: managed}\n")
    shop.write("production/azure/deployment.yml", COLLECTS)
    shop.write("production/azure/prod/endpoint.yml", "compute: azureml:k8s\n")
    shop.write("production/azure/pipelines/retrain.yml", PIPELINE)
    shop.write("production/azure/schedules/retrain.yml", SCHEDULE)
    shop.write("production/azure/batch/deployment.yml", f"compute: azureml:{shop.cluster}\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    shop.commit()
    return shop


def promote(shop: Shop, stages: str = "dev,test,prod") -> Any:
    promoted = shop.nbops("promote", "--live", "--stages", stages, *SUBJECT, "--json")
    assert promoted["promoted"], promoted["decision"]
    return promoted


def attach_kubernetes(server: Emulated, workspace: str) -> None:
    """Attach the cluster that prod/endpoint.yml names: nbops makes none."""
    cluster = {"properties": {"computeType": "Kubernetes", "provisioningState": "Succeeded"}}
    server.put(f"{workspace}/computes/k8s", cluster)


def until_collected(shop: Shop) -> Any:
    """Return what the endpoint of stage test has collected: the collector hands over now and then."""
    deadline = time.monotonic() + 60
    command = ("data", "collected", f"{MODEL}-test", "-o", "answered.csv", "--replace")
    while "collected nothing" in (text := shop.nbops(*command, code=None)) and time.monotonic() < deadline:
        time.sleep(3)
    assert "collected nothing" not in text, text
    return shop.nbops(*command, "--json")


def test_from_up_to_down(scoring_python: str, shop: Shop, azure_group: str, azure_server: Emulated) -> None:
    azure_server.serve_with(scoring_python)
    client, own = rest_client.resource_manager(), uuid.uuid4().hex[:8]
    other, registry = make_workspace(client, f"o-{own}"), make_registry(client, f"shared-{own}")
    began = azure_server.record.position()
    nbops, on = shop.nbops, ("--on", f"azureml:{shop.cluster}")
    nbops("azure", "up", "--resource-group", azure_group, "--yes")
    config = json.loads((shop.root / "config.json").read_text())
    shop.write("production/settings.toml", SETTINGS)
    shop.commit()
    workspace = (
        f"/subscriptions/{emulator.SUBSCRIPTION}/resourceGroups/{azure_group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{config['workspace_name']}"
    )
    attach_kubernetes(azure_server, workspace)
    findings = {finding["what"]: finding for finding in nbops("doctor", "--json")["findings"]}
    assert all(finding["ok"] for what, finding in findings.items() if what.startswith("azure")), findings
    assert findings[f"azure compute {shop.cluster}"]["detail"] == "not there yet: the first job on it makes it"

    nbops("data", "add", "sales.csv", "--name", "sales", "--target", "turnover", "--key", "day")
    nbops("data", "push", "sales@1")
    first = nbops("run", NOTEBOOK, "-p", "alpha=1e6", *on, "--json")
    assert first["status"] == "FINISHED", first
    assert nbops("azure", "jobs", "logs", first["run_id"], "--json")["logs"]
    ours = nbops("sweep", NOTEBOOK, "--grid", "alpha=3e4,1e5", "--metric", "rmse", *on, "--json")
    assert ours["status"] == "FINISHED"
    theirs = nbops(
        *("sweep", NOTEBOOK, "--space", "alpha=uniform(3e5, 5e5)", "--trials", "2", "--jobs", "2"),
        *("--sampler", "random", "--metric", "rmse", *on, "--service", "--json"),
    )
    assert theirs["status"] == "FINISHED"
    runs = [first, *ours["trials"], *theirs["trials"]]
    (ranking,) = nbops("compare", MODEL, "--metric", "rmse", "--json")["tables"]
    assert {run["run_id"] for run in ranking["runs"]} == {run["run_id"] for run in runs}
    assert ranking["runs"][0]["run_id"] == min(runs, key=lambda run: run["metrics"]["rmse"])["run_id"]
    assert {run["run_id"] for run in nbops("data", "models", "sales@1", "--json")} == {run["run_id"] for run in runs}
    slow = shop.begin("run", NOTEBOOK, "-p", "wait=200.0", *on)
    assert nbops("azure", "jobs", "stop", slow, "--json")["status"] == "Canceled"

    promote(shop)
    nbops("run", NOTEBOOK, "-p", "alpha=1.0", *on, "--json")
    promote(shop)  # with a canary: version 1 serves
    live = nbops("endpoint", "status", f"{MODEL}-live", "--json")
    assert {slot["version"]: slot["traffic"] for slot in live["slots"].values()}["2"] == 100

    rows = [line.split(",") for line in table(900, 400).splitlines()]
    body = {
        "dataframe_split": {"columns": rows[0][1:3], "data": [[float(cell) for cell in row[1:3]] for row in rows[1:]]}
    }
    shop.write("new.json", json.dumps(body))
    asked = nbops("endpoint", "invoke", f"{MODEL}-test", "--data", "@new.json", "--json")
    assert len(asked["predictions"]) == 400
    collected = until_collected(shop)
    assert collected["rows"] == 400, collected
    shop.write("new.csv", table(900, 400))
    nbops("data", "add", "new.csv", "--name", "sales")
    nbops("data", "push", "sales@2")
    assert nbops("data", "newer", "sales", "--than-champion", MODEL, "--json")["newer"]

    nbops("azure", "schedule", "apply", "--yes")
    started = nbops("azure", "schedule", "now", "retrain", "--json")
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        listed = {job["name"]: job["status"] for job in nbops("azure", "jobs", "list", "--json")["jobs"]}
        if listed.get(started["job"]) in ("Completed", "Failed", "Canceled"):
            break
        time.sleep(3)
    assert listed[started["job"]] == "Completed", listed
    used = nbops("data", "models", "sales@2", "--json")
    assert used, "the pipeline trained on the new version"

    nbops("batch", "deploy", MODEL)
    scored = nbops("batch", "run", MODEL, "--data", "new.csv", "-o", "scored.csv", "--json")
    assert scored["rows"] == 400, scored
    predictions = [float(line.split(",")[-1]) for line in (shop.root / "scored.csv").read_text().splitlines()[1:]]
    assert predictions[:3] == pytest.approx(asked["predictions"][:3]), "the same version, the same answers"

    attach_kubernetes(azure_server, other.path)
    elsewhere = SETTINGS.replace(
        '{model}-live"', f'{{model}}-far"\nworkspace = "{emulator.RESOURCE_GROUP}/{other.name}"'
    )
    shop.write("production/settings.toml", f'{elsewhere}\n[azure]\nregistry = "{registry}"\n')
    nbops("promote", "--live", *SUBJECT, "--json")  # the champion stays, and is deployed where its stage is now
    far = nbops("endpoint", "status", f"prod:{MODEL}-far", "--json")
    assert {slot["version"]: slot["traffic"] for slot in far["slots"].values()} == {"2": 100}
    nbops("endpoint", "stop", f"prod:{MODEL}-far")
    shop.write("production/settings.toml", SETTINGS)

    back = nbops("rollback", MODEL, "--json")
    assert back["version"] == "1"
    nbops("batch", "delete", MODEL, "--yes")
    nbops("azure", "schedule", "delete", "retrain", "--yes")
    for stage in ("live", "test"):
        nbops("endpoint", "stop", f"{MODEL}-{stage}")
    nbops("endpoint", "stop", f"{MODEL}-dev")
    nbops("azure", "down", "--yes")
    left = managed_resources.read_group(client, emulator.SUBSCRIPTION, azure_group, "dev")
    assert (left.ours, left.others, left.deployments) == ([], [], []), "nobody's, whatever the prefix"

    made = set(request_table.kinds(azure_server, began, azure_group, (shop.cluster, "salesdev", registry)))
    patterns = [pattern for patterns in request_table.REQUESTS.values() for pattern in patterns]
    assert sorted(each for each in made if not any(re.fullmatch(pattern, each) for pattern in patterns)) == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, each) for each in made)] == []
