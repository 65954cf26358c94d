"""Only a kernelspec whose command is a Python with ipykernel alone can be started warm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from notebooks_lib.kernels import forkable_command

PYTHON = "/usr/bin/python3"
END = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.mark.parametrize(
    ("argv", "ordinary"),
    [
        ([PYTHON, *END], True),
        (["python", *END], True),
        (["python3.11", "-I", *END], True),
        ([PYTHON, "-Xfrozen_modules=off", *END], True),
        ([PYTHON, "-X", "dev", "-W", "error", "-Es", *END], True),
        ([PYTHON, "-m", "ipykernel", "-f", "x"], True),
        (["env", "A=1", PYTHON, *END], False),
        (["/usr/bin/env", PYTHON, *END], False),
        (["nice", "-n", "5", PYTHON, *END], False),
        (["numactl", "-N0", PYTHON, *END], False),
        (["uv", "run", "python", *END], False),
        (["conda", "run", "-n", "x", "python", *END], False),
        (["bash", "-c", "module load x; exec python -m ipykernel_launcher"], False),
        ([PYTHON, "wrapper.py", *END], False),
        ([PYTHON, "-c", "import os", *END], False),
        ([PYTHON, "-m", "coverage", "run", *END], False),
        ([PYTHON, "-i", *END], False),
        ([PYTHON, "-m", "ipykernel_launcher.x"], False),
        (["R", "-e", "IRkernel::main()"], False),
        ([PYTHON], False),
        ([], False),
    ],
)
def test_only_options_stand_between_a_python_and_ipykernel(argv: list[str], ordinary: bool) -> None:
    assert (forkable_command.split_command(argv) is not None) is ordinary


def test_a_python_that_is_a_script_is_a_wrapper(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexport A=1\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    assert forkable_command.find_interpreter(str(script), None) is None
    assert forkable_command.find_interpreter("python", str(tmp_path)) is None
    assert forkable_command.find_interpreter("no-such-python", str(tmp_path)) is None
    assert forkable_command.find_interpreter(sys.executable, None) == sys.executable
