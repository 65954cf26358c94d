"""`nbops azure pipeline`: submitted once, followed step by step, left with Ctrl-C, found again by `nbops azure jobs`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store
from tests import building
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson

FILE = "production/azure/pipelines/p.yml"
ANSWER = "python -c 'import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])' ${{outputs.answer}}"
OUTPUT = "outputs: {answer: {type: uri_file}}"
TWO = f"""\
jobs:
  look:
    command: >-
      {ANSWER} '{{"newer": true}}'
    {OUTPUT}
  train:
    command: nbops run experimentation/n.ipynb -p alpha=2.0 --only-if ${{{{inputs.look}}}} --out ${{{{outputs.answer}}}}
    inputs: {{look: "${{{{parent.jobs.look.outputs.answer}}}}"}}
    {OUTPUT}
"""


def write(project: Settings, content: str) -> None:
    file = project.root / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")  # the SDK warns about itself
def test_each_step_runs_in_the_order_of_its_data_and_the_step_of_a_notebook_adopts_its_run(
    azure_git_project: Settings, nbops_json: NbopsJson, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    write(azure_git_project, TWO)
    out = azure_git_project.root / "pipeline.json"
    code, result, _ = nbops_json("azure", "pipeline", FILE, "--out", str(out))

    assert (code, result["status"], json.loads(out.read_text())) == (0, "FINISHED", result)
    assert [(step["name"], step["status"], step["reused"]) for step in result["steps"]] == [
        ("look", "FINISHED", ""),
        ("train", "FINISHED", ""),
    ]
    run = store.connect(azure_git_project).client.get_run(result["steps"][1]["run_id"])
    assert (run.data.tags[Tag.END], run.data.params["alpha"]) == ("FINISHED", "2.0")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=azure_git_project.root, text=True).strip()
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert run.data.tags[Tag.GIT_DIRTY] == "true"

    code, again, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, again["run_id"] != result["run_id"]) == (0, True)
    assert [step["reused"] for step in again["steps"]] == [step["run_id"] for step in result["steps"]]
    write(azure_git_project, f"settings: {{force_rerun: true}}\n{TWO}")
    code, forced, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, [step["reused"] for step in forced["steps"]]) == (0, ["", ""])

    code, listed, _ = nbops_json("azure", "jobs", "list")
    job = next(each for each in listed["jobs"] if each["name"] == result["run_id"])
    assert (job["kind"], job["status"], job["pipeline"]) == ("Pipeline", "Completed", FILE)
    code, logs, _ = nbops_json("azure", "jobs", "logs", result["run_id"])
    assert (code, "FINISHED" in logs["logs"]["train/user_logs/std_log.txt"]) == (0, True)
    code, followed, _ = nbops_json("azure", "jobs", "follow", result["run_id"])
    assert (code, followed) == (0, result)
    assert program.run(["azure", "jobs", "follow", result["steps"][1]["run_id"]]) == 2
    assert f"is a step: nbops azure jobs follow {result['run_id']}" in capsys.readouterr().err
    assert program.run(["azure", "jobs", "stop", result["steps"][1]["run_id"]]) == 2
    assert f"nbops azure jobs stop {result['run_id']}" in capsys.readouterr().err


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_in_a_step_is_tracked_as_on_a_laptop_and_always_runs(
    azure_git_project: Settings, nbops_json: NbopsJson
) -> None:
    sweep = "nbops sweep experimentation/n.ipynb --grid alpha=1,2 --metric rmse:min"
    write(azure_git_project, TWO.replace("nbops run experimentation/n.ipynb -p alpha=2.0", sweep))
    code, result, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, [step["status"] for step in result["steps"]]) == (0, ["FINISHED", "FINISHED"])

    connected = store.connect(azure_git_project)
    experiment = connected.experiment_id(azure_git_project.experiment)
    runs = [run for run in connected.client.search_runs([experiment]) if Tag.END in run.data.tags]
    assert sorted(run.data.tags.get(Tag.TRIAL, "parent") for run in runs) == ["0", "1", "parent"]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=azure_git_project.root, text=True).strip()
    assert {run.data.tags["mlflow.source.git.commit"] for run in runs} == {commit}

    code, again, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, [step["reused"] for step in again["steps"]]) == (0, [result["steps"][0]["run_id"], ""])


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_a_step_that_fails_fails_the_pipeline_and_later_ones_do_not_start(
    azure_git_project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    building.write(
        azure_git_project.root / "experimentation" / "n.ipynb",
        "raise ValueError('no rows')",
        parameters="alpha: float = 1.0  # a",
    )
    more = f"  last:\n    command: >-\n      {ANSWER} x\n    inputs: {{a: '${{{{parent.jobs.train.outputs.answer}}}}'}}\n    {OUTPUT}\n"
    write(azure_git_project, TWO + more)
    code = program.run(["azure", "pipeline", FILE])
    shown = capsys.readouterr()

    assert code == 1
    assert "step train: FAILED: cell 1 (raise ValueError('no rows')): ValueError: no rows" in shown.err
    assert "step train: cell 3 of 3: raise ValueError('no rows')" in shown.err
    assert shown.out.startswith("FAILED\n")
    assert "NOT STARTED" in next(line for line in shown.out.splitlines() if line.startswith("last "))


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_nothing_new_ends_every_step_well_and_says_why(azure_git_project: Settings, nbops_json: NbopsJson) -> None:
    write(azure_git_project, TWO.replace('"newer": true', '"newer": false, "reason": "sales@3 was seen"'))
    code, result, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, result["status"], result["steps"][1]["skipped"]) == (0, "FINISHED", "sales@3 was seen")


SLOW = """\
jobs:
  wait: {command: sleep 20}
"""


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_left_or_killed_and_submitted_again_it_is_the_same_pipeline(
    azure_git_project: Settings, azure_workspace: AzureProject, nbops_json: NbopsJson, end: signal.Signals
) -> None:
    write(azure_git_project, f"description: {end.name}\n{SLOW}")
    command = [sys.executable, "-m", "notebooks_lib", "azure", "pipeline", FILE]
    variables = {**os.environ, **azure_workspace.environment}
    process = subprocess.Popen(command, cwd=azure_git_project.root, env=variables, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    name = next(line.split()[-1] for line in process.stderr if line.startswith("p: pipeline "))
    process.send_signal(end)
    _, err = process.communicate(timeout=60)
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert f"detached: job {name} goes on; to come back: nbops azure jobs follow {name}" in err

    code, result, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, result["run_id"], result["status"]) == (0, name, "FINISHED")


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_whose_answer_is_lost_runs_once(
    azure_git_project: Settings, azure_server: Emulated, nbops_json: NbopsJson
) -> None:
    write(azure_git_project, "description: lost\njobs:\n  one: {command: 'true'}\n")
    with azure_server.fault("lost_answer", method="PUT", path="/jobs/"):
        code, result, _ = nbops_json("azure", "pipeline", FILE)
    assert (code, result["status"]) == (0, "FINISHED")
    code, listed, _ = nbops_json("azure", "jobs", "list")
    ours = [job for job in listed["jobs"] if job["experiment"] == azure_git_project.experiment]
    assert [job["name"] for job in ours] == [result["run_id"]]


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_a_stopped_pipeline_stops_its_steps(
    azure_git_project: Settings, azure_workspace: AzureProject, nbops_json: NbopsJson
) -> None:
    write(azure_git_project, "jobs:\n  wait: {command: sleep 100}\n")
    command = [sys.executable, "-m", "notebooks_lib", "azure", "pipeline", FILE]
    variables = {**os.environ, **azure_workspace.environment}
    process = subprocess.Popen(command, cwd=azure_git_project.root, env=variables, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    name = next(line.split()[-1] for line in process.stderr if line.startswith("p: pipeline "))
    code, stopped, _ = nbops_json("azure", "jobs", "stop", name)
    process.communicate(timeout=60)
    assert (code, stopped["status"], process.returncode) == (0, "Canceled", 1)


def test_a_file_with_a_fault_sends_nothing(
    azure_git_project: Settings, azure_server: Emulated, capsys: pytest.CaptureFixture[str]
) -> None:
    write(azure_git_project, "jobs:\n  a: {comand: x}\n")
    began = azure_server.record.position()
    assert program.run(["azure", "pipeline", FILE]) == 2
    assert "p.yml:2: comand: unknown key, did you mean command?" in capsys.readouterr().err
    assert azure_server.record.since(began) == []
