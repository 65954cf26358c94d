"""The command of a step is recognised if it is one of nbops, and finds nbops in its job, also in a longer line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.azure.assets import snapshot
from notebooks_lib.running import pipeline_steps
from notebooks_lib.running.pipeline_steps import StepCommand
from notebooks_lib.settings import Settings

SWEEP = 'nbops sweep a/n.ipynb --space "x=uniform(0, 1)" --only-if ${{inputs.newer}} --stages dev --stages=test'


def test_subcommand_notebooks_and_options_of_a_command_of_nbops() -> None:
    step = StepCommand.of({"command": SWEEP})
    (command,) = step.commands
    assert (command.subcommand, step.notebooks, command.option("--stages")) == ("sweep", ("a/n.ipynb",), "dev")
    assert command.option("--name") == ""
    assert StepCommand.of({"command": "nbops run \\\n  n.ipynb\n"}).notebooks == ("n.ipynb",)


@pytest.mark.parametrize(
    "text", ["python train.py n.ipynb", "nbops", "nbopsx run", "echo 'a", "", "echo nbops run", "FOO=nbops a b"]
)
def test_other_commands_stay_as_they_are(text: str) -> None:
    command = StepCommand.of({"command": text})
    assert (command.commands, command.notebooks, command.completed(), command.always_runs) == ((), (), text, False)


@pytest.mark.parametrize(
    ("text", "subcommands"),
    [
        ("mkdir -p o && nbops run n.ipynb", ["run"]),
        ("FOO=1 BAR='a b' nbops run n.ipynb", ["run"]),
        ("set -e\nnbops run a.ipynb > log.txt 2>&1\nnbops promote --live", ["run", "promote"]),
        ("if nbops data newer sales; then nbops sweep a; fi", ["data", "sweep"]),
        ("(nbops run a; nbops page b) | tee log", ["run", "page"]),
        ("echo $(nbops data newer sales)", ["data"]),
        ("# don't promote\nnbops run a.ipynb", ["run"]),
        ("nbops run a.ipynb # don't wait\nnbops page b;# it's b's", ["run", "page"]),
        ('nbops run \'a #b\' a\\ #c "#\\"d" $# a#b && nbops page b', ["run", "page"]),
        ("echo 'a && nbops run b'", []),
    ],
)
def test_nbops_is_found_wherever_a_command_begins(text: str, subcommands: list[str]) -> None:
    step = StepCommand.of({"command": text})
    assert [command.subcommand for command in step.commands] == subcommands
    assert ("notebooks_lib" in step.completed()) == step.is_ours == bool(subcommands)


def test_a_command_that_cannot_be_split_is_a_fault_if_it_names_nbops(empty_project: Settings) -> None:
    steps = {text: StepCommand.of({"command": text}) for text in ("nbops run 'a", "cat <<E\nit's\nE\npython a.py")}
    ((step, fault),) = pipeline_steps.step_faults(steps, empty_project)
    assert step == "nbops run 'a"
    assert fault.startswith("its command cannot be split into words (No closing quotation): close its quotes")


def test_a_comment_hides_no_promotion_to_the_machine_of_its_step(empty_project: Settings) -> None:
    steps = {"up": StepCommand.of({"command": "nbops promote --live --stages prod # it's monthly"})}
    ((step, fault),) = pipeline_steps.step_faults(steps, empty_project)
    assert (step, fault.partition(" is ")[0]) == ("up", "stage prod")


@pytest.mark.parametrize(
    ("text", "always"),
    [
        ("nbops run a.ipynb", False),
        ("nbops run a.ipynb > log.txt", False),
        ("nbops run a.ipynb # don't wait", False),
        ("nbops promote # it's monthly", True),
        ("python a.py", False),
        *(
            (f"nbops {text}", True)
            for text in (
                *("data newer x", "promote", "sweep a --dataset sales", "batch run houses --data sales", "compare"),
                *("run a.ipynb && nbops promote --live", "run a.ipynb; python b.py"),
            )
        ),
    ],
)
def test_all_but_a_single_run_always_runs(text: str, always: bool) -> None:
    assert StepCommand.of({"command": text}).always_runs == always


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('nbops run "a b.ipynb" -p x=1', [["run", "a b.ipynb", "-p", "x=1"]]),
        ("nbops run a && nbops page b; echo done", [["run", "a"], ["page", "b"]]),
        ("nbops run a\nnbops page b", [["run", "a"], ["page", "b"]]),
        ("nbops sweep 'x=uniform(0, 1)'", [["sweep", "x=uniform(0, 1)"]]),
        ("mkdir -p o && FOO=1 nbops run a", [["run", "a"]]),
        ("set -e\nnbops run a > log.txt", [["run", "a"]]),
        ("nbops run a > log.txt", [["run", "a"]]),
        ("nbops run a # don't wait", [["run", "a"]]),
    ],
)
def test_the_shell_of_a_job_runs_nbops_out_of_its_snapshot(
    tmp_path: Path, text: str, expected: list[list[str]]
) -> None:
    program = "import sys, pathlib\npathlib.Path('said').open('a').write(repr(sys.argv[1:]) + '\\n')"
    wheel = tmp_path / snapshot.wheel_path()
    wheel.parent.mkdir()
    wheel.write_bytes(
        snapshot.zipped({"notebooks_lib/__main__.py": program.encode(), "notebooks_lib/__init__.py": b""})
    )
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    command = ["sh", "-c", StepCommand.of({"command": text}).completed()]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert [eval(line) for line in (tmp_path / "said").read_text().splitlines()] == expected
