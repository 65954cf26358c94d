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
    command = StepCommand.of({"command": SWEEP})
    assert (command.subcommand, command.notebooks, command.option("--stages")) == ("sweep", ("a/n.ipynb",), "dev")
    assert command.option("--name") == ""
    assert StepCommand.of({"command": "nbops run \\\n  n.ipynb\n"}).notebooks == ("n.ipynb",)


@pytest.mark.parametrize("text", ["python train.py n.ipynb", "nbops", "nbopsx run", "echo 'nbops run", ""])
def test_other_commands_stay_as_they_are(text: str) -> None:
    command = StepCommand.of({"command": text})
    assert (command.subcommand, command.notebooks, command.completed()) == ("", (), text)


def test_what_looks_at_the_world_always_runs() -> None:
    always = {
        name: StepCommand.of({"command": f"nbops {name} x"}).always_runs for name in ("data", "promote", "run", "sweep")
    }
    assert always == {"data": True, "promote": True, "run": False, "sweep": False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('nbops run "a b.ipynb" -p x=1', [["run", "a b.ipynb", "-p", "x=1"]]),
        ("nbops run a && nbops page b; echo done", [["run", "a"], ["page", "b"]]),
        ("nbops run a\nnbops page b", [["run", "a"], ["page", "b"]]),
        ("nbops sweep 'x=uniform(0, 1)'", [["sweep", "x=uniform(0, 1)"]]),
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
