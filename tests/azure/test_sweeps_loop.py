"""A sweep whose trials are jobs, by the commands that a user types: run, interrupted, killed, resumed, stopped."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.azure.client import rest_client, workspace
from notebooks_lib.azure.jobs import trial_jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.query import RunInfo
from tests import building
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(400)]

PARAMETERS = "alpha: float = 1.0\nseconds: float = 0.0"
CELLS = ("import mlflow, time", "mlflow.log_metric('rmse', (alpha - 2) ** 2)", "time.sleep(seconds)")


@dataclass
class Sweeps:
    """A project and its sweeps as processes."""

    project: Settings
    environment: dict[str, str]
    on: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *more: str, on: str = "", root: Path | None = None) -> tuple[subprocess.Popen[str], str]:
        """Start a sweep, on the cluster or at another place; return it and its run, which --json does not print.

        `root` is another copy of the project, as another machine has one.
        """
        command = [sys.executable, "-m", "notebooks_lib", "sweep", "work/n.ipynb", "--grid", "alpha=1..4"]
        command += ["--on", on or self.on]
        process = subprocess.Popen(
            [*command, "--metric", "rmse", *more],
            cwd=root or self.project.root,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        if "--json" in more:
            return process, ""
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("sweep "):
                return process, line.split()[1]
        raise AssertionError(f"it ended with {process.wait(10)}")

    def jobs(self, sweep: str, *statuses: str) -> list[Job]:
        """Return the jobs of a sweep, only those in a state of these if there are any."""
        place = workspace.find_workspace(self.project)
        found = trial_jobs.list_trials(rest_client.resource_manager(), place, sweep)
        return [job for job in found if not statuses or job.status in statuses]

    def runs(self, sweep: str) -> list[RunInfo]:
        """Return the runs of its trials."""
        return query.children(store.connect(self.project), sweep)

    def nothing_runs_on(self, sweep: str) -> None:
        """Assert that every job and every run has ended."""
        assert not [job for job in self.jobs(sweep) if not job.ended]
        for run in [*self.runs(sweep), query.get_run(store.connect(self.project), sweep)]:
            assert Tag.END in run.tags, run


def wait_for(found: Callable[[], Any], seconds: float = 120.0) -> Any:
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.25)
    return answer


@pytest.fixture
def sweeps(azure_workspace: AzureProject, ask: Ask) -> Iterator[Sweeps]:
    """A project with a notebook, and a cluster of two machines."""
    cluster = f"c{uuid.uuid4().hex[:8]}"
    own = {"vmSize": "Standard_DS3_v2", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 2}}
    ask("PUT", f"computes/{cluster}", {"location": "w", "properties": {"computeType": "AmlCompute", "properties": own}})
    building.write(azure_workspace.settings.root / "work" / "n.ipynb", *CELLS, parameters=PARAMETERS)
    made = Sweeps(azure_workspace.settings, azure_workspace.environment, f"azureml:{cluster}")
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.mark.proof
def test_the_sweep_of_jobs_equals_a_local_one(sweeps: Sweeps, nbops_json: NbopsJson) -> None:
    given = ("sweep", "work/n.ipynb", "--grid", "alpha=1..3", "--metric", "rmse")
    code, local, _ = nbops_json(*given)
    assert code == 0
    code, remote, err = nbops_json(*given, "--on", sweeps.on)

    assert (code, remote["status"], remote["best"]) == (0, "FINISHED", local["best"])
    mine, theirs = (
        [{key: value for key, value in trial.items() if key not in ("run_id", "seconds")} for trial in result["trials"]]
        for result in (local, remote)
    )
    assert mine == theirs
    assert "no page" not in err
    runs = {run.tags[Tag.TRIAL]: run for run in sweeps.runs(remote["run_id"])}
    here = {run.tags[Tag.TRIAL]: run for run in sweeps.runs(local["run_id"])}
    for number, run in runs.items():
        for tag in (Tag.TRIAL_VALUES, Tag.SOURCE_FINGERPRINT, Tag.RUN_FINGERPRINT, "mlflow.user", Tag.END):
            assert run.tags[tag] == here[number].tags[tag]
        assert (run.name, run.status, run.params) == (here[number].name, "FINISHED", here[number].params)
    sweeps.nothing_runs_on(remote["run_id"])
    code, listed, _ = nbops_json("azure", "jobs", "list")
    trials = [job["trial"] for job in listed["jobs"] if job["sweep"] == remote["run_id"]]
    assert (code, sorted(trials)) == (0, ["0", "1", "2"])


@pytest.mark.proof
def test_ctrl_c_stops_running_and_waiting_jobs_and_the_sweep_is_resumed(sweeps: Sweeps) -> None:
    process, run = sweeps.start("--jobs", "3", "-p", "seconds=600")
    wait_for(lambda: len(sweeps.jobs(run, "Running")) == 2 and sweeps.jobs(run, "Queued"))
    wait_for(lambda: sum("rmse" in each.metrics for each in sweeps.runs(run)) == 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)

    assert process.returncode == 130, err
    assert "2 trials were killed" in out
    assert "Interrupted: the runner was asked to stop, in cell 3 (time.sleep(seconds))" in out
    assert "1 trial was killed" in out
    assert "stopped before it began" in out
    assert f"--resume {run}" in out
    sweeps.nothing_runs_on(run)
    assert len(sweeps.jobs(run)) == 3

    building.write(sweeps.project.root / "work" / "n.ipynb", *CELLS[:2], parameters=PARAMETERS)
    process, again = sweeps.start("--resume", run, "-p", "seconds=600")
    out, err = process.communicate(timeout=200)
    assert (process.returncode, again) == (0, run), err
    assert "4 finished" in out
    sweeps.nothing_runs_on(run)


@pytest.mark.proof
def test_after_a_kill_no_trial_is_doubled_and_none_is_lost(sweeps: Sweeps) -> None:
    """A trial that finishes after the kill counts; one that runs on is stopped first and then run again."""
    slow = "time.sleep(seconds if alpha == 2 else 0)"
    building.write(sweeps.project.root / "work" / "n.ipynb", *CELLS[:2], slow, parameters=PARAMETERS)
    process, run = sweeps.start("--jobs", "2", "-p", "seconds=25")
    wait_for(lambda: sum("rmse" in each.metrics for each in sweeps.runs(run)) == 2)
    process.kill()
    process.communicate()
    wait_for(lambda: sweeps.jobs(run, "Completed"))
    done = {job.trial: job.name for job in sweeps.jobs(run, "Completed")}
    assert sweeps.jobs(run, "Running")
    process, _ = sweeps.start("--resume", run, "-p", "seconds=25", "--json")
    out, err = process.communicate(timeout=250)

    assert process.returncode == 0, err
    result = json.loads(out)
    assert [trial["state"] for trial in result["trials"]] == ["finished"] * 4
    assert result["trials"][0]["run_id"] == done["0"]
    assert "stopping 1 job that the last session has left" in err
    sweeps.nothing_runs_on(run)
    finished = [each.tags[Tag.TRIAL] for each in sweeps.runs(run) if each.tags[Tag.END] == "FINISHED"]
    assert sorted(finished) == ["0", "1", "2", "3"]


@pytest.mark.proof
def test_a_sweep_resumed_on_this_machine_is_not_disturbed_by_jobs_that_still_wait(sweeps: Sweeps) -> None:
    building.write(sweeps.project.root / "work" / "n.ipynb", *CELLS, parameters=PARAMETERS)
    process, run = sweeps.start("--jobs", "3", "-p", "seconds=8")
    wait_for(lambda: len(sweeps.jobs(run, "Running")) == 2 and sweeps.jobs(run, "Queued"))
    process.kill()
    process.communicate()
    (waiting,) = sweeps.jobs(run, "Queued")
    process, _ = sweeps.start("--resume", run, "-p", "seconds=8", "--jobs", "2", "--json", on="local")
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    assert [trial["state"] for trial in json.loads(out)["trials"]] == ["finished"] * 4

    wait_for(lambda: all(job.ended for job in sweeps.jobs(run)))
    tags = query.get_run(store.connect(sweeps.project), waiting.name).tags
    assert (tags[Tag.END], tags[Tag.FAILURE]) == ("KILLED", "Interrupted"), "it stopped as it began"
    finished = [each.tags[Tag.TRIAL] for each in sweeps.runs(run) if each.tags[Tag.END] == "FINISHED"]
    assert sorted(finished) == ["0", "1", "2", "3"]


@pytest.mark.proof
def test_a_sweep_resumed_on_another_machine_is_that_machines(sweeps: Sweeps, tmp_path: Path) -> None:
    first, run = sweeps.start("--jobs", "2", "-p", "seconds=12")
    wait_for(lambda: sum("rmse" in each.metrics for each in sweeps.runs(run)) == 2)
    elsewhere = shutil.copytree(sweeps.project.root, tmp_path / "elsewhere", ignore=shutil.ignore_patterns(".nbops"))
    second, _ = sweeps.start("--jobs", "2", "-p", "seconds=12", "--resume", run, "--json", root=elsewhere)
    _, lost = first.communicate(timeout=200)
    out, err = second.communicate(timeout=200)

    assert first.returncode == 1
    assert f"another process has resumed sweep {run}: this one has stopped" in lost
    assert "--resume" not in lost
    assert second.returncode == 0, err
    assert [trial["state"] for trial in json.loads(out)["trials"]] == ["finished"] * 4
    sweeps.nothing_runs_on(run)
    finished = [each.tags[Tag.TRIAL] for each in sweeps.runs(run) if each.tags[Tag.END] == "FINISHED"]
    assert sorted(finished) == ["0", "1", "2", "3"]


@pytest.mark.proof
def test_a_sweep_is_stopped_by_its_run_from_another_machine(sweeps: Sweeps, capsys: pytest.CaptureFixture[str]) -> None:
    process, run = sweeps.start("--jobs", "2", "-p", "seconds=600")
    wait_for(lambda: sum("rmse" in each.metrics for each in sweeps.runs(run)) == 2)
    capsys.readouterr()
    assert program.run(["azure", "jobs", "stop", run]) == 0
    shown = capsys.readouterr()
    _, err = process.communicate(timeout=200)

    assert shown.out == f"sweep {run}: {len(sweeps.jobs(run))} of {len(sweeps.jobs(run))} jobs have ended\n"
    assert "stopping job " in shown.err
    assert " of trial 0 (Running)" in shown.err
    assert process.returncode == 130, err
    sweeps.nothing_runs_on(run)


@pytest.mark.proof
def test_a_pruner_stops_a_bad_trial_inside_its_cell(sweeps: Sweeps, nbops_json: NbopsJson) -> None:
    """The median pruner needs five trials that have ended before this one comes to the same step."""
    curve = (
        "for step in range(600 if alpha > 50 else 3):\n    mlflow.log_metric('rmse', alpha + 1 / (step + 1), step=step)\n"
        "    time.sleep(0.2 if alpha > 50 else 0)"
    )
    building.write(sweeps.project.root / "work" / "n.ipynb", CELLS[0], curve, parameters=PARAMETERS)
    options = ("--metric", "rmse", "--prune", "median", "--jobs", "1", "--on", sweeps.on)
    code, result, _ = nbops_json("sweep", "work/n.ipynb", "--grid", "alpha=1,2,3,4,5,99", *options)

    assert code == 0
    assert [trial["state"] for trial in result["trials"]] == ["finished"] * 5 + ["pruned"]
    last = result["trials"][5]
    assert (last["value"], last["reason"]) == (100.0, "at step 0, in cell 2 (for step in range(600 if alpha > 50 els…)")
    (job,) = [job for job in sweeps.jobs(result["run_id"]) if job.trial == "5"]
    assert job.status == "Completed"
    sweeps.nothing_runs_on(result["run_id"])


def test_what_is_asked_for_wrongly_sends_nothing(
    sweeps: Sweeps, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ("sweep", "work/n.ipynb", "--grid", "alpha=1,2")
    began = azure_server.record.position()
    for arguments, answer in {
        ("--on", "azure:cpu"): "found no such place, allowed local, dask://HOST:PORT, azureml:NAME or"
        " azureml:serverless, did you mean azureml:cpu?",
        ("--on", "azureml:"): "allowed local, dask://HOST:PORT, azureml:NAME or azureml:serverless\n",
        ("--on", sweeps.on, "--job", "none.yml"): "--job none.yml: no such file",
        ("--on", "local", "--job", "none.yml"): "--job describes jobs, and trials on local are not jobs",
        ("--job", "none.yml"): "name its place with --on azureml:NAME",
        ("--on", "azureml:none"): "--on azureml:none: no such compute",
        ("--on", sweeps.on, "--resume"): "has no sweep of work/n.ipynb over these values",
    }.items():
        assert program.run([*sweep, *arguments]) == 2
        assert answer in capsys.readouterr().err
    sent = [seen for seen in azure_server.record.since(began) if seen.method == "PUT"]
    assert sent == []


def test_without_a_workspace_the_ways_to_name_one_are_told(
    project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    building.write(project.root / "work" / "n.ipynb", *CELLS, parameters=PARAMETERS)
    assert program.run(["sweep", "work/n.ipynb", "--grid", "alpha=1,2", "--on", "azureml:cpu"]) == 2
    assert "--on azureml:cpu: no workspace is named: fill [azure]" in capsys.readouterr().err


PAGE = Path(__file__).parents[2] / "docs" / "azure-jobs.md"


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_each_command_of_the_page_does_what_it_says(
    azure_git_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    root, text = azure_git_project.root, PAGE.read_text("utf-8")
    log = "import mlflow\nmlflow.log_metric('rmse', alpha)"
    building.write(root / "experimentation" / "diabetes_ridge.ipynb", log, parameters="alpha: float = 1.0  # a")
    compute = root / "production" / "azure" / "compute" / "cpu.yml"
    compute.parent.mkdir(parents=True)
    compute.write_text(re.findall(r"```yaml\n# production/azure/compute/cpu.yml\n(.*?)```", text, re.DOTALL)[0])
    section = text.partition("## Sweeps\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^    nbops (.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(commands) == 4
    run, err = "", ""
    for command in commands:
        assert program.run(shlex.split(command.replace("SWEEP", run))) == 0, (command, err)
        out, err = capsys.readouterr()
        run = found[1] if (found := re.search(r"^sweep ([0-9a-f]{32})$", err, re.MULTILINE)) else run
        if command == "azure jobs list":
            assert f"1 of {run}" in out
    assert out == f"sweep {run}: 2 of 2 jobs have ended\n"
