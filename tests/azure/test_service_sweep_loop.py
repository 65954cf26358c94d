"""A sweep whose trials the service proposes, by the commands that a user types: submitted, followed, found again."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import parent_run, search_space, service_sweep
from notebooks_lib.sweeps.azure import tracking_check
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.service_request import ServiceSweepRequest
from notebooks_lib.sweeps.service_waiting import WaitPacing
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building
from tests.azure import emulator
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson
from tests.azure.request_shapes import misfits
from tests.azure.test_emulator_jobs import ended
from tests.azure.test_emulator_sweeps import limits, submit_sweep

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks, pytest.mark.timeout(300)]

QUADRATIC = "import mlflow\nmlflow.log_metric('rmse', (alpha - 1) ** 2)"
SLOW = "import mlflow, time\nmlflow.log_metric('rmse', alpha)\ntime.sleep(3)"
ALPHA = "alpha: float = 1.0  # strength"
ON = ("--on", "azureml:serverless", "--service")
METRIC = ("--metric", "rmse")
GRID = ("--grid", "alpha=0.5,1", "--metric", "rmse", *ON)
OF_JOBS = {Tag.PROGRESS, Tag.SECONDS}
OF_SERVICE = OF_JOBS | {Tag.SWEEP, Tag.SWEEP_DIGEST, Tag.SWEEP_GOAL, Tag.SWEEP_SERVICE, Tag.SWEEP_SPACE}
"""The tags that a trial of the service has and one of ours has not, if the service copies those of the sweep."""


def notebook(project: Settings, *cells: str, parameters: str = ALPHA) -> str:
    building.write(project.root / "experimentation" / "q.ipynb", *cells, parameters=parameters, title="A question")
    return "experimentation/q.ipynb"


def jobs_of_sweeps(server: Emulated, began: int) -> list[str]:
    """Return the jobs that were submitted since a position of the record."""
    return [seen.path for seen in server.record.since(began) if seen.method == "PUT" and "/jobs/" in seen.path]


@pytest.mark.proof
@pytest.mark.parametrize("values", [['it\'s $H `x` "größe"'], ["it's $HOME `x`", 'größe "1"']])
def test_hostile_values_come_back_in_trials_like_ours(
    azure_git_project: Settings, nbops_json: NbopsJson, values: list[str]
) -> None:
    count = len(values)
    cell = "import mlflow\nmlflow.log_metric('rmse', float(len(name)))\nmlflow.set_tag('seen', ascii(name))"
    path = notebook(azure_git_project, cell, parameters="name: str  # of it\nrows: int  # how many")
    grid = f"name={json.dumps(values)}"
    given = ("-p", "rows=3", *METRIC, "--cold", *ON)  # a job has no warm kernel yet, and one costs more than it saves
    code, result, _ = nbops_json("sweep", path, "--grid", grid, *given)

    assert code == 0, result
    assert (result["status"], result["total"], result["best"]) == ("FINISHED", count, count - 1)
    assert [(trial["number"], trial["values"], trial["state"], trial["value"]) for trial in result["trials"]] == [
        (number, {"name": value}, "finished", float(len(value))) for number, value in enumerate(values)
    ]
    connected = store.connect(azure_git_project)
    parent = query.get_run(connected, result["run_id"])
    assert (parent.status, parent.tags[Tag.END], parent.holds_trials) == ("FINISHED", "FINISHED", True)
    assert (parent.tags[Tag.SWEEP_GOAL], parent.tags[Tag.SWEEP_COUNT + "finished"]) == ("rmse:min", str(count))
    assert parent.tags[Tag.SWEEP_BEST] == result["trials"][-1]["run_id"]
    for trial, value in zip(result["trials"], values, strict=True):
        run = query.get_run(connected, trial["run_id"])
        assert (run.tags["seen"], run.params, run.parent) == (ascii(value), {"name": value, "rows": "3"}, parent.run_id)
        assert run.ended
        assert not run.holds_trials
        assert run.tags[Tag.TRIAL_STATE] == "finished"
    code, compared, _ = nbops_json("compare", parent.experiment, "--metric", "rmse")
    assert code == 0
    (table,) = compared["tables"]
    assert [run["run_id"] for run in table["runs"]] == [trial["run_id"] for trial in reversed(result["trials"])]


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_a_sweep_by_the_service_equals_one_of_ours(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    given = ("sweep", path, "--grid", "alpha=0.5,1,2", *METRIC)
    code, ours, _ = nbops_json(*given)
    assert code == 0
    code, theirs, _ = nbops_json(*given, *ON)

    assert code == 0
    assert theirs.keys() == ours.keys()
    same = ("number", "values", "state", "value", "metrics", "reason")
    assert [[t[key] for key in same] for t in theirs["trials"]] == [[t[key] for key in same] for t in ours["trials"]]
    assert (theirs["best"], theirs["counts"], theirs["goal"]) == (ours["best"], ours["counts"], ours["goal"])
    client = store.connect(azure_git_project).client
    for one, other in zip(ours["trials"], theirs["trials"], strict=True):
        runs = [client.get_run(trial["run_id"]) for trial in (one, other)]
        assert (runs[1].data.params, runs[1].info.run_name) == (runs[0].data.params, runs[0].info.run_name)
        assert runs[1].data.tags.keys() - runs[0].data.tags.keys() <= OF_SERVICE
        assert runs[0].data.tags.keys() - {Tag.SWEEP_SESSION} <= runs[1].data.tags.keys()
        alike = (Tag.SOURCE_FINGERPRINT, Tag.TRIAL, Tag.TRIAL_VALUES, Tag.CODE_SHA256, Tag.GIT_DIRTY, "mlflow.user")
        assert [runs[1].data.tags[key] for key in alike] == [runs[0].data.tags[key] for key in alike]
    parents = [client.get_run(result["run_id"]).data for result in (ours, theirs)]
    assert parents[1].tags.keys() - parents[0].tags.keys() == {Tag.SWEEP_SERVICE}
    assert parents[0].tags.keys() - parents[1].tags.keys() == {
        *(Tag.OWNER_HOST, Tag.OWNER_PID, Tag.OWNER_STARTED, Tag.SWEEP_SESSION)
    }
    assert (parents[1].params, parents[1].metrics) == (parents[0].params, parents[0].metrics)
    assert {"trials.csv", "trials.json", "summary.html"} <= files(ask, client.get_run(theirs["run_id"]), "sweep/")
    for run, given, answer in (
        (ours["run_id"], ON, f"nbops itself proposes the trials of sweep {ours['run_id']}: leave --service out: "),
        (
            theirs["run_id"],
            (),
            f"Azure ML proposes the trials of sweep {theirs['run_id']}: give --service and its --on: ",
        ),
    ):
        command = ["sweep", path, "--grid", "alpha=0.5,1,2", *METRIC, *given, "--resume", run]
        assert program.run(command) == 2
        other = [word for word in command if word != "--service"] if given else [*command, "--service"]
        assert f"{answer}{shlex.join(['nbops', *other])}\n" in capsys.readouterr().err
    body = ask("GET", f"jobs/{theirs['run_id']}").json()["properties"]
    assert misfits({"properties": {key: value for key, value in body.items() if key != "status"}}, "JobBase") == []


def files(ask: Ask, run: Any, folder: str) -> set[str]:
    place = f"history/v1.0{emulator.SCOPE}/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    found = ask("GET", f"https://westeurope.api.azureml.ms/{place}").json()["value"]
    return {item["path"].removeprefix(folder) for item in found if item["path"].startswith(folder)}


def begun(project: Settings, environment: dict[str, str], *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start a command in a process of its own; return it and the sweep that it tells of."""
    process = subprocess.Popen(
        [sys.executable, "-m", "notebooks_lib", "sweep", *arguments],
        cwd=project.root,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("sweep "):
            return process, line.split()[1]
    raise AssertionError(f"it ended with {process.wait(10)}")


@pytest.mark.proof
def test_a_follower_that_is_killed_loses_nothing(
    azure_git_project: Settings,
    azure_workspace: AzureProject,
    nbops_json: NbopsJson,
    ask: Ask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = notebook(azure_git_project, SLOW)
    process, run = begun(azure_git_project, azure_workspace.environment, path, *GRID)
    process.kill()
    process.communicate(timeout=60)
    assert ended(ask, run) == "Completed"

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(azure_git_project.root, elsewhere)
    monkeypatch.chdir(elsewhere)
    code, result, _ = nbops_json("sweep", path, *GRID, "--resume", run)
    assert (code, result["status"], result["counts"]["finished"], result["best"]) == (0, "FINISHED", 2, 0)
    parent = store.connect(azure_git_project).client.get_run(run)
    assert (parent.data.tags[Tag.END], parent.info.status) == ("FINISHED", "FINISHED")
    assert "trials.csv" in files(ask, parent, "sweep/")

    other = ("--jobs", "1", "--prune", "median", "--resume")  # the newest over the same values
    code, again, _ = nbops_json("sweep", path, *GRID, *other)
    assert (code, again) == (0, result)
    assert program.run(["sweep", path, *GRID, *other]) == 0
    said = "the sweep keeps what it was submitted with: it does not follow your --jobs, --prune\n"
    assert said in capsys.readouterr().err


@pytest.mark.proof
def test_ctrl_c_detaches_and_stopping_ends_the_sweep_as_killed(
    azure_git_project: Settings,
    azure_workspace: AzureProject,
    nbops_json: NbopsJson,
    ask: Ask,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = notebook(azure_git_project, "import time\ntime.sleep(60)")
    process, run = begun(azure_git_project, azure_workspace.environment, path, *GRID)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    command = f"nbops {shlex.join(['sweep', path, *GRID, '--resume', run])}"
    assert f"detached: sweep {run} goes on; to come back: {command}; to stop it: nbops azure jobs stop {run}" in err

    code, listed, _ = nbops_json("azure", "jobs", "list")
    assert (code, run in [job["name"] for job in listed["jobs"]]) == (0, True)
    code, stopped, _ = nbops_json("azure", "jobs", "stop", run)
    assert (code, stopped["status"]) == (0, "Canceled")
    code, result, _ = nbops_json(*shlex.split(command)[1:])
    assert (code, result["status"], result["counts"]["killed"]) == (130, "KILLED", len(result["trials"]))
    assert result["resume"] is None  # it has ended
    assert program.run(shlex.split(command)[1:]) == 130
    assert "go on" not in capsys.readouterr().out
    tracked = store.connect(azure_git_project).client.get_run(run)
    assert (tracked.info.status, tracked.data.tags[Tag.END]) == ("KILLED", "KILLED")
    assert program.run(["azure", "jobs", "follow", run]) == 2
    assert ask("GET", f"jobs/{run}").json()["properties"]["status"] == "Canceled"


@pytest.mark.proof
def test_a_submission_whose_answer_is_lost_runs_once(
    azure_git_project: Settings, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    path, began = notebook(azure_git_project, QUADRATIC), azure_server.record.position()
    with azure_server.fault("lost_answer", method="PUT", path="/jobs/"):
        code, result, _ = nbops_json("sweep", path, *GRID)

    assert (code, result["counts"]["finished"]) == (0, 2)
    assert set(jobs_of_sweeps(azure_server, began)) == {f"{emulator.SCOPE}/jobs/{result['run_id']}"}
    assert len(query.children(store.connect(azure_git_project), result["run_id"])) == 2


@pytest.mark.proof
def test_trials_that_fall_behind_are_pruned(azure_git_project: Settings, nbops_json: NbopsJson) -> None:
    cell = (
        "import mlflow, time\n"
        "for step in range(8 if alpha < 5 else 200):\n    mlflow.log_metric('rmse', alpha, step=step)\n    time.sleep(0.2)"
    )
    path = notebook(azure_git_project, cell)
    grid = ("--grid", "alpha=1,2,9", "--metric", "rmse", "--prune", "median", "--jobs", "3")
    code, result, _ = nbops_json("sweep", path, *grid, *ON)

    assert (code, result["trials"][2]["state"], result["best"]) == (0, "pruned", 0)
    assert result["trials"][2]["reason"] == "ended by the service's early termination"
    pruned = store.connect(azure_git_project).client.get_run(result["trials"][2]["run_id"])
    assert (pruned.info.status, pruned.data.tags[Tag.TRIAL_STATE]) == ("KILLED", "pruned")


@pytest.mark.proof
def test_a_trial_that_fails_is_told_and_the_others_go_on(azure_git_project: Settings, nbops_json: NbopsJson) -> None:
    path = notebook(azure_git_project, "assert alpha < 1, 'too strong'", QUADRATIC)
    code, result, _ = nbops_json("sweep", path, *GRID)

    assert (code, result["status"], result["counts"]["failed"], result["best"]) == (1, "FINISHED", 1, 0)
    assert result["trials"][1]["reason"].startswith("AssertionError: too strong, in cell")


@pytest.mark.proof
def test_a_random_search_keeps_to_its_space_and_limits(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask
) -> None:
    path = notebook(azure_git_project, QUADRATIC, parameters=f"{ALPHA}\ndepth: int = 2  # levels")
    space = ("--space", "alpha=loguniform(0.1, 10)", "--space", "depth=quniform(1, 9, 2)", "--trials", "4")
    given = ("--metric", "rmse", "--sampler", "random", "--seed", "3", "--jobs", "2", "--timeout", "90")
    code, result, _ = nbops_json("sweep", path, *space, *given, "--sweep-timeout", "600", *ON)

    assert (code, len(result["trials"])) == (0, 4)
    for trial in result["trials"]:
        assert 0.1 <= trial["values"]["alpha"] <= 10
        assert type(trial["values"]["depth"]) is int
        assert trial["values"]["depth"] % 2 == 0
    body = ask("GET", f"jobs/{result['run_id']}").json()["properties"]
    assert body["limits"] == {
        "jobLimitsType": "Sweep",
        "maxTotalTrials": 4,
        "maxConcurrentTrials": 2,
        "timeout": "PT10M",
        "trialTimeout": "PT11M30S",
    }
    assert "--timeout 90.0" in body["trial"]["command"]


@pytest.mark.proof
def test_a_sweep_whose_image_cannot_be_built_says_so_for_each_trial(
    azure_git_project: Settings, nbops_json: NbopsJson, azure_server: Emulated
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    with azure_server.fault("image_build_fails", path="/jobs/", code="ImageBuildFailure", message="no package x"):
        code, result, _ = nbops_json("sweep", path, *GRID)
    assert (code, result["status"], result["counts"]["failed"]) == (1, "FAILED", 2)
    assert {trial["reason"] for trial in result["trials"]} == {"ImageBuildFailure: no package x"}
    code, again, _ = nbops_json("sweep", path, *GRID, "--resume")
    assert (code, again) == (1, result)


def submitted_as_ours(project: Settings, ask: Ask, path: str, space: dict[str, Any], **more: Any) -> str:
    """Submit a sweep that nbops refuses to send, such as one with a very short limit, with the tags of GRID."""
    source = NotebookPlanner(project.root / path, project)
    domain = search_space.read_search_space(source.schema, grid=["alpha=0.5,1"])
    start = parent_run.parent_start(source, domain, Goal("rmse"), None, service="azureml")
    return submit_sweep(ask, "sleep 60", space, experimentName=start.experiment, tags=dict(start.tags or {}), **more)


@pytest.mark.proof
def test_a_sweep_that_fails_when_it_starts_says_why(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    run = submitted_as_ours(azure_git_project, ask, path, {"alpha": ["uniform", [0, 1]]})

    code, result, said = nbops_json("sweep", path, *GRID, "--resume")
    assert (code, result["run_id"], result["resume"]) == (1, run, None)
    assert "to go on" not in said
    assert f"sweep {run} failed before its first trial: UserError: Grid sampling supports" in result["error"]["message"]
    parent = store.connect(azure_git_project).client.get_run(run)
    assert (parent.info.status, parent.data.tags[Tag.END]) == ("FAILED", "FAILED")
    assert program.run(["azure", "jobs", "logs", run]) == 2
    assert f"nbops azure jobs logs {run}_0" in capsys.readouterr().err


@pytest.mark.proof
def test_a_sweep_that_reaches_its_limit_of_time_was_not_interrupted(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    space = {"alpha": ["choice", [[0.5, 1]]]}
    run = submitted_as_ours(azure_git_project, ask, path, space, limits=limits(2, timeout="PT2S"))
    code, result, _ = nbops_json("sweep", path, *GRID, "--resume", run)
    assert (code, result["status"], result["counts"]["killed"]) == (1, "KILLED", 2)


@pytest.mark.proof
def test_a_sweep_in_which_no_trial_begins_is_told_and_not_followed_for_ever(
    azure_git_project: Settings, azure_server: Emulated, ask: Ask
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    source = NotebookPlanner(azure_git_project.root / path, azure_git_project)
    domain = search_space.read_search_space(source.schema, grid=["alpha=0.5,1"])
    request = ServiceSweepRequest(source=source, domain=domain, goal=Goal("rmse"), on="azureml:serverless")
    runs: list[str] = []
    lines: list[str] = []
    with (
        azure_server.fault("never_starts", path="/jobs/"),
        pytest.raises(errors.JobWaitingError, match=r"no trial of sweep \w+ has run for 0.0667 min \(Running\)"),
    ):
        service_sweep.run_service_sweep(
            request,
            store.connect(azure_git_project),
            os.environ,
            on_open=lambda run, _: runs.append(run),
            tell=lines.append,
            waits=WaitPacing(longest=4, tell_after=0.5, remind=60),
        )
    (line,) = [line for line in lines if "not begun" in line]
    assert line.startswith(f"2 of 2 trials have not begun; {runs[0]}_")
    assert "waits for a machine" in line
    assert f"to stop the sweep: nbops azure jobs stop {runs[0]}" in line
    ask("POST", f"jobs/{runs[0]}/cancel")
    assert ended(ask, runs[0]) == "Canceled"


def test_a_submission_without_an_answer_leaves_the_run_to_come_back_to(
    azure_git_project: Settings, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    with (
        azure_server.fault("forbidden", method="GET", path="/jobs/", times=0),
        azure_server.fault("conflict", method="PUT", path="/jobs/", times=0),
    ):
        code, result, said = nbops_json("sweep", path, *GRID)
    assert (code, result["error"]["error"]) == (1, "JobUncertainError")
    assert f"job {result['run_id']} may have been submitted" in result["error"]["message"]
    assert f"--resume {result['run_id']}" in said


@pytest.mark.parametrize("uri", ["http", "other", "sqlite"])
def test_a_sweep_that_would_track_elsewhere_is_refused(
    azure_git_project: Settings,
    azure_server: Emulated,
    uri: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = workspace.tracking_uri(azure_git_project)
    known = workspace.find_workspace(azure_git_project).name
    chosen = {"http": azure_server.backend, "other": ours.replace(known, "other"), "sqlite": "sqlite:///mlflow.db"}[uri]
    path, began = notebook(azure_git_project, QUADRATIC), azure_server.record.position()
    monkeypatch.setenv("NBOPS_TRACKING_URI", chosen)
    for more in ((), ("--resume", "0" * 32)):
        assert program.run(["sweep", path, *GRID, *more]) == 2
        said = capsys.readouterr().err
        assert f"jobs track to workspace '{known}'" in said
        assert "and this sweep to" in said
    assert jobs_of_sweeps(azure_server, began) == []


def test_a_workspace_named_by_its_address_alone_is_the_same(
    azure_git_project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = workspace.find_workspace(azure_git_project)
    monkeypatch.setenv("NBOPS_TRACKING_URI", workspace.tracking_uri(azure_git_project))
    local = azure_git_project.model_copy(update={"tracking": azure_git_project.tracking.model_copy(update={"uri": ""})})
    tracking_check.refuse_other_store("azureml:cpu", chosen, store.connect(local))
    capitals = dataclasses.replace(chosen, name=chosen.name.upper())
    tracking_check.refuse_other_store("azureml:cpu", capitals, store.connect(local))


def test_what_is_asked_for_wrongly_sends_nothing(
    azure_git_project: Settings, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    began = azure_server.record.position()
    alpha, ours = ("--grid", "alpha=0.5,1"), "Without it nbops proposes the trials: nbops sweep"
    for given, answer in {
        (*alpha, "--metric", "rmse", "--service"): "found no --on, give --on azureml:NAME",
        (*alpha, "--metric", "rmse", "--service", "--on", "local"): "found --on local, give --on azureml:NAME",
        (*alpha, *ON): "give --metric NAME:min",
        (
            "--space",
            "alpha=uniform(1, 2)",
            "--trials",
            "2",
            "--metric",
            "rmse",
            "--sampler",
            "tpe",
            *ON,
        ): "is nbops' own",
        ("--space", "alpha=loguniform(1, 2)", "--trials", "2", "--metric", "rmse", "--sampler", "bayesian", *ON): ours,
        (*GRID, "--skip-seen"): "--skip-seen: the service proposes each trial",
        (*GRID, "--fail-fast"): "--fail-fast: the service goes on",
        (*GRID, "--jobs", "3"): f"--jobs 3 are more trials at once than the 2 in all: give 2 or fewer. {ours}",
        (*GRID, "--prune", "hyperband"): "allowed: median, truncation:20, bandit:0.1",
        (*GRID, "--resume", "0" * 32): "no run",
        (*alpha, "--metric", "rmse", "--sweep-timeout", "90"): "--sweep-timeout goes with --service",
        (
            "--space",
            "alpha=uniform(1, 2)",
            "--trials",
            "2",
            "--metric",
            "rmse",
            "--sampler",
            "sobol",
        ): "goes with --service",
    }.items():
        assert program.run(["sweep", path, *given]) == 2, given
        assert answer in " ".join(capsys.readouterr().err.split()), given
    sent = [seen for seen in azure_server.record.since(began) if seen.method not in ("GET", "POST")]
    assert sent == []
    assert jobs_of_sweeps(azure_server, began) == []


@pytest.mark.parametrize(
    ("given", "other"),
    [
        (
            ("--grid", "alpha=1,2", *METRIC, "--jobs", "9", "--prune", "hyperband"),
            "--grid alpha=1,2 --metric rmse --jobs 9 --prune hyperband",
        ),
        (
            ("--grid", "alpha=1,2", *METRIC, "--prune=percentile:25"),
            "--grid alpha=1,2 --metric rmse --prune=percentile:25",
        ),
        (
            ("--grid", "alpha=1,2", *METRIC, "--fail-fast", "--prune=bandit:1"),
            "--grid alpha=1,2 --metric rmse --fail-fast",
        ),
        (
            ("--space", "alpha=uniform(1, 2)", "--trials", "2", *METRIC, "--sampler", "sobol", "--skip-seen"),
            "--space 'alpha=uniform(1, 2)' --trials 2 --metric rmse --skip-seen",
        ),
        (("--space", "alpha=uniform(1, 2)", "--trials", "2"), None),
        (("--grid", "alpha=1,2", "--trials", "2", *METRIC), None),
        (("--grid", "alpha=1,2", *METRIC, "--fail-fast", "--resume"), None),
    ],
)
def test_the_command_without_the_service_is_one_that_nbops_takes(
    azure_git_project: Settings, given: tuple[str, ...], other: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(azure_git_project, QUADRATIC)
    assert program.run(["sweep", path, *given, *ON]) == 2
    said = capsys.readouterr().err
    if other is None:
        assert "Without it" not in said
    else:
        assert f"nbops sweep {path} {other} --on azureml:serverless\n" in said


def test_the_command_without_the_service_overrides_a_sweep_file(
    azure_git_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook(azure_git_project, QUADRATIC)
    file = azure_git_project.root / "sweep.yml"
    text = "notebook: experimentation/q.ipynb\ngrid: {alpha: [0.5, 1]}\nservice: true\n"
    file.write_text(f"{text}fail_fast: true\nmetric: rmse\n")
    assert program.run(["sweep", "-f", "sweep.yml", "--on", "local"]) == 2
    said = capsys.readouterr().err
    assert "nbops proposes the trials: nbops sweep -f sweep.yml --on local --no-service\n" in said
    file.write_text(f"{text}metric: rmse\nsweep_timeout: 90\n")
    assert program.run(["sweep", "-f", "sweep.yml", "--on", "local"]) == 2
    assert "Without it" not in capsys.readouterr().err


PAGE = Path(__file__).parents[2] / "docs" / "azure-jobs.md"


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_each_command_of_the_page_does_what_it_says(
    azure_git_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    root, text = azure_git_project.root, PAGE.read_text("utf-8")
    building.write(root / "experimentation" / "diabetes_ridge.ipynb", QUADRATIC, parameters=ALPHA)
    compute = root / "production" / "azure" / "compute" / "cpu.yml"
    compute.parent.mkdir(parents=True)
    compute.write_text(re.findall(r"```yaml\n# production/azure/compute/cpu.yml\n(.*?)```", text, re.DOTALL)[0])
    section = text.partition("## Let Azure choose the values\n")[2].partition("\n### ")[0]
    commands = re.findall(r"^    nbops (.*)$", section, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert program.run(shlex.split(command)) == 0, (command, capsys.readouterr())
        assert "FINISHED" in capsys.readouterr().out
