"""The base of a review on disk: a git worktree in a scratch folder, there as long as it is looked at."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from notebooks_lib import process_identity
from notebooks_lib.errors import NbopsError, UsageError
from notebooks_lib.git_repository import FETCH_CONTENT, GitRepository, git_environment

PREFIX = "nbops-review-"
"""What the name of a scratch folder begins with; the number of its process follows."""
_OWNER = "owner"
_TREE = "base"
_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")
"""A review must not run the hooks of the repository."""


_NO_LFS = ("-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false")
"""Files of Git LFS stay pointers."""
_FETCH_LFS = "git lfs fetch --all"
_FETCH_SUBMODULES = "git submodule foreach git fetch"

OnMissing = Callable[[Sequence[str], str], None]
"""Takes the files that this clone lacks, and git's reason with the command that gets them."""


@contextmanager
def check_out(
    repository: GitRepository, commit: str, on_missing: OnMissing = lambda files, reason: None
) -> Iterator[Path]:
    """Yield the root of a work tree that holds `commit`. It is always removed afterwards, also on Ctrl-C and SIGTERM.

    Work trees that killed reviews left behind are removed first. Files whose content this clone lacks are left out, or
    are pointers of Git LFS, and `on_missing` gets them. Raises NbopsError when git cannot write the work tree.
    """
    remove_left_behind(repository)
    with interrupted_by_signals():
        scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
        try:
            (scratch / _OWNER).write_text(process_identity.birth())
            missing: list[str] = []
            reasons: list[str] = []
            if problem := _git(repository, *_add(scratch / _TREE, commit)):
                missing, mend = _write_what_is_here(repository, commit, scratch / _TREE, problem)
                if not missing:
                    raise NbopsError(f"commit {commit[:8]} cannot be checked out: {problem}")
                reasons.append(f"{problem}; `{mend}` gets them")
            if absent := _write_submodules(repository, commit, scratch):
                missing = [*missing, *absent]
                reasons.append(f"the commits of submodules are not here; `{_FETCH_SUBMODULES}` gets them")
            if missing:
                on_missing(missing, "; ".join(reasons))
            yield scratch / _TREE
        finally:
            _remove(repository, scratch)


def _add(tree: Path, commit: str, *options: str) -> tuple[str, ...]:
    return (*_NO_HOOKS, "worktree", "add", "--quiet", "--detach", *options, str(tree), commit)


def _write_what_is_here(repository: GitRepository, commit: str, tree: Path, problem: str) -> tuple[list[str], str]:
    """Write the files that this clone has; return the others, and the command that gets them.

    Without any, what went wrong is something else, and nothing is written.
    """
    if " lfs " in problem and not _git(repository, *_NO_LFS, *_add(tree, commit)):
        return GitRepository(tree).tracked_files("**", attribute="filter=lfs"), _FETCH_LFS
    try:
        missing = repository.missing_files(commit)
        here = sorted({*repository.files(commit)} - {*missing})
    except UsageError:
        return [], ""
    if not missing or _git(repository, *_add(tree, commit, "--no-checkout")):
        return [], ""
    inside = GitRepository(tree)
    names = "\0".join(here).encode("utf-8", "surrogateescape")
    failed = _git(inside, "read-tree", commit) or _git(inside, *_NO_LFS, "checkout-index", "-z", "--stdin", stdin=names)
    return ([] if failed else missing), FETCH_CONTENT


def _write_submodules(repository: GitRepository, commit: str, scratch: Path) -> list[str]:
    """Write the submodules that are checked out here, as they were at `commit`; return those that cannot be written.

    Their own submodules are left out.
    """
    index = {"GIT_INDEX_FILE": str(scratch / "index")}
    absent = []
    for path, inner_commit in repository.submodules(commit).items():
        submodule, place = GitRepository(repository.root / path), f"{scratch / _TREE / path}{os.sep}"
        if not (submodule.root / ".git").exists():  # neither has it the head
            continue
        if _git(submodule, "read-tree", inner_commit, environment=index) or _git(
            submodule, *_NO_LFS, "checkout-index", "--all", "--quiet", f"--prefix={place}", environment=index
        ):
            absent.append(path)
    return absent


def remove_left_behind(repository: GitRepository) -> None:
    """Remove the scratch folders of killed reviews of this repository. Those of running reviews are left alone."""
    scratch_folders = Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*")
    folders = {tree.parent for tree in _worktrees(repository) if tree.name == _TREE}
    folders |= {folder for folder in scratch_folders if not _holds_tree(folder)}
    for folder in folders:
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if folder.name.startswith(PREFIX) and pid.isdecimal() and not process_identity.alive(int(pid), _birth(folder)):
            _remove(repository, folder)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM and SIGHUP within the block, as at Ctrl-C, so that it can clean up."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []
    before = {number: signal.signal(number, interrupt) for number in (getattr(signal, name) for name in names)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _holds_tree(folder: Path) -> bool:
    """Return whether a scratch folder holds a work tree: then its own repository knows it, which may be another."""
    return (folder / _TREE).exists()


def _birth(folder: Path) -> str:
    try:
        return (folder / _OWNER).read_text()
    except OSError:
        return ""


def _worktrees(repository: GitRepository) -> list[Path]:
    command = ["git", "-C", str(repository.root), "worktree", "list", "--porcelain", "-z"]
    done = subprocess.run(command, capture_output=True, env=git_environment(repository.root), check=False)
    fields = done.stdout.split(b"\0")
    return [Path(os.fsdecode(field.removeprefix(b"worktree "))) for field in fields if field.startswith(b"worktree ")]


def _remove(repository: GitRepository, scratch: Path) -> None:
    _git(repository, "worktree", "remove", "--force", str(scratch / _TREE))  # git forgets a folder that is gone, too
    with suppress(OSError):
        shutil.rmtree(scratch)


def _git(
    repository: GitRepository, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> str:
    """Run git; return the last line of what went wrong, empty if nothing did."""
    command = ["git", "-C", str(repository.root), *arguments]
    environment = {**git_environment(repository.root), **(environment or {})}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    ended = f"git ended with {done.returncode}"  # below zero: it was killed by a signal
    return (lines or [ended])[-1].removeprefix("fatal: ") if done.returncode else ""
