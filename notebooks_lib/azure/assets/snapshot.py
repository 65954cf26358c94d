"""The files that a job works in: those of the project that git tracks, as they are now, and nbops itself as a wheel.

A snapshot is named by its content. .amlignore is obeyed. What git tracks and is not sent all the same is named.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import shlex
import subprocess
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import notebooks_lib
from notebooks_lib import errors, regular_file, secret_forms
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.git_repository import git_environment, in_repository

LIMIT_MB = 100
"""Megabytes of a snapshot, unless the settings say otherwise."""
FOLDER = ".nbops-job"
"""What nbops adds lies here."""
DATA = "data"
"""The folder of datasets, unless the settings say otherwise."""
UNCOMMITTED = f"{FOLDER}/uncommitted.diff"
"""What is not committed of the files that are sent, which git in the job could not tell."""
IGNORE_FILE = ".amlignore"
_NEVER_SENT = {".git", ".nbops", ".venv", FOLDER}
"""Folders of which nothing is sent, even if git tracks it."""
_NOT_SOURCE = _NEVER_SENT | {"venv", "node_modules", "__pycache__", ".ipynb_checkpoints", "mlruns"}
"""Folders of environments, caches and runs: of these, only what git tracks is sent."""
_LARGEST = _MOST_NAMED = 5
_GIT_SECONDS = 60
_LONGEST_DIFF = 1_000_000
"""Bytes that are kept of what is not committed."""
_PATHS_PER_CALL = 500
_LARGEST_TEXT = 2**20
"""Bytes up to which a file is searched for secrets."""
_IN_REPOSITORY = {"notebooks_lib/serving/score.py": "production/scoring/score.py"}
"""What a built wheel has in the package, and where it stands for an nbops that runs from its repository."""
_STAMP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Snapshot:
    """The files by their path in the job's folder."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()
    """What is not among them, with the reason."""
    untracked: tuple[str, ...] = ()
    """Files that git neither tracks nor ignores, or that look risky outside a repository. None is among `files`."""

    def notices(self) -> Iterator[str]:
        """Yield a line for the user about what is not sent, and why."""
        yield from (f"not sent: {path}" for path in self.left_out)
        if new := self.untracked:
            more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
            named = ", ".join(new[:_MOST_NAMED])
            yield f"not sent, as git does not track them: {named}{more} (`git add` sends them)"

    @cached_property
    def sha256(self) -> str:
        """The digest of names and contents: the same files have the same."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(f"{path}\0{file_upload.sha256(self.files[path])}\n".encode())
        return digest.hexdigest()


def take_snapshot(
    root: Path, *, always: Iterable[Path] = (), uncommitted: bool = False, limit_mb: float = LIMIT_MB
) -> Snapshot:
    """Return the snapshot of a project: all files that git tracks.

    Outside a repository, all but environments, runs, datasets, hidden files and files with secrets.

    `always` are files that are in it even if git does not track them or .amlignore leaves them out. With `uncommitted`,
    it also holds what the last commit does not have of these files.

    Raises UsageError, with the largest files, when they are larger than the limit; for a file of `always` that cannot
    be sent; and when git does not tell what it tracks or what .amlignore names: what is secret could be sent.
    """
    root = root.resolve()
    paths: dict[str, Path] = {}
    left_out: dict[str, None] = {}
    needed = {_inside(path, root) for path in always}
    ignored = _amlignored(root)
    tracked, untracked = (set(listed) - ignored for listed in project_files(root))
    for path in sorted(tracked | needed):
        file = (root / path).resolve()
        if reason := _cannot_be_sent(path):
            if path in needed:
                raise errors.UsageError(f"the job needs {path}, but {reason}: move or rename it")
            left_out[reason] = None
        elif not file.is_relative_to(root):
            left_out[f"{path} leads outside the project"] = None
        elif file.is_dir():
            left_out[f"{path} is a link to a folder, or a repository of its own"] = None
        elif (target := file.relative_to(root).as_posix()) != path and target not in tracked | needed:
            left_out[f"{path} links to {target}, which is not sent"] = None
        elif file.is_file():
            paths[path] = file
    try:
        _refuse_large(root, paths, limit_mb)
        # Read once: a file that changes between its digest and its upload would stand under a wrong name for ever.
        files = {path: file.read_bytes() for path, file in paths.items()}
    except OSError as error:
        raise errors.UsageError(f"a file of the project cannot be sent: {error}") from error
    files[wheel_path()] = nbops_wheel()
    if uncommitted and (diff := _uncommitted(root, paths.keys(), needed)):
        files[UNCOMMITTED] = diff
    new = (path for path in untracked - needed if not _NOT_SOURCE.intersection(Path(path).parts))
    return Snapshot(files, tuple(left_out), tuple(sorted(new)))


def _cannot_be_sent(path: str) -> str:
    """Return why a file is never sent, even if git tracks it; empty if it can be. A folder has one reason."""
    parts = Path(path).parts
    for depth, name in enumerate(parts):
        if name in _NEVER_SENT:
            return f"{'/'.join(parts[: depth + 1])} is never sent, even if git tracks it"
    return f"{path} has a name that is not UTF-8" if path.encode("utf-8", "ignore").decode() != path else ""


def _uncommitted(root: Path, sent: Collection[str], needed: Iterable[str]) -> bytes:
    """Return what the last commit does not have of the files that are sent, as `git diff` shows it.

    Those that git does not track, which are among the needed ones, are named.
    """
    purpose = f"git does not tell what of {root} is not committed"
    listing = ("ls-files", "-z", "--others", "--exclude-standard", "--full-name", "--")
    new = _git_names(root, purpose, "--literal-pathspecs", *listing, *paths) if (paths := sorted(needed)) else []
    text = b"".join(b"# untracked: %s\n" % os.fsencode(name) for name in new)
    names = _git_names(root, purpose, "diff", "HEAD", "--name-only", "-z", "--no-renames", "--relative")
    changed = [name for name in names if name in sent]
    for start in range(0, len(changed), _PATHS_PER_CALL):
        few = changed[start : start + _PATHS_PER_CALL]
        options = ("HEAD", "--no-ext-diff", "--no-color", "--no-renames", "--", *few)
        text += _git(root, purpose, "--literal-pathspecs", "diff", *options)
    return text[:_LONGEST_DIFF].decode("utf-8", "replace").encode()


def wheel_path() -> str:
    """Return where the wheel of nbops lies in a snapshot."""
    return f"{FOLDER}/nbops-{notebooks_lib.__version__}-py3-none-any.whl"


def unpack_command() -> str:
    """Return the shell command by which a process in a snapshot finds nbops, in a folder of its own."""
    unpack = f"NBOPS=$(mktemp -d) && python -m zipfile -e {shlex.quote(wheel_path())} $NBOPS"
    return f"{unpack} && export PYTHONPATH=$NBOPS${{PYTHONPATH:+:$PYTHONPATH}}"


def nbops_wheel() -> bytes:
    """Return a wheel of the nbops that runs here, entry points included.

    The same nbops gives the same bytes. Raises UsageError for an nbops that is not installed.
    """
    package = Path(notebooks_lib.__file__).parent
    try:
        distribution = importlib.metadata.distribution("nbops")
    except importlib.metadata.PackageNotFoundError:
        raise errors.UsageError(
            f"nbops runs from {package} without being installed, so a job would not find its kernels: pip install it"
        ) from None
    info = f"nbops-{notebooks_lib.__version__}.dist-info"
    contents = package_files("*")
    for path in _IN_REPOSITORY.keys() - contents.keys():
        contents[path] = (package.parent / _IN_REPOSITORY[path]).read_bytes()
    for name in ("METADATA", "entry_points.txt", "WHEEL"):
        if text := distribution.read_text(name):
            contents[f"{info}/{name}"] = text.encode()
    return zipped(contents)


def package_files(pattern: str) -> dict[str, bytes]:
    """Return the files of the nbops that runs here whose names fit the pattern, by their path in an archive."""
    package = Path(notebooks_lib.__file__).parent
    return {
        f"{package.name}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
    }


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of these files, by path. The same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in contents:
            entry = zipfile.ZipInfo(path, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[path])
    return packed.getvalue()


def _inside(path: Path, root: Path) -> str:
    resolved = path.parent.resolve() / path.name
    if not resolved.is_relative_to(root):
        raise errors.UsageError(f"{path} lies outside the project {root}, and a job gets the project alone: move it")
    return resolved.relative_to(root).as_posix()


def _refuse_large(root: Path, paths: Mapping[str, Path], limit_mb: float) -> None:
    sizes = {path: file_upload.size(file) for path, file in paths.items()}
    total = sum(sizes.values())
    if total > limit_mb * 2**20:
        largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:_LARGEST]
        named = ", ".join(f"{path} ({_megabytes(sizes[path])})" for path in largest)
        raise errors.UsageError(
            f"the files of {root} are {_megabytes(total)}, and a job is sent {limit_mb:g} MB at most; the largest:"
            f" {named}; name what no notebook reads in {IGNORE_FILE}, or set snapshot_mb under [azure]"
        )


def _megabytes(size: int) -> str:
    mb = size / 2**20
    return f"{mb:.0f} MB" if mb >= 10 else f"{mb:.1f} MB"


def project_files(root: Path) -> tuple[list[str], list[str]]:
    """Return what git tracks, and what it neither tracks nor ignores.

    Outside a repository, where nobody has said what may be sent: the files that look harmless, and all others, which
    are hidden, lie in the folder of datasets or hold what has the form of a secret.
    """
    if "GIT_DIR" not in os.environ and not in_repository(root):
        files = list(_walk(root))
        risky = [path for path in files if _is_risky(root, path)]
        return [path for path in files if path not in set(risky)], risky
    purpose = f"git does not tell which files of {root} are to be sent"
    tracked = _git_names(root, purpose, "ls-files", "-z", "--cached", "--deduplicate")
    return tracked, _git_names(root, purpose, "ls-files", "-z", "--others", "--exclude-standard")


def _amlignored(root: Path) -> set[str]:
    """Return the files that .amlignore names. git reads it, as it has the form of a .gitignore."""
    ignore = root / IGNORE_FILE
    if not ignore.is_file():
        return set()
    purpose = f"{ignore} cannot be obeyed, which needs git: install or mend git, or remove the file"
    with tempfile.TemporaryDirectory() as scratch:  # an empty repository, to which every file is a new one
        _git(root, purpose, "init", "--quiet", "--bare", scratch)
        listing = ("ls-files", "-z", "--others", "--ignored", f"--exclude-from={ignore}")
        return set(_git_names(root, purpose, f"--git-dir={scratch}", f"--work-tree={root}", *listing))


def _git_names(root: Path, purpose: str, *arguments: str) -> list[str]:
    """Return the names that git lists with -z. Raises UsageError as `_git` does."""
    return [os.fsdecode(path) for path in _git(root, purpose, *arguments).split(b"\0") if path]


def _git(root: Path, purpose: str, *arguments: str, seconds: float = _GIT_SECONDS) -> bytes:
    """Return what git prints. Raises UsageError, with `purpose` and git's reason, if it fails."""
    command = ["git", "-C", str(root), *arguments]
    try:
        environment = git_environment(root)
        done = subprocess.run(command, capture_output=True, env=environment, timeout=seconds, check=False)
    except OSError as error:
        raise errors.UsageError(f"{purpose} (git cannot be started: {error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise errors.UsageError(f"{purpose} (git takes longer than {seconds:g} s)") from error
    if done.returncode != 0:
        lines = filter(None, map(str.strip, done.stderr.decode("utf-8", "replace").splitlines()))
        raise errors.UsageError(f"{purpose} ({'; '.join(lines) or f'git ends with {done.returncode}'})")
    return done.stdout


def _is_risky(root: Path, path: str) -> bool:
    """Return whether a file is better not sent unless somebody has said so."""
    parts = Path(path).parts
    if path == IGNORE_FILE or parts[0] == DATA or any(part.startswith(".") for part in parts):
        return path != IGNORE_FILE
    try:
        if (root / path).stat().st_size > _LARGEST_TEXT:
            return False
        return any(secret_forms.find_secrets(regular_file.read_text(root / path)))
    except (OSError, ValueError):  # no text
        return False


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_SOURCE]
        yield from ((Path(place) / name).relative_to(folder).as_posix() for name in files)
