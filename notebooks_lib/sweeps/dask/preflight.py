"""Check whether a worker runs a notebook as this machine would: same Python, packages, store and secrets."""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from notebooks_lib import errors, pinned_versions
from notebooks_lib.settings import Settings
from notebooks_lib.sweeps import trial_runner
from notebooks_lib.tracking import sqlite
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.store import Store

_ALWAYS = ("nbops", "distributed", "dask", "cloudpickle")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==")
_NAMED = 3


@dataclass(frozen=True)
class WorkerRequirements:
    """What a sweep requires of its workers: same Python, packages, store and secrets. Can be pickled."""

    python: str
    packages: Mapping[str, str]
    """Name -> version of every package in the lock file; without a lock file, of what nbops needs."""
    uri: str
    """The address of the store."""
    secrets: tuple[str, ...] = ()
    """Names of environment variables; their values are never sent."""
    host: str = ""
    files: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    """Path on `host` where runs or artifacts are kept -> the identity of that file, if it exists."""


def worker_requirements(
    settings: Settings, store: Store, experiment_id: str, secrets: Iterable[str]
) -> WorkerRequirements:
    """Return what the trials of this experiment require of a worker, as found on this machine."""
    path = _path(store.uri) or _path(str(store.client.get_experiment(experiment_id).artifact_location))
    files = {path: _identity(path)} if path else {}
    return WorkerRequirements(_python(), _packages(settings), store.uri, tuple(secrets), socket.gethostname(), files)


def worker_problems(required: WorkerRequirements, settings: Settings) -> Iterator[str]:
    """Yield why this process cannot be a worker, each problem with a remedy; `settings` are those of the worker."""
    if _python() != required.python:
        yield f"it has Python {_python()}, this machine {required.python}: use one version on both"
        return  # other packages follow from that
    other = [f"{name} {there or 'missing'}, here {here}" for name, here, there in _different(required.packages)]
    if other:
        more = f"; and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        yield f"it has other packages ({'; '.join(other[:_NAMED])}{more}): install the same requirements.lock there"
    unset = [name for name in required.secrets if name not in os.environ]
    if unset:
        yield f"it has no {', '.join(unset)}: secrets are not sent, set them where that worker starts"
    here = socket.gethostname()
    for path, identity in required.files.items():
        if here != required.host or (identity is not None and _identity(path) != identity):
            yield _not_shared(required, path, here)
            return
    yield from _store_problem(required, settings)


def _not_shared(required: WorkerRequirements, path: str, here: str) -> str:
    where = f"it runs on {here} and cannot share {path} of {required.host}"
    if _path(required.uri):
        return (
            f"{where}: a SQLite file and its locks are for one machine; start `mlflow server` where all reach it and "
            "name it in NBOPS_TRACKING_URI or [tracking] uri"
        )
    return (
        f"{where}, where artifacts are kept: let the server hand them over, as `mlflow server` does without "
        "--no-serve-artifacts, and take another experiment, for this one keeps its place"
    )


def _store_problem(required: WorkerRequirements, settings: Settings) -> Iterator[str]:
    try:
        uri = stores.tracking_uri(settings)
        if uri == required.uri:
            trial_runner.connect_once(settings).client.search_experiments(max_results=1)
        else:
            yield f"it was started with another store, {uri}: unset NBOPS_TRACKING_URI and MLFLOW_TRACKING_URI there"
    except Exception as error:  # noqa: BLE001  # a network, a sign-in, a plugin: told as it is
        yield f"it cannot reach {required.uri}: {errors.reason(error)}"


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _packages(settings: Settings) -> dict[str, str]:
    try:
        lines = settings.layout.lock.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    pinned = [match[1] for line in lines if (match := _PIN.match(line))]
    versions = {name: _version(name) for name in (*_ALWAYS, *(pinned or _needed()))}
    return {name: version for name, version in versions.items() if version}


def _different(packages: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield packages with another version here, and missing ones that nbops needs."""
    needed = {*_ALWAYS, *_needed()}
    for name, here in packages.items():
        there = _version(name)
        if there != here and (there or name in needed):
            yield name, here, there


def _needed() -> list[str]:
    return list(pinned_versions.pins())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _path(uri: str) -> str:
    """Return the path that a URI names on this machine; empty for any other place."""
    if sqlite.is_sqlite(uri):
        return str(sqlite.database_file(uri))
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme in ("", "file") else ""


def _identity(path: str) -> tuple[int, int] | None:
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
