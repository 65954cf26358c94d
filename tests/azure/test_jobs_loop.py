"""A notebook as a job, by the commands that a user types: submitted, followed, adopted, stopped, found again."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from tests import building
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(300)]

DIFFERENT = {
    "nbops_of": "where nbops is",
    Tag.HOST: "another machine",
    Tag.OWNER_HOST: "another machine",
    Tag.OWNER_PID: "another process",
    Tag.OWNER_STARTED: "another process",
    Tag.PEAK_MEMORY: "measured",
    Tag.PROGRESS: "for whoever follows the job",
    Tag.SECONDS: "measured",
}
"""The tags in which a run on Azure differs from a local one, with the reason. docs/azure-jobs.md lists them."""
ONLY_OF_JOBS = {"user_logs/std_log.txt"}
"""The artifacts that the service adds."""


def artifacts(ask: Ask, run: Any) -> dict[str, str]:
    place = f"history/v1.0{emulator.SCOPE}/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    found = ask("GET", f"https://westeurope.api.azureml.ms/{place}").json()["value"]
    return {item["path"].replace(run.info.run_id[:8], "RUN"): item["path"] for item in found}


@pytest.mark.proof
def test_a_run_on_azure_equals_a_local_run(azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask) -> None:
    given = ("run", "experimentation/n.ipynb", "-p", "alpha=2.0")
    code, local, _ = nbops_json(*given)
    assert code == 0
    code, remote, _ = nbops_json(*given, "--on", "azureml:serverless", "--out", "result.json")

    assert (code, remote["status"]) == (0, "FINISHED")
    assert json.loads((azure_git_project.root / "result.json").read_text()) == remote
    assert remote["metrics"] == local["metrics"]
    assert json.loads(Path(remote["output"]).read_text())["cells"]
    client = store.connect(azure_git_project).client
    runs = [client.get_run(result["run_id"]) for result in (local, remote)]
    tags = [{key: value for key, value in run.data.tags.items() if key not in DIFFERENT} for run in runs]
    assert tags[1] == tags[0]
    assert tags[0][Tag.GIT_DIRTY] == "true"
    assert tags[0][Tag.KERNEL] == "warm"
    assert (runs[1].data.params, runs[1].info.status) == (runs[0].data.params, "FINISHED")
    assert runs[1].info.experiment_id == runs[0].info.experiment_id
    assert str(azure_git_project.root) not in runs[1].data.tags["nbops_of"]
    names = [artifacts(ask, run) for run in runs]
    assert names[1].keys() == names[0].keys() | ONLY_OF_JOBS
    assert {"nbops/uncommitted.diff", "nbops/parameters.json", "report/note.txt", "notebook/n.html"} <= names[0].keys()


@pytest.mark.proof
def test_a_failed_notebook_fails_its_job(azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask) -> None:
    building.write(azure_git_project.root / "experimentation" / "bad.ipynb", "x = 1", "raise ValueError('no rows')")
    code, result, _ = nbops_json("run", "experimentation/bad.ipynb", "--on", "azureml:serverless")

    assert (code, result["status"]) == (1, "FAILED")
    assert (result["failure"]["error"], result["failure"]["message"], result["failure"]["cell"]) == (
        "ValueError",
        "no rows",
        1,
    )
    assert ask("GET", f"jobs/{result['run_id']}").json()["properties"]["status"] == "Failed"
    code, listed, _ = nbops_json("azure", "jobs", "list")
    job = next(each for each in listed["jobs"] if each["name"] == result["run_id"])
    assert (code, job["status"], job["notebook"]) == (0, "Failed", "experimentation/bad.ipynb")
    code, logs, _ = nbops_json("azure", "jobs", "logs", result["run_id"])
    assert (code, "ValueError: no rows" in logs["logs"]["user_logs/std_log.txt"]) == (0, True)
    code, again, _ = nbops_json("azure", "jobs", "follow", result["run_id"])
    assert (code, again["status"], again["failure"]) == (1, "FAILED", result["failure"])


SLOW = ("experimentation/slow.ipynb", "--on", "azureml:serverless")


def begun(project: Settings, environment: dict[str, str], *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start a command in a process of its own; return it and the run that it tells of."""
    command = [sys.executable, "-m", "notebooks_lib", *arguments]
    variables = {**os.environ, **environment}
    process = subprocess.Popen(
        command, cwd=project.root, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if ": run " in line:
            return process, line.split()[-1]
    raise AssertionError(f"it ended with {process.wait(10)}")


@pytest.mark.proof
def test_ctrl_c_detaches_and_following_goes_on_elsewhere(
    azure_git_project: Settings, azure_workspace: AzureProject, nbops_json: NbopsJson
) -> None:
    building.write(azure_git_project.root / "experimentation" / "slow.ipynb", "import time\ntime.sleep(6)", "x = 1")
    process, run = begun(azure_git_project, azure_workspace.environment, "run", *SLOW)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, out + err
    assert (
        f"detached: job {run} goes on; to come back: nbops azure jobs follow {run}; to stop it: nbops azure jobs stop {run}"
        in err
    )
    code, result, _ = nbops_json("azure", "jobs", "follow", run)
    assert (code, result["status"], result["run_id"]) == (0, "FINISHED", run)


@pytest.mark.proof
def test_a_stopped_job_ends_as_killed_with_what_its_runner_wrote(
    azure_git_project: Settings, azure_workspace: AzureProject, nbops_json: NbopsJson
) -> None:
    building.write(azure_git_project.root / "experimentation" / "slow.ipynb", "import time\ntime.sleep(90)")
    process, run = begun(azure_git_project, azure_workspace.environment, "run", *SLOW)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("cell 1 of 1"):
            break
    code, stopped, _ = nbops_json("azure", "jobs", "stop", run)
    out, _ = process.communicate(timeout=60)

    assert (code, stopped["status"]) == (0, "Canceled")
    assert (process.returncode, out.split()[0]) == (130, "KILLED")
    tracked = store.connect(azure_git_project).client.get_run(run)
    assert (tracked.info.status, tracked.data.tags[Tag.END]) == ("KILLED", "KILLED")


@pytest.mark.proof
def test_a_job_whose_machine_is_taken_away_runs_again_under_the_same_run(
    azure_git_project: Settings, nbops_json: NbopsJson, azure_server: Emulated
) -> None:
    # Before the notebook has logged a file, which a second attempt could not log again (docs/azure-jobs.md).
    with azure_server.fault("evicted", path="/jobs/", retry_after=2):
        code, result, _ = nbops_json("run", "experimentation/n.ipynb", "--on", "azureml:serverless")

    assert (code, result["status"]) == (0, "FINISHED")
    assert store.connect(azure_git_project).client.get_run(result["run_id"]).data.tags[Tag.END] == "FINISHED"


def test_what_is_asked_for_wrongly_sends_nothing(
    azure_git_project: Settings, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = ("run", "experimentation/n.ipynb")
    began = azure_server.record.position()
    for arguments, answer in {
        ("--on", "azure:cpu"): "did you mean azureml:cpu",
        ("--on", "azureml:cpu", "-p", "alpa=1"): "did you mean 'alpha'",
        ("--on", "azureml:cpu", "--untracked"): "a job always has a tracked run",
        ("--on", "azureml:cpu", "--job", "none.yml"): "--job none.yml: no such file",
        ("--job", "none.yml"): "name its place with --on",
        ("--wait-minutes", "5"): "name its place with --on",
    }.items():
        assert program.run([*notebook, *arguments]) == 2
        assert answer in capsys.readouterr().err
    sent = [seen for seen in azure_server.record.since(began) if seen.method != "GET"]
    assert {seen.host for seen in sent} <= {"login.microsoftonline.com"}


READING = """
import sys, time
from notebooks_lib import __main__ as program
for arguments in (["azure", "jobs", "list"], ["azure", "jobs", "list", "--json"]):
    assert program.run(arguments) == 0
assert not [name for name in sys.modules if name.startswith("azure.ai")]
assert "mlflow" not in sys.modules
"""


def test_reading_commands_need_neither_the_sdk_nor_mlflow(
    azure_git_project: Settings, azure_workspace: AzureProject
) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READING],
        cwd=azure_git_project.root,
        env={**os.environ, **azure_workspace.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    print(f"{time.monotonic() - began:.1f} s")


PAGE = Path(__file__).parents[2] / "docs" / "azure-jobs.md"


def test_the_page_names_what_differs() -> None:
    text = PAGE.read_text("utf-8").partition("### A run on Azure equals a local run")[2].partition("\n### ")[0]
    named = re.findall(r"`(nbops\.[\w.*]+|user_logs/)`", text)
    mine = {key for key in DIFFERENT if key.startswith("nbops.")}
    assert {key for key in mine if any(fnmatch.fnmatch(key, name) for name in named)} == mine


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
@pytest.mark.timeout(400)
def test_each_command_of_the_page_does_what_it_says(
    azure_git_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    root, text = azure_git_project.root, PAGE.read_text("utf-8")
    building.write(root / "experimentation" / "diabetes_ridge.ipynb", "alpha", parameters="alpha: float = 1.0  # a")
    compute = root / "production" / "azure" / "compute" / "cpu.yml"
    compute.parent.mkdir(parents=True)
    compute.write_text(re.findall(r"```yaml\n# production/azure/compute/cpu.yml\n(.*?)```", text, re.DOTALL)[0])
    section = text.partition("## Run a notebook as a job\n")[2].partition("\n### ")[0]
    commands = re.findall(r"^    nbops (.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(commands) == 6
    run = ""
    for command in commands:
        capsys.readouterr()
        code = program.run(shlex.split(command.replace("RUN", run)))
        shown = capsys.readouterr()
        assert code == 0, (command, shown)
        run = json.loads((root / "result.json").read_text())["run_id"] if "--out" in command else run
    assert f"job {run}: Completed" in shown.out
