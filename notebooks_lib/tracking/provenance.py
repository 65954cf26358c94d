"""Where a run comes from: commit, user, host, environment, as tags under MLflow's own names. It changes nothing."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import logging
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from notebooks_lib import __version__, process_identity, regular_file
from notebooks_lib.git_repository import git_environment
from notebooks_lib.paths import Layout
from notebooks_lib.pinned_versions import find_other_versions, find_unread_lines, parse_lock
from notebooks_lib.tags import Env, Tag

DIFF_LIMIT = 1_000_000
"""Characters of an uncommitted diff that are kept at most."""
MOST_PACKAGES = 5
"""Packages that are named where others than those of the lock are installed."""
NOT_KNOWN = "not known: "
"""What a value of `lock_installed` begins with where the packages could not all be compared; the reason follows."""
_NO_SOURCE = (":(exclude).nbops", ":(top,exclude,glob)**/__pycache__/**")
"""Files of nbops and bytecode of Python are no change of a project, even where git does not ignore them."""
_ALL_SUBMODULES = "--ignore-submodules=none"
"""A committed .gitmodules may say that changes of a submodule are not shown."""
NO_COMMIT_YET = ("unknown revision", "ambiguous argument 'HEAD'", "does not have any commits")
_told: set[str] = set()


@dataclass(frozen=True)
class Git:
    """The state of the working tree when a run began."""

    commit: str
    branch: str
    dirty: bool
    diff: str
    """Output of `git diff HEAD`, and the names of untracked files; empty when clean."""


def git_state(root: Path) -> Git | None:
    """Return the commit and the uncommitted files of a working tree; None outside a git repository.

    In a job, which has no repository, they are those that its submitter handed over. If git gives no commit inside a
    repository, the reason is logged once, and None is returned.
    """
    commit, reason = _git(root, "rev-parse", "HEAD")
    if commit is None:
        if (submitted := _submitter().get("commit")) and not _repository(root):
            return _submitted_state(root, submitted)
        _say_why(root, reason)
        return None
    options = ("--porcelain", "--untracked-files=normal", _ALL_SUBMODULES)
    status = _git(root, "status", *options, "--", ":/", *_NO_SOURCE)[0] or ""
    diff = ""
    if status:
        untracked = "".join(f"# untracked: {line[3:]}\n" for line in status.splitlines() if line.startswith("??"))
        changes = _git(root, "diff", "HEAD", "--no-ext-diff", "--no-color", _ALL_SUBMODULES)[0] or ""
        diff = (untracked + changes)[:DIFF_LIMIT]
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD")[0] or ""
    return Git(commit.strip(), branch.strip(), bool(status), diff)


def _submitter() -> dict[str, Any]:
    """Return what the submitter of this job handed over; empty outside a job of nbops."""
    return dict(json.loads(os.environ.get(Env.JOB) or "{}"))


def _submitted_state(root: Path, commit: str) -> Git:
    from notebooks_lib.azure.assets import snapshot

    submitter, diff = _submitter(), ""
    if submitter.get("dirty"):
        with contextlib.suppress(OSError):
            diff = (root / snapshot.UNCOMMITTED).read_text("utf-8")
    return Git(commit, str(submitter.get("branch") or ""), bool(submitter.get("dirty")), diff)


def _repository(root: Path) -> Path | None:
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)


def _say_why(root: Path, reason: str) -> None:
    repository = _repository(root)
    if repository is None or any(words in reason for words in NO_COMMIT_YET):
        return
    why = next((line for line in reason.splitlines() if line.strip()), "no answer").removeprefix("fatal: ")
    if "dubious ownership" in reason:
        why += f"; if you trust its owner: git config --global --add safe.directory {repository}"
    message = f"no commit is recorded with the run, git says: {why}"
    if message not in _told:
        _told.add(message)
        logging.getLogger(__name__).warning(message)


def lock_sha256(layout: Layout) -> str:
    """Return the sha256 of the project's lock file; empty without one."""
    try:
        return hashlib.sha256(regular_file.read_bytes(layout.lock)).hexdigest()
    except OSError:
        return ""


def lock_installed(layout: Layout, versions: Mapping[str, str] | None = None) -> str:
    """Return "true" if no package is installed in another version than the project's lock file says, else these.

    A lock file of which a line names no version to compare with gives `NOT_KNOWN` and the reason. Empty without one.
    `versions` are those of the packages in another environment than this one.
    """
    try:
        lock = regular_file.read_text(layout.lock, "replace")
    except OSError:
        return ""
    return _in_this_environment(lock) if versions is None else _lock_installed(lock, versions)


@lru_cache(maxsize=8)
def _in_this_environment(lock: str) -> str:
    return _lock_installed(lock, None)


def _lock_installed(lock: str, versions: Mapping[str, str] | None) -> str:
    pins = parse_lock(lock)
    others = [f"{name} {version}, locked {pins[name]}" for name, version in find_other_versions(pins, versions).items()]
    more = f"; {len(others) - MOST_PACKAGES} more" if len(others) > MOST_PACKAGES else ""
    if others:
        return "; ".join(others[:MOST_PACKAGES]) + more
    unread = find_unread_lines(lock)
    if not unread:
        return "true"
    # An address may hold a token, so no line is shown.
    return f"{NOT_KNOWN}{len(unread)} of its lines pin{'s' * (len(unread) == 1)} no version"


def owner_tags() -> dict[str, str]:
    """Return tags that name this process as a run's owner, so that runs left behind can be recognised."""
    return {
        Tag.OWNER_HOST: process_identity.machine(),
        Tag.OWNER_PID: str(os.getpid()),
        Tag.OWNER_STARTED: process_identity.birth(),
    }


def source_tags(notebook: str, state: Git | None, lock: str) -> dict[str, str]:
    """Return tags for source, user, host, code and environment (`lock_sha256`) of a run."""
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        Tag.NOTEBOOK: notebook,
        Tag.HOST: socket.gethostname(),
        Tag.VERSION: __version__,
        Tag.LOCK_SHA256: lock,
    }
    if state is not None:
        tags |= {
            "mlflow.source.git.commit": state.commit,
            "mlflow.source.git.branch": state.branch,
            Tag.GIT_DIRTY: str(state.dirty).lower(),
        }
    return {key: value for key, value in tags.items() if value}


def _git(root: Path, *arguments: str) -> tuple[str | None, str]:
    """Return git's output, None when it fails, and its error output."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            env=git_environment(root),
            check=False,
        )
    except FileNotFoundError:
        return None, "git is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return (done.stdout if done.returncode == 0 else None), done.stderr


def _user() -> str:
    if submitter := _submitter().get("user"):
        return str(submitter)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
