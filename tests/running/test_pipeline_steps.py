"""The command of a step is recognised if it is one of nbops, and finds nbops in its job, also in a longer line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.azure.assets import snapshot
from notebooks_lib.running.pipeline_steps import StepCommand

SWEEP = 'nbops sweep a/n.ipynb --space "x=uniform(0, 1)" --only-if ${{inputs.newer}} --stages dev --stages=test'


def test_subcommand_notebooks_and_options_of_a_command_of_nbops() -> None:
    step = StepCommand.of({"command": SWEEP})
    (command,) = step.commands
    assert (command.subcommand, step.notebooks, command.option("--stages")) == ("sweep", ("a/n.ipynb",), "dev")
    assert command.option("--name") == ""
    assert StepCommand.of({"command": "nbops run \\\n  n.ipynb\n"}).notebooks == ("n.ipynb",)


@pytest.mark.parametrize(
    "text", ["python train.py n.ipynb", "nbops", "nbopsx run", "echo 'nbops run", "", "echo nbops run", "FOO=nbops a b"]
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
        ("echo 'a && nbops run b'", []),
    ],
)
def test_nbops_is_found_wherever_a_command_begins(text: str, subcommands: list[str]) -> None:
    step = StepCommand.of({"command": text})
    assert [command.subcommand for command in step.commands] == subcommands
    assert ("notebooks_lib" in step.completed()) == step.is_ours == bool(subcommands)


@pytest.mark.parametrize(
    ("text", "always"),
    [
        ("nbops run a.ipynb", False),
        ("nbops run a.ipynb > log.txt", False),
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
