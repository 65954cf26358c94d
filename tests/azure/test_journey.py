"""The way of a notebook through a workspace, by the commands that a user types, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from notebooks_lib.settings import Settings
from tests import building
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import AzureProject

pytestmark = [pytest.mark.proof, pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(1200)]

NOTEBOOK = "experimentation/sales.ipynb"
PARAMETERS = 'dataset: str = "sales@1"  # of the shop\nshrink: float = 0.5  # of the mean\nwait: float = 0.0  # seconds'
CELLS = (
    "import time\nfrom notebooks_lib import datasets, tracking\nrun = tracking.run()",
    "data = datasets.load(dataset)\ntime.sleep(wait)",
    "guess = shrink * data.train.y.mean()\nrmse = float(((data.validation.y - guess) ** 2).mean() ** 0.5)",
    "run.log_dataset(data)\nrun.log({'rmse': rmse})",
)
REQUESTS: Mapping[str, tuple[str, ...]] = {
    "sign in": (
        r"POST login\.microsoftonline\.com /[\w-]+/oauth2/v2\.0/token",
        r"GET login\.microsoftonline\.com /[\w-]+/v2\.0/\.well-known/openid-configuration",
    ),
    "look at the workspace, what is permitted, and what is left of the quota": (
        r"GET management <WS>",
        r"GET management <WS>/providers/Microsoft\.Authorization/permissions",
        r"GET management <PROVIDER>",
        r"GET management <LOCATION>/(vmSizes|usages)",
    ),
    "make the compute": (
        r"(GET|PUT) management <WS>/computes/NAME",
        r"GET management <LOCATION>/computeOperationsStatus/ID",
    ),
    "make the environment": (r"(GET|PUT) management <WS>/environments/nbops/versions/\w+",),
    "send the snapshot": (
        r"GET management <WS>/codes/ID/versions",
        r"POST management <WS>/codes/ID/versions/1/startPendingUpload",
        r"(HEAD|PUT) blob /ID/\S+",
        r"PUT management <WS>/codes/ID/versions/1",
    ),
    "keep the dataset, and read it in the jobs": (
        r"GET management <WS>/datastores(/workspaceblobstore)?",
        r"POST management <WS>/datastores/workspaceblobstore/listSecrets",
        r"(HEAD|PUT|GET) blob /blobstore/nbops/datasets/sales/\w+/\S+",
        r"(GET|PUT) management <WS>/data/sales/versions(/1)?",
    ),
    "submit jobs, follow and stop them": (
        r"(GET|PUT) management <WS>/jobs/ID\w*",
        r"GET management <WS>/jobs",
        r"POST management <WS>/jobs/ID/cancel",
        r"GET management <LOCATION>/mfeOperationResults/ID",
        r"GET api /history/v1\.0<WS>/runs/ID\w*/details",
    ),
    "track the runs": (
        r"(GET|POST) api /mlflow/v2\.0<WS>/api/2\.0/mlflow/\S+",
        r"(GET|POST) api /history/v1\.0<WS>/experiments/\S+/runs/ID\w*/artifacts\S*",
        r"(PUT|GET|HEAD) blob /azureml/ExperimentRun/dcid\.ID\w*/\S+",
    ),
}
"""What the journey is for -> each kind of request that it makes. No other may be made, and each must be."""


@dataclass(frozen=True)
class Shop:
    """A project with a table of sales, a notebook about it, and the file of a cluster that is not there yet."""

    root: Path
    cluster: str
    experiment: str
    environment: Mapping[str, str]

    def nbops(self, *arguments: str, code: int = 0) -> Any:
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
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

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


@pytest.fixture
def shop(azure_git_project: Settings, azure_workspace: AzureProject) -> Shop:
    root, cluster = azure_git_project.root, f"cpu-{uuid.uuid4().hex[:8]}"
    rows = [f"{day},{100 + 7 * (day % 10)}.5,{200 + 3 * day}" for day in range(300)]
    (root / "sales.csv").write_text("day,price,turnover\n" + "\n".join(rows) + "\n")
    building.write(root / NOTEBOOK, *CELLS, parameters=PARAMETERS, title="What will the shop sell?")
    folder = root / "production" / "azure"
    (folder / "compute").mkdir(parents=True)
    (folder / "compute" / f"{cluster}.yml").write_text("type: amlcompute\nsize: Standard_DS3_v2\nmax_instances: 2\n")
    (folder / "job.yml").write_text("identity: {type: managed}\n")  # to read the dataset with
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    environment = {**os.environ, **azure_workspace.environment}
    return Shop(root, cluster, azure_git_project.experiment, environment)


def kinds(server: Emulated, began: int, cluster: str) -> Iterator[str]:
    """Yield the requests since `began`, with names in place of what differs from day to day."""
    provider = f"/subscriptions/{emulator.SUBSCRIPTION}/providers/Microsoft.MachineLearningServices"
    hosts = {"management.azure.com": "management", "westeurope.api.azureml.ms": "api"}
    for seen in server.record.since(began):
        path = seen.path.replace(emulator.SCOPE, "<WS>").replace(f"{provider}/locations/westeurope", "<LOCATION>")
        path = path.replace(provider, "<PROVIDER>").replace(cluster, "NAME")
        path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=[/.])[0-9a-f]{32}(?![0-9a-f])", "ID", path)
        host = hosts.get(seen.host, "blob" if ".blob." in seen.host else seen.host)
        yield f"{seen.method} {host} {path if 'login' not in host else seen.path}"


def test_the_first_half_of_the_journey(shop: Shop, azure_server: Emulated) -> None:
    nbops, on = shop.nbops, ("--on", f"azureml:{shop.cluster}")
    began = azure_server.record.position()
    checks = {check["what"]: check for check in nbops("doctor", "--json")["findings"]}
    assert checks[f"azure compute {shop.cluster}"]["detail"] == "not there yet: the first job on it makes it"
    nbops("data", "add", "sales.csv", "--name", "sales", "--target", "turnover")
    nbops("data", "push", "sales@1")

    runs = [nbops("run", NOTEBOOK, *on, "--json")]
    assert runs[0]["status"] == "FINISHED"
    assert nbops("azure", "jobs", "logs", runs[0]["run_id"], "--json")["logs"]
    ours = nbops("sweep", NOTEBOOK, "--grid", "shrink=0.9,1.0", "--metric", "rmse", *on, "--json")
    theirs = nbops(
        *("sweep", NOTEBOOK, "--space", "shrink=uniform(0.7, 0.8)", "--trials", "2", "--jobs", "2"),
        *("--sampler", "random", "--metric", "rmse", *on, "--service", "--json"),
    )
    for sweep in (ours, theirs):
        assert (sweep["status"], [trial["state"] for trial in sweep["trials"]]) == ("FINISHED", ["finished"] * 2)
        runs += sweep["trials"]
    compared = nbops("compare", shop.experiment, "--metric", "rmse", "--json")
    best = min(runs, key=lambda run: run["metrics"]["rmse"])
    (table,) = compared["tables"]
    assert table["runs"][0]["run_id"] == best["run_id"]
    assert {run["run_id"] for run in table["runs"]} == {run["run_id"] for run in runs}
    used = nbops("data", "models", "sales@1", "--json")
    assert {run["run_id"] for run in used} == {run["run_id"] for run in runs}

    slow = shop.begin("run", NOTEBOOK, "-p", "wait=200.0", *on)
    assert nbops("azure", "jobs", "stop", slow, "--json")["status"] == "Canceled"
    jobs = nbops("azure", "jobs", "list", "--json")["jobs"]
    mine = [job for job in jobs if job["experiment"] == shop.experiment]
    assert {job["status"] for job in mine} <= {"Completed", "Canceled"}
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if _is_of(process, [job["name"] for job in mine])
    ]

    made = set(kinds(azure_server, began, shop.cluster))
    patterns = [pattern for patterns in REQUESTS.values() for pattern in patterns]
    assert sorted(each for each in made if not any(re.fullmatch(pattern, each) for pattern in patterns)) == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, each) for each in made)] == []


def _is_of(process: psutil.Process, jobs: list[str]) -> bool:
    return any(f"{job}-home" in word for job in jobs for word in process.info["cmdline"] or ())
