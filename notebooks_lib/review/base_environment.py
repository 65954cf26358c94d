"""The environment of a base whose lock is another: made by uv, kept under .nbops by the lock's digest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from notebooks_lib import regular_file
from notebooks_lib.errors import NbopsError, NotebookError
from notebooks_lib.paths import Layout
from notebooks_lib.pinned_versions import find_unread_lines, parse_lock
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.running import kernel_packages
from notebooks_lib.running.kernel_process import find_kernel
from notebooks_lib.tracking import sqlite

FOLDER = "review-environments"
_READY = ".ready"
_FAILED: dict[Path, str] = {}
"""Why environments could not be made in this process: a review of many notebooks tries each once."""
_NO_REASON = ("hint:", "warning:", "help:")


def find_python(base: Path, head: Layout, say: Callable[[str], None] = lambda line: None) -> str:
    """Return the Python that runs the notebooks of the work tree `base`: this one, or one made from its lock file.

    This Python is used if the base has no lock file, or the same one as the project of `head`. `say` is called with a
    line before the minutes that a new environment takes. Raises NbopsError when it cannot be made; nothing of it is
    left then, and this process does not try it again.
    """
    lock = Layout(base).lock
    if not lock.is_file() or _digest(lock) == _digest(head.lock):
        return sys.executable
    folder = head.state / FOLDER / _digest(lock)[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / _READY).exists():
            if folder in _FAILED:
                raise NbopsError(_FAILED[folder])
            say(f"the base has another {lock.name}: its environment is made once, which can take minutes")
            _make(folder, lock)
        python = _python(folder)
        if (base / "pyproject.toml").is_file():  # its metadata: entry points, versions; its code comes from PYTHONPATH
            options = ("--no-deps", "--no-build-isolation", "--editable")
            with suppress(NbopsError):  # it is no package, then
                _uv("pip", "install", "--quiet", "--python", python, *options, str(base))
    return python


def has_lock_installed(source: NotebookSource, head: Layout) -> bool:
    """Return whether a new run of a notebook has the packages of its lock file, by this Python or by one made."""
    layout = Layout(source.root)
    try:
        kernel = find_kernel(source.notebook)
    except NotebookError:
        return False
    if layout.lock.is_file() and _digest(layout.lock) != _digest(head.lock):  # whose environment is made
        text = regular_file.read_text(layout.lock, "replace")
        return kernel_packages.has_environment_of_nbops(kernel) and not find_unread_lines(text)
    return kernel_packages.lock_installed(layout, kernel, source.notebook.opened.parent) in ("true", "")


def check_shared_store(base: Path, tracking_uri: str) -> None:
    """Raise NbopsError if the base pins another MLflow than this one and both would write to one database file.

    A newer MLflow migrates the file when it opens it; the older one could not read the file any more.
    """
    lock = Layout(base).lock
    if not lock.is_file() or not sqlite.is_sqlite(tracking_uri):
        return
    text = regular_file.read_text(lock, "replace")
    pinned, ours = parse_lock(text).get("mlflow"), importlib.metadata.version("mlflow")
    if pinned not in (None, ours):
        raise NbopsError(
            f"the base pins mlflow {pinned}, and {ours} is here: two versions cannot share the database of the runs; "
            "set [tracking] uri to a tracking server to run both sides"
        )


def _make(folder: Path, lock: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a review that was killed
    try:
        _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        _uv("pip", "sync", "--quiet", "--python", _python(folder), "--compile-bytecode", str(lock))
        (folder / _READY).touch()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, NbopsError):
            _FAILED[folder] = str(error)
        raise


def _python(folder: Path) -> str:
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _digest(lock: Path) -> str:
    try:
        return hashlib.sha256(regular_file.read_bytes(lock)).hexdigest()
    except OSError:
        return ""


def _find_uv() -> str:
    """Return uv beside this Python, which is there without an activated environment; else the one on the path."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.is_file() else "uv"


def _uv(*arguments: str) -> None:
    try:
        done = subprocess.run([_find_uv(), *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise NbopsError("the environment of the base's lock is made by uv, which is not installed") from error
    if done.returncode:
        lines = [line.strip(" ×╰─▶├│") for line in done.stderr.splitlines()]
        reasons = [line for line in lines if line and not line.startswith(_NO_REASON)]
        raise NbopsError(f"the environment of the base's lock cannot be made: {' '.join(reasons)[:400] or 'no reason'}")
