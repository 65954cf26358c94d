"""Make a Python environment in a folder by uv: whole, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from notebooks_lib.errors import NbopsError

_READY = ".ready"
_NO_REASON = ("hint:", "warning:", "help:")


def is_made(folder: Path) -> bool:
    """Return whether the environment in this folder is complete."""
    return (folder / _READY).exists()


def make_environment(folder: Path, *packages: str, python: str, subject: str, timeout: float | None = None) -> None:
    """Make an environment of the Python `python`, a path or a version, with what `uv pip` installs by `packages`.

    `packages` are arguments of uv, such as "sync" and a lock file. Raises NbopsError, with `subject` and uv's reason,
    when it fails or takes longer than `timeout` seconds; nothing is left in the folder then.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    deadline = None if timeout is None else time.monotonic() + timeout
    command, *options = packages
    try:
        run_uv("venv", "--quiet", "--python", python, str(folder), subject=subject, deadline=deadline)
        install = ("pip", command, "--quiet", "--python", python_of(folder), *options)
        run_uv(*install, subject=subject, deadline=deadline)
        (folder / _READY).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def python_of(folder: Path) -> str:
    """Return the path of the Python in an environment."""
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def run_uv(*arguments: str, subject: str, deadline: float | None = None) -> None:
    """Run a command of uv. Raises NbopsError with its reason when it fails, or is not done at `deadline`.

    The deadline is a time of `time.monotonic`.
    """
    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        done = subprocess.run(
            [_find_uv(), *arguments], capture_output=True, text=True, errors="replace", check=False, timeout=timeout
        )
    except FileNotFoundError as error:
        raise NbopsError(f"{subject} is made by uv, which is not installed: pip install uv") from error
    except subprocess.TimeoutExpired as error:
        raise NbopsError(f"{subject} is not made in time; what uv has downloaded is kept: try again") from error
    if done.returncode:
        lines = [line.strip(" ×╰─▶├│") for line in done.stderr.splitlines()]
        reasons = [line for line in lines if line and not line.startswith(_NO_REASON)]
        raise NbopsError(f"{subject} cannot be made: {' '.join(reasons)[:400] or 'no reason'}")


def _find_uv() -> str:
    """Return uv beside this Python, which is there without an activated environment; else the one on the path."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.is_file() else "uv"
