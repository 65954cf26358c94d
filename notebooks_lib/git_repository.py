"""Reads a git repository: commits, files at them, notebooks that changed. It writes nothing and runs only git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from notebooks_lib import errors

LINK_MODE = "120000"
FETCH_ALL = "git fetch --unshallow origin '+refs/heads/*:refs/remotes/origin/*'"
"""Mends a clone that has a part of the history only, also one that knows a single branch, as CI makes them."""
FETCH_CONTENT = "git fetch --refetch --no-filter origin"
"""Mends a partial clone, which lacks the content of files; without `--no-filter`, git leaves it out again."""
GIT_SECONDS = 300.0
"""Seconds that git may take: in a partial clone it fetches what it lacks."""
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
_SLOW = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}
"""git gives up a fetch that gets fewer bytes a second than that, for so many seconds."""
_TWO_FILES = "compare two files: nbops diff A.ipynb B.ipynb"
_STATES = {"A": "added", "D": "deleted", "M": "modified", "R": "renamed", "T": "modified", "U": "unmerged"}
FileState = Literal["added", "deleted", "modified", "renamed", "unmerged", "untracked"]


@dataclass(frozen=True)
class FileVersion:
    """A file at a commit or in the work tree."""

    path: str
    """From the repository's root, with slashes."""
    mode: str
    blob: str
    """The object's name; empty in the work tree."""

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == LINK_MODE


@dataclass(frozen=True)
class ChangedFile:
    """A file that differs between two commits, or a commit and the work tree."""

    state: FileState
    base: FileVersion | None
    head: FileVersion | None

    @property
    def versions(self) -> tuple[FileVersion, ...]:
        """The versions of the file that exist: old, new, or both."""
        return tuple(version for version in (self.base, self.head) if version)


@dataclass(frozen=True)
class GitRepository:
    """A repository with a work tree."""

    root: Path

    @classmethod
    def find(cls, folder: Path) -> GitRepository:
        """Return the repository that contains a folder.

        Raises UsageError when there is none, or git is not installed.
        """
        top = _git(folder, "rev-parse", "--show-toplevel")
        return cls(Path(os.fsdecode(top.removesuffix(b"\n"))))

    def has(self, revision: str) -> bool:
        """Return whether a revision names a commit of this repository."""
        return self._commit(revision) is not None

    def commit(self, revision: str) -> str:
        """Return the commit that a revision names. Raises UsageError when there is no such commit here."""
        commit = self._commit(revision)
        if commit is None:
            raise errors.UsageError(self._unknown(revision))
        return commit

    def merge_base(self, revision: str, other: str) -> str:
        """Return the newest common ancestor of two revisions. Raises UsageError when there is none."""
        commits = self.commit(revision), self.commit(other)
        try:
            return _git(self.root, "merge-base", *commits).decode().strip()
        except errors.UsageError as error:
            mend = f": this clone is shallow, get the rest with {FETCH_ALL}" if self.is_shallow() else ""
            raise errors.UsageError(f"{revision} and {other} share no history{mend}") from error

    def default_branch(self) -> str:
        """Return the branch that pull requests go to: the remote's default branch, else main or master.

        It is never a tag of that name: git would take the tag, and fetching another's branch may bring one. Raises
        UsageError when there is none of these, or no commit yet.
        """
        remote = [f"refs/remotes/origin/{name}" for name in ("HEAD", "main", "master")]
        for name in (*remote, "refs/heads/main", "refs/heads/master"):
            if self.has(name):
                short = _git(self.root, "rev-parse", "--abbrev-ref=strict", name)  # where a tag has it, a longer one
                return short.decode("utf-8", "replace").strip() or name
        self.commit("HEAD")
        raise errors.UsageError("no default branch is known here (origin/HEAD, main, master): name the base")

    def branch(self) -> str:
        """Return the branch that is checked out; empty for a commit without one."""
        try:
            return _git(self.root, "symbolic-ref", "--quiet", "--short", "HEAD").decode("utf-8", "replace").strip()
        except errors.UsageError:
            return ""

    def has_remotes(self) -> bool:
        """Return whether the repository has a remote, whatever was fetched from it."""
        return bool(_git(self.root, "remote").strip())

    def is_shallow(self) -> bool:
        """Return whether the clone holds only a part of the history."""
        return _git(self.root, "rev-parse", "--is-shallow-repository").strip() == b"true"

    def holds(self, path: Path) -> bool:
        """Return whether a path lies under the repository's root. For a link, its own path counts, not its target's."""
        return (path.parent.resolve() / path.name).is_relative_to(self.root.resolve())

    def inside(self, path: Path) -> str:
        """Return a path relative to the repository's root. Raises UsageError for a path outside of it."""
        if not self.holds(path):
            raise errors.UsageError(f"{path} is outside the repository {self.root}: name a second file to compare with")
        return (path.parent.resolve() / path.name).relative_to(self.root.resolve()).as_posix()

    def find_file(self, revision: str, path: str) -> FileVersion:
        """Return the version of a file at a revision. Raises UsageError when the revision has no such file."""
        commit = self.commit(revision)
        entry = _git(self.root, "ls-tree", "-z", "--full-tree", commit, "--", f":(literal){path}")
        mode, _, rest = entry.rstrip(b"\0").decode("utf-8", "surrogateescape").partition(" ")
        kind, _, rest = rest.partition(" ")
        if kind != "blob":
            listed = _git(self.root, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split(b"\0")
            notebooks = [name.decode("utf-8", "surrogateescape") for name in listed if name.endswith(b".ipynb")]
            raise errors.UsageError(f"{revision}: {errors.unknown('notebook', path, notebooks)}")
        return FileVersion(path, mode, rest.partition("\t")[0])

    def changed_files(self, base: str, head: str | None, pattern: str) -> list[ChangedFile]:
        """Return the files that match `pattern` and differ between two revisions. A `head` of None is the work tree.

        A submodule differs also where only its own work tree has changes, whatever .gitmodules says.
        """
        commits = [self.commit(base), *([] if head is None else [self.commit(head)])]
        options = ("--raw", "-z", "--no-abbrev", "--no-ext-diff", "--no-textconv", "--ignore-submodules=untracked")
        files = (*commits, "--", f":(top,glob){pattern}")
        try:
            raw = _git(self.root, "diff", *options, "--find-renames", *files)
        except errors.UsageError:  # a clone that lacks content cannot say what is like what
            raw = _git(self.root, "diff", *options, "--find-renames=100%", *files)
        changed = _changed(raw.decode("utf-8", "surrogateescape").split("\0"))
        return [file if head or not file.head else replace(file, head=replace(file.head, blob="")) for file in changed]

    def tracked_files(self, pattern: str, *, attribute: str = "") -> list[str]:
        """Return the files that match `pattern` and are in git's index, even if the work tree lacks them.

        `attribute` selects those that have it in .gitattributes, such as "filter=lfs".
        """
        magic = f"top,glob,attr:{attribute}" if attribute else "top,glob"
        names = _git(self.root, "ls-files", "--full-name", "-z", "--", f":({magic}){pattern}").split(b"\0")
        return sorted({name.decode("utf-8", "surrogateescape") for name in names if name})

    def tracks(self, path: Path, *, beginning: bool = False) -> bool:
        """Return whether git's index holds a path, something below it, or a link by which it is reached.

        With `beginning`, files beside it whose names begin with its name count, too. Upper case does not matter,
        because it does not on every disk. Nothing outside the repository is tracked.
        """
        end = "" if beginning else "/"
        root = self.root.resolve()
        places = {path.absolute(), path.resolve()}  # a link may be tracked, or what it leads to
        names = {place.relative_to(root).as_posix().casefold() for place in places if place.is_relative_to(root)}
        tracked = [name.casefold() for name in self.tracked_files("**")]
        return any(
            f"{path}/".startswith(f"{name}{end}") or f"{name}/".startswith(f"{path}/")
            for name in names
            for path in tracked
        )

    def untracked_files(self, pattern: str) -> list[str]:
        """Return the files that match `pattern` and are neither in git's index nor ignored."""
        options = ("--others", "--exclude-standard", "--full-name", "-z")
        names = _git(self.root, "ls-files", *options, "--", f":(top,glob){pattern}").split(b"\0")
        return sorted(name.decode("utf-8", "surrogateescape") for name in names if name)

    def ignores(self, path: Path) -> bool:
        """Return whether git leaves an untracked file or folder out, so that `git add .` does not add it."""
        place = self.inside(path)
        command = ("ls-files", "--others", "--ignored", "--exclude-standard", "-z")
        return bool(_git(self.root, *command, "--", f":(top,literal){place}"))

    def blobs(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the content of the git objects `names`, or None for one that this clone lacks.

        A single git process reads them all; another one goes on where it ends, because it cannot fetch what it lacks.
        """
        rest, ended = iter(names), False
        while not ended:
            ended = yield from self._blobs_of_one_process(rest)

    def _blobs_of_one_process(self, names: Iterator[str]) -> Generator[bytes | None, None, bool]:
        """Yield contents; return whether all names are read."""
        command = ["git", "-C", str(self.root), "cat-file", "--batch"]
        pipe, silent = subprocess.PIPE, subprocess.DEVNULL
        environment = git_environment(self.root)
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silent, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for name in names:
                process.stdin.write(name.encode() + b"\n")
                process.stdin.flush()
                header = process.stdout.readline().split()
                yield process.stdout.read(int(header[2]) + 1)[:-1] if len(header) == 3 else None
                if not header:
                    return False
        return True

    def why_missing(self, blob: str) -> str:
        """Return why the content of a git object is not in this clone, with the command that gets it, in one line."""
        try:
            _git(self.root, "cat-file", "blob", blob)
        except errors.UsageError as error:
            return f"its content is not in this clone ({error}); `{FETCH_CONTENT}` gets it"
        return "its content was not in this clone: try again"

    def missing_files(self, commit: str) -> list[str]:
        """Return the files of a commit whose content this clone lacks. Nothing is fetched."""
        options = ("--no-walk", "--objects", "--missing=print")
        objects = _git(self.root, "rev-list", *options, commit).decode("utf-8", "surrogateescape").splitlines()
        missing = {name.removeprefix("?") for name in objects if name.startswith("?")}
        return [path for path, blob in self.files(commit).items() if blob in missing] if missing else []

    def files(self, commit: str) -> dict[str, str]:
        """Return the files of a commit: path -> the object's name."""
        return {path: name for path, (_, name) in self._entries(commit).items()}

    def submodules(self, commit: str) -> dict[str, str]:
        """Return the submodules of a commit: path -> their own commit."""
        return {path: name for path, (kind, name) in self._entries(commit).items() if kind == "commit"}

    def _entries(self, commit: str) -> dict[str, tuple[str, str]]:
        entries = _git(self.root, "ls-tree", "-r", "-z", "--full-tree", commit).decode("utf-8", "surrogateescape")
        pairs = (entry.partition("\t") for entry in entries.split("\0") if entry)
        return {path: (about.split()[1], about.split()[2]) for about, _, path in pairs}

    def _commit(self, revision: str) -> str | None:
        if not revision or "\0" in revision:
            return None
        try:
            name = _git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        except errors.UsageError:
            return None
        return name.decode().strip()

    def _unknown(self, revision: str) -> str:
        if revision == "HEAD":
            return f"{self.root} has no commit yet: nothing to compare with"
        if self.is_shallow():
            return f"unknown revision {revision!r}: this clone is shallow, get the rest with {FETCH_ALL}"
        names = _git(self.root, "for-each-ref", "--format=%(refname:short)").decode("utf-8", "replace").splitlines()
        return errors.unknown("revision", revision, names) + "; git fetch gets what is new elsewhere"


def _changed(fields: Sequence[str]) -> Iterator[ChangedFile]:
    """Yield the files in the answer of `git diff --raw -z`: `:mode mode name name state`, a path, of a rename two."""
    rest = iter(fields)
    for field in rest:
        if not field:
            return
        mode, new_mode, blob, new_blob, letter = field.removeprefix(":").split(" ")
        path = next(rest)
        new_path = next(rest) if letter[0] in "RC" else path
        state: FileState = _STATES.get(letter[0], "modified")  # type: ignore[assignment]
        base = FileVersion(path, mode, blob) if mode != "000000" else None
        head = FileVersion(new_path, new_mode, new_blob) if new_mode != "000000" else None
        yield ChangedFile(state, base, head)


def in_repository(folder: Path) -> bool:
    """Return whether a folder lies in a git repository, as git finds it by itself. git is not started."""
    folder = folder.absolute()
    return any(os.path.lexists(place / ".git") for place in (folder, *folder.parents))


def git_environment(folder: Path) -> dict[str, str]:
    """Return the environment for a git that looks at `folder`: it asks nobody for a password, and takes no lock.

    In a hook, git names its own repository and index by variables. They must not lead to another index than that of
    `folder`, which a new work tree would overwrite.
    """
    left_out = _OF_HOOKS if in_repository(folder) else ()
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return inherited | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"} | _SLOW


def _git(folder: Path, *arguments: str, seconds: float = GIT_SECONDS) -> bytes:
    """Return git's output. Raises UsageError with git's reason, and if it takes longer than `seconds`."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "diff.relative=false", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=git_environment(folder),
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise errors.UsageError(f"git is not installed: install it, or {_TWO_FILES}") from error
    except subprocess.TimeoutExpired as error:
        step = "a clone that lacks content fetches it: look whether its remote answers"
        raise errors.UsageError(f"git {arguments[0]}: it takes longer than {seconds:g} s; {step}") from error
    if done.returncode == 0:
        return done.stdout
    reason = next((line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()), "no answer")
    reason = reason.removeprefix("fatal: ")
    if "not a git repository" in reason:
        raise errors.UsageError(f"{folder.absolute()} is not in a git repository: go into one, or {_TWO_FILES}")
    if "dubious ownership" in reason:
        reason += f"; if you trust its owner: git config --global --add safe.directory {folder.absolute()}"
    raise errors.UsageError(f"git {arguments[0]}: {reason}")
