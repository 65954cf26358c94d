"""What a run recorded: parameters, metrics, executed notebook, environment, time and memory of its cells."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors, regular_file
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.document import INJECTED_TAG, Notebook
from notebooks_lib.pinned_versions import parse_lock
from notebooks_lib.running.notebook_page import FOLDER
from notebooks_lib.running.prepared_notebook import ERROR_TAG, SECRETS_TAG
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.query import RunInfo
from notebooks_lib.tracking.store import Store, translate_store_errors

INSERTED = {INJECTED_TAG, SECRETS_TAG, ERROR_TAG}
"""Tags of cells that a runner adds."""
_PARAMETERS = "nbops/parameters.json"


@dataclass(frozen=True)
class CellCost:
    """Time and memory of one code cell."""

    seconds: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class RunRecord:
    """One run, with everything that it recorded. A field is empty if the run did not record it."""

    info: RunInfo
    parameters: Mapping[str, str]
    notebook: Notebook | None = None
    """The executed one, without the cells that the runner added."""
    costs: Mapping[int, CellCost] = dataclasses.field(default_factory=dict)
    """By index in that notebook."""
    packages: Mapping[str, str] | None = None
    """Name -> version of the environment; None where its lock is not to be had."""

    @property
    def lock(self) -> str:
        """The digest of the lock file of the run's environment."""
        return self.info.tags.get(Tag.LOCK_SHA256, "")


def read_run(store: Store, text: str) -> RunRecord:
    """Return a run of the store by its id or the beginning of it. Raises UsageError when no run has it."""
    info = query.get_run(store, query.whole_id(store, text))
    with tempfile.TemporaryDirectory() as scratch, translate_store_errors(store):
        listed = (store.client.list_artifacts(info.run_id, folder) for folder in ("nbops", FOLDER))
        artifacts = [entry.path for entries in listed for entry in entries]
        files = {
            path: Path(store.client.download_artifacts(info.run_id, path, scratch))
            for path in artifacts
            if path in ("nbops/cells.json", _PARAMETERS) or path.endswith(".ipynb")
        }
        executed = next((file for path, file in files.items() if path.endswith(".ipynb")), None)
        cells = _read_json(files.get("nbops/cells.json")) or []
        parameters = _read_json(files.get(_PARAMETERS)) or {}
        notebook, costs = _executed(executed, cells) if executed else (None, {})
    packages = _packages(store.settings.layout.lock, info.tags)
    texts = {name: str(value) for name, value in parameters.items()}
    return RunRecord(info, {**texts, **info.params}, notebook, costs, packages)


def read_parameters(store: Store, run_id: str) -> dict[str, object]:
    """Return the parameters of a run as its file has them, uncut; empty if it left none that can be read."""
    with tempfile.TemporaryDirectory() as scratch, suppress(errors.NbopsError, ValueError):
        with translate_store_errors(store):
            if not any(entry.path == _PARAMETERS for entry in store.client.list_artifacts(run_id, "nbops")):
                return {}
            file = Path(store.client.download_artifacts(run_id, _PARAMETERS, scratch))
        content = _read_json(file)
        return content if isinstance(content, dict) else {}
    return {}


def _executed(path: Path, cells: list[dict[str, Any]]) -> tuple[Notebook | None, dict[int, CellCost]]:
    """Return the notebook as its author wrote it, and the costs by the indices that its cells have there."""
    try:
        executed = document.read(path)
    except errors.NotebookError:  # the run itself attached a file that is none
        return None, {}
    own_cells = [cell for cell in executed.cells if not INSERTED.intersection(cell.tags)]
    index = {cell.index: place for place, cell in enumerate(own_cells)}
    costs = {
        index[place]: CellCost(entry.get("seconds"), entry.get("peak_memory_mb"))
        for entry in cells
        if isinstance(place := entry.get("cell"), int) and place in index
    }
    numbered = tuple(dataclasses.replace(cell, index=place) for place, cell in enumerate(own_cells))
    raw = {**executed.raw, "cells": [executed.raw["cells"][cell.index] for cell in own_cells]}
    return dataclasses.replace(executed, cells=numbered, raw=raw), costs


def _read_json(path: Path | None) -> Any:
    return json.loads(path.read_text("utf-8")) if path else None


def _packages(lock: Path, tags: Mapping[str, str]) -> dict[str, str] | None:
    """Return the packages of a run's lock: that of its commit, or the one that is here, if it is still the same."""
    digest = tags.get(Tag.LOCK_SHA256)
    for text in (_committed(lock, tags.get("mlflow.source.git.commit", "")), _content(lock)):
        if text is not None and hashlib.sha256(text).hexdigest() == digest:
            return parse_lock(text.decode("utf-8", "replace"))
    return None


def _content(path: Path) -> bytes | None:
    try:
        return regular_file.read_bytes(path)
    except OSError:
        return None


def _committed(lock: Path, commit: str) -> bytes | None:
    try:
        repository = GitRepository.find(lock.parent)
        version = repository.find_file(commit, repository.inside(lock))
        return next(repository.blobs([version.blob]))
    except errors.UsageError:
        return None
