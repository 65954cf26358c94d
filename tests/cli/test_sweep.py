"""`nbops sweep` interrupted, killed and resumed; and its usage errors."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.cli import sweep, sweep_output
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps.goal import Goal
from notebooks_lib.sweeps.trials import SweepResult, Trial
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building
from tests.sweeps import results

SLOW = "import time\nopen(f'begun-{k}', 'a').write('x')\ntime.sleep(600 if k > 1 and slow else 0)"


def begin(project: Settings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "notebooks_lib", "sweep", *arguments],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def interrupt(project: Settings) -> tuple[query.RunInfo, list[str]]:
    """Interrupt a sweep with two of its four trials open; return its run, and the words of the command that resumes it."""
    process = begin(project, "n.ipynb", "--grid", "k=0..3", "--jobs", "2")
    for k in (2, 3):
        wait_for(project.root / f"begun-{k}", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)  # their cells would sleep for ten minutes
    assert process.returncode == 130, err
    assert "4 of 4 trials" in out
    assert "2 finished, 2 killed" in out
    runs = query.find_runs(store.connect(project), "sample", ended_only=False)
    (parent,) = [run for run in runs if run.holds_trials]
    assert {run.status for run in runs} == {"FINISHED", "KILLED"}
    assert all(run.tags[Tag.END] == run.status for run in runs)
    (command,) = [line.split(maxsplit=2)[2] for line in out.splitlines() if line.startswith("  go on")]
    return parent, command.split()


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_ctrl_c_stops_everything_and_the_command_that_resumes_it_is_printed(project: Settings) -> None:
    building.write(project.root / "n.ipynb", SLOW, parameters="k: int = 0\nslow: bool = True")
    parent, command = interrupt(project)
    assert parent.status == "KILLED"
    assert command == f"nbops sweep n.ipynb --grid k=0..3 --jobs 2 --resume {parent.run_id}".split()


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_the_printed_command_resumes_an_interrupted_sweep(project: Settings) -> None:
    path = building.write(project.root / "n.ipynb", SLOW, parameters="k: int = 0\nslow: bool = True")
    parent, command = interrupt(project)
    path.write_text(path.read_text().replace("600 if", "0 if"))  # other code: nothing of before counts
    process = begin(project, *command[2:], "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "code, environment or data have changed" in err
    assert json.loads(out)["counts"]["finished"] == 4
    connected = store.connect(project)
    assert len(query.children(connected, parent.run_id)) == 8
    assert query.get_run(connected, parent.run_id).status == "FINISHED"


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_after_kill_9_resume_closes_open_runs_and_runs_only_the_rest(project: Settings) -> None:
    building.write(project.root / "n.ipynb", SLOW, parameters="k: int = 0\nslow: bool = True")
    arguments = ["n.ipynb", "--grid", "k=0..3", "-p", "slow=true", "--jobs", "2"]
    process = begin(project, *arguments)
    for k in (2, 3):
        wait_for(project.root / f"begun-{k}", process)
    process.kill()
    process.communicate()
    connected = store.connect(project)
    before = {run.tags.get(Tag.TRIAL): run for run in query.find_runs(connected, "sample", ended_only=False)}
    assert [before[k].status for k in ("0", "1", "2", "3", None)] == ["FINISHED", "FINISHED"] + ["RUNNING"] * 3

    process = begin(project, "--resume", *arguments, "--cell-timeout", "1", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    result = json.loads(out)
    assert result["run_id"] == before[None].run_id
    assert [one["state"] for one in result["trials"]] == ["finished", "finished", "killed", "killed"]
    assert [one["run_id"] for one in result["trials"][:2]] == [before["0"].run_id, before["1"].run_id]
    assert result["resume"].endswith(f"--json --resume {before[None].run_id}")
    for k in ("2", "3"):
        left = query.get_run(connected, before[k].run_id)
        assert (left.status, left.tags[Tag.TRIAL_STATE], left.tags[Tag.END]) == ("KILLED", "killed", "KILLED")
    assert [Path(project.root / f"begun-{k}").read_text() for k in range(4)] == ["x", "x", "xx", "xx"]


@pytest.mark.tracking
@pytest.mark.notebooks
@pytest.mark.proof
def test_a_sweep_file_and_a_study(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    cells = "from notebooks_lib.tracking import run\nrun().log({'cost': alpha * scale})"
    building.write(project.root / "n.ipynb", cells, parameters="alpha: float = 1.0\nscale: float = 1.0")
    file = project.root / "sweep.yaml"
    file.write_text(
        "notebook: n.ipynb\nspace: {alpha: 'uniform(1, 2)'}\nparameters: {scale: 3}\ntrials: 9\nmetric: cost:min\nseed: 1\n"
    )
    assert program.run(["sweep", "-f", str(file), "--trials", "2", "--name", "mine", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["total"], result["counts"]["finished"]) == (2, 2)
    assert all(3 <= one["value"] <= 6 for one in result["trials"])
    assert program.run(["sweep", "-f", str(file), "--trials", "3", "--resume", "--json"]) == 0
    more = json.loads(capsys.readouterr().out)
    assert more["run_id"] == result["run_id"]
    assert [one["value"] for one in more["trials"][:2]] == [one["value"] for one in result["trials"]]
    assert len(more["trials"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the notebook"),
        (["--grid", "alpha=1,x"], "alpha"),
        (["--grid", "alpa=1"], "did you mean 'alpha'?"),
        (["--space", "alpha=uniform(0, 1)", "--trials", "3"], "give --metric"),
        (["--space", "alpha=uniform(0, 1)", "--metric", "rmse"], "give the number of trials with --trials"),
        (["--grid", "alpha=1,2", "--trials", "3"], "this grid has 2 combinations"),
        (["--grid", "alpha=1,2", "--metric", "mine"], "its direction is unknown"),
        (["--grid", "alpha=1,2", "--sampler", "tpe"], "--sampler goes with --space"),
        (["--grid", "alpha=1,2", "--name", ""], "--name takes a name"),
        (["--grid", "alpha=1,2", "--on", "moon"], "allowed local, dask"),
        (["--grid", "alpha=1,2", "--timeout", "nan"], "write a number above 0"),
    ],
)
def test_usage_errors_are_reported_and_start_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = building.write(tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0")
    assert program.run(["sweep", *([str(path)] if arguments else []), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / ".nbops").exists()


@pytest.mark.parametrize(
    ("metric", "goal"),
    [
        ("auc", Goal("auc", "max")),
        ("r2", Goal("r2", "max")),
        ("rmse:MIN", Goal("rmse", "min")),
        ("mine:max", Goal("mine", "max")),
        (" mine : Min ", Goal("mine", "min")),
        ("mse:max", "of mse, the smaller is better"),
        ("mine", "its direction is unknown"),
        ("auc:up", "'up' is no direction"),
    ],
)
def test_a_sweep_file_and_the_option_read_a_metric_alike(
    metric: str,
    goal: Goal | str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = building.write(tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0")
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps({"notebook": "n.ipynb", "grid": {"alpha": [1, 2]}, "metric": metric}))
    goals: list[Goal | None] = []
    monkeypatch.setattr(sweep, "_run", lambda request, *rest, **options: goals.append(request.goal) or 0)
    codes = [
        program.run(["sweep", str(path), "--grid", "alpha=1,2", "--metric", metric]),
        program.run(["sweep", "-f", str(file)]),
    ]
    if isinstance(goal, Goal):
        assert (codes, goals) == ([0, 0], [goal, goal])
    else:
        assert (codes, goals) == ([2, 2], [])
        assert capsys.readouterr().err.count(goal) == 2


def test_usage_errors_import_nothing_heavy(tmp_path: Path) -> None:
    path = building.write(tmp_path / "n.ipynb", "1", parameters="alpha: float = 1.0")
    for arguments in (["--grid", "alpa=1"], ["--space", "alpha=uniform(0,1)", "--metric", "rmse"]):
        code = (
            f"import sys\nfrom notebooks_lib.__main__ import run\nassert run({['sweep', str(path), *arguments]!r}) == 2\n"
            "heavy = {'mlflow', 'papermill', 'pandas', 'numpy', 'optuna', 'nbclient', 'matplotlib'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


def test_an_empty_file_is_reported_as_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.yaml").write_text("")
    assert program.run(["sweep", "-f", str(tmp_path / "sweep.yaml")]) == 2
    assert "sweep.yaml is empty: write `notebook: NAME.ipynb` into it" in capsys.readouterr().err


def test_the_summary_says_what_is_missing_and_what_would_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    done = Trial(0, {"a": 1}, "finished", None, {}, "ab", 1.0, "it logged no 'rmse'")
    result = SweepResult("abc", "http://x", "FINISHED", Goal("rmse"), [done, Trial(1, {"a": 2}, "failed")], 2, 1.0)
    assert sweep_output._lacks_goal(result)
    sweep_output.print_result(result, "x", ["n.ipynb"], repeated=1)
    out = capsys.readouterr().out
    assert "no best   it logged no 'rmse'" in out
    assert "summary   nbops page abc" in out
    assert "go on     nbops sweep n.ipynb --resume abc" in out
    sweep_output.print_result(result, "x", ["n.ipynb"], repeated=0)
    assert "go on" not in capsys.readouterr().out
    assert not sweep_output._lacks_goal(dataclasses.replace(result, goal=None))


def test_a_sweep_that_reached_its_limit_of_time_was_not_interrupted() -> None:
    stopped = results.sweep(results.trial(0, "finished", 1.0), status="KILLED")
    assert sweep_output.exit_code(stopped) == 130
    assert sweep_output.exit_code(dataclasses.replace(stopped, timed_out=True)) == 1


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["n.ipynb", "--grid", "a=1,2"], ["n.ipynb", "--grid", "a=1,2"]),
        (["n.ipynb", "--resume", "--jobs", "2"], ["n.ipynb", "--jobs", "2"]),
        (["--resume", "n.ipynb", "--jobs", "2"], ["n.ipynb", "--jobs", "2"]),
        (["n.ipynb", "--resume", "0123"], ["n.ipynb"]),
        (["n.ipynb", "--resume=0123", "--space", "a=uniform(0, 1)"], ["n.ipynb", "--space", "'a=uniform(0, 1)'"]),
    ],
)
def test_the_resume_command_is_the_given_one_with_its_run(words: list[str], kept: list[str]) -> None:
    assert sweep_output.resume_command(words, "77") == " ".join(["nbops sweep", *kept, "--resume 77"])


@pytest.mark.parametrize(
    ("given", "service", "other"),
    [
        ("n.ipynb --service --fail-fast", False, "n.ipynb --fail-fast"),
        ("-f s.yml --fail-fast", False, "-f s.yml --fail-fast --no-service"),
        ("--file=s.yml --service", False, "--file=s.yml --no-service"),
        ("n.ipynb --no-service --resume 77", True, "n.ipynb --resume 77 --service"),
    ],
)
def test_the_command_of_the_other_kind(given: str, service: bool, other: str) -> None:
    assert sweep_output.toggle_service(given.split(), service=service) == f"nbops sweep {other}"
