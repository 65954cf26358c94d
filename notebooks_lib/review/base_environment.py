"""The environment of a base whose lock is another: made by uv, kept under .nbops by the lock's digest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from notebooks_lib import regular_file, uv_environment
from notebooks_lib.errors import NbopsError, NotebookError
from notebooks_lib.paths import Layout
from notebooks_lib.pinned_versions import find_unread_lines, parse_lock
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.running import kernel_packages
from notebooks_lib.running.kernel_process import find_kernel
from notebooks_lib.tracking import sqlite

FOLDER = "review-environments"
_SUBJECT = "the environment of the base's lock"
_FAILED: dict[Path, str] = {}
"""Why environments could not be made in this process: a review of many notebooks tries each once."""


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
        if not uv_environment.is_made(folder):
            if folder in _FAILED:
                raise NbopsError(_FAILED[folder])
            say(f"the base has another {lock.name}: its environment is made once, which can take minutes")
            _make(folder, lock)
        python = uv_environment.python_of(folder)
        if (base / "pyproject.toml").is_file():  # its metadata: entry points, versions; its code comes from PYTHONPATH
            options = ("--no-deps", "--no-build-isolation", "--editable")
            with suppress(NbopsError):  # it is no package, then
                install = ("pip", "install", "--quiet", "--python", python, *options, str(base))
                uv_environment.run_uv(*install, subject=_SUBJECT)
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
    try:
        packages = ("sync", "--compile-bytecode", str(lock))
        uv_environment.make_environment(folder, *packages, python=sys.executable, subject=_SUBJECT)
    except NbopsError as error:
        _FAILED[folder] = str(error)
        raise


def _digest(lock: Path) -> str:
    try:
        return hashlib.sha256(regular_file.read_bytes(lock)).hexdigest()
    except OSError:
        return ""
