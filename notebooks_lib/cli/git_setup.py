"""Let git handle notebooks: clean them when they are added, compare and merge them by cells.

Only the repository's own configuration is changed. `.gitattributes` says which files it is about. Where a program is
gone, git does what it does without us.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ATTRIBUTES = "*.ipynb filter=nbops diff=nbops merge=jupyternotebook"
"""The line in .gitattributes."""


def set_up(folder: Path) -> Iterator[str]:
    """Set filter, diff driver and merge driver in the git repository around a folder.

    Yields a line for each setting that changes, or a line that says why nothing was set.
    """
    try:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        yield "git: found none; notebooks are not cleaned by git"
        return
    if inside.stdout.strip() != "true":
        yield f"git: {folder} is no work tree; notebooks are not cleaned by git"
        return
    for key, value, effect in _settings():
        if _git(folder, "config", "--local", "--get", key).stdout.rstrip("\n") == value:
            continue
        done = _git(folder, "config", "--local", key, value)
        yield f"git config {key}: {effect}" if done.returncode == 0 else f"git config {key}: {done.stderr.strip()}"


def set_up_jupyter(folder: Path | None = None) -> Iterator[str]:
    """Let the Jupyter of this environment refresh git's index after each save.

    Yields a line if that was not yet set.
    """
    folder = folder or Path(sys.prefix) / "etc" / "jupyter"
    file = folder / "jupyter_server_config.d" / "nbops.json"
    content = json.dumps({"ServerApp": {"jpserver_extensions": {"notebooks_lib.jupyter_git_index": True}}})
    try:
        if file.is_file() and file.read_text("utf-8") == content:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    except OSError as error:
        yield f"{file}: cannot be written ({error.strerror or error}); `git status` lists notebooks that were run"
    else:
        yield f"{file}: saving a notebook that only ran leaves `git status` clean"


def _settings() -> Iterator[tuple[str, str, str]]:
    nbops = shlex.quote(str(Path(sys.executable).with_name("nbops")))
    nbdime = shlex.quote(str(Path(sys.executable).with_name("git-nbmergedriver")))
    # The content was read when a filter fails, so that `cat` comes in its place, never after it.
    yield (
        "filter.nbops.clean",
        f"if test -x {nbops}; then exec {nbops} clean -; else exec cat; fi",
        "outputs and noisy metadata stay out of commits",
    )
    yield "filter.nbops.required", "false", "`git add` works also without nbops, and then adds notebooks as they are"
    yield (
        "diff.nbops.textconv",
        f'f() {{ {nbops} diff --textconv "$1" 2>/dev/null || cat "$1"; }}; f',
        "`git diff` shows cells",
    )
    yield "merge.jupyternotebook.name", "nbdime", "named, as git wants it"
    yield (
        "merge.jupyternotebook.driver",
        f"if test -x {nbdime}; then exec {nbdime} merge %O %A %B %L %P; else exec git merge-file %A %O %B; fi",
        "`git merge` merges cells",
    )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
