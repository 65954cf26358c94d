"""The project as one archive, with all that the workers of a cluster need to run its notebook."""

from __future__ import annotations

import io
import os
import subprocess
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.datasets import version_lookup
from notebooks_lib.git_repository import git_environment
from notebooks_lib.kernels import preferences
from notebooks_lib.notebooks import project_modules
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import executors
from notebooks_lib.sweeps.dask import preflight
from notebooks_lib.sweeps.dask.preflight import WorkerRequirements
from notebooks_lib.tags import ENV_NAMES, Env
from notebooks_lib.tracking import provenance
from notebooks_lib.tracking.owned_run import RunStart
from notebooks_lib.tracking.store import Store

LIMIT = 200 * 2**20
"""Most bytes before compression."""
LEFT_OUT = {".git", ".nbops", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints", "mlruns"}
_LARGEST = 3
_STAMP = (1980, 1, 1, 0, 0, 0)


def pack_project(notebook: Notebook, settings: Settings, *, limit: int = LIMIT) -> bytes:
    """Pack what git tracks or would track, the notebook, its modules, settings, lock file and versioned datasets.

    Without git, pack every file except environments, caches and runs. The same files give the same bytes. Raise
    UsageError when the files are too large, or when the notebook lies outside the project.
    """
    root = settings.root.resolve()
    if not notebook.path.resolve().is_relative_to(root):
        raise errors.UsageError(
            f"{notebook.path} lies outside the project {root}, and a cluster is sent the project alone: move it there"
        )
    try:
        return _pack(root, sorted(_paths(notebook, settings, root)), limit)
    except OSError as error:
        raise errors.UsageError(f"a file of the project cannot be sent to the cluster: {error}") from error


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack the files into a new folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        for entry in file.infolist():
            path = Path(file.extract(entry, folder))
            path.chmod(entry.external_attr >> 16)


def _pack(root: Path, paths: list[str], limit: int) -> bytes:
    sizes = {path: (root / path).stat().st_size for path in paths}
    total = sum(sizes.values())
    if total > limit:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:_LARGEST]
        named = ", ".join(f"{path} ({megabytes(sizes[path])})" for path in largest)
        raise errors.UsageError(
            f"the files of {root} are {megabytes(total)}, and a cluster is sent {megabytes(limit)} at most; "
            f"the largest: {named}; let git ignore what no trial reads, or keep it where every worker can read it"
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sizes:
            entry = zipfile.ZipInfo(path, _STAMP)
            entry.external_attr = (0o755 if os.access(root / path, os.X_OK) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (root / path).read_bytes())
    return packed.getvalue()


def _paths(notebook: Notebook, settings: Settings, root: Path) -> Iterator[str]:
    """Yield the paths of existing files, relative to the root."""
    tracked = _git_files(root)
    paths = set(_walk(root) if tracked is None else tracked)
    ours = [notebook.path.resolve(), settings.layout.settings_file, settings.layout.lock, root / "pyproject.toml"]
    paths |= {path.resolve().relative_to(root).as_posix() for path in ours if path.resolve().is_relative_to(root)}
    paths |= {path for path, _ in project_modules.find_modules(notebook, root)}
    data = _data_folder(settings)
    if data is not None and data.is_relative_to(root) and data != root:  # git may ignore the data folder
        paths |= {f"{data.relative_to(root).as_posix()}/{path}" for path in _walk(data)}
    for path in paths:
        unnameable = path.encode("utf-8", "ignore").decode() != path  # an archive cannot hold such a name
        if not unnameable and not LEFT_OUT.intersection(Path(path).parts) and (root / path).is_file():
            yield path


def _data_folder(settings: Settings) -> Path | None:
    """Return the folder of datasets that a worker needs; None where it reads them from their store."""
    folder = version_lookup.project_store(settings).folder
    return None if folder is None else folder.resolve()


def _git_files(root: Path) -> list[str] | None:
    """Return the files that git lists; None outside a repository or without git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    try:
        done = subprocess.run(command, capture_output=True, env=git_environment(root), timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [os.fsdecode(path) for path in done.stdout.split(b"\0") if path] if done.returncode == 0 else None


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        here = Path(place).relative_to(folder)
        yield from ((here / name).as_posix() for name in files)


def megabytes(size: int) -> str:
    """Format a number of bytes for display."""
    mb = size / 2**20
    return f"{mb:.0f} MB" if mb >= 10 else f"{mb:.1f} MB" if mb >= 0.1 else f"{size / 2**10:.1f} kB"


@dataclass(frozen=True)
class ProjectBundle:
    """The packed project, which all trials of a session share. Each worker gets it once."""

    session: str
    settings: Settings
    """The settings of the machine that starts the sweep."""
    requirements: WorkerRequirements
    archive: bytes = field(repr=False)
    """The files of the project."""
    import_history: bytes = field(repr=False)
    """The import history of the project's warm kernels."""
    environment: Mapping[str, str]
    """Environment variables for the kernels."""
    user: str


def make_bundle(source: NotebookPlanner, start: RunStart, store: Store) -> ProjectBundle:
    """Return the bundle that workers need for one session of a sweep."""
    settings = source.settings
    source.freeze()
    archive = pack_project(source.notebook, settings)
    environment = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith("NBOPS_") and name not in ENV_NAMES) or name in executors.THREAD_VARIABLES
    }
    data = _data_folder(settings)
    if data is not None and not data.is_relative_to(settings.root.resolve()):  # workers must have it at the same path
        environment["NBOPS_DATA_FOLDER"] = str(data)
    history = Path(
        preferences.read_preferences(str(settings.root), {**os.environ, Env.ROOT: str(settings.root)}).memory
    )
    experiment_id = start.experiment_id or store.experiment_id(start.experiment)
    return ProjectBundle(
        session=uuid.uuid4().hex[:12],
        settings=settings,
        requirements=preflight.worker_requirements(settings, store, experiment_id, source.schema.secrets.values()),
        archive=archive,
        import_history=history.read_bytes() if history.is_file() else b"",
        environment=environment,
        user=provenance.source_tags("", None, "")["mlflow.user"],
    )
