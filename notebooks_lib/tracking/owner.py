"""The run of a notebook, from the side of who started it: opened before the kernel, ended after it (docs/design D1).

It never starts a kernel and never decides what a failure is; the runner tells it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib.notebooks import fingerprint
from notebooks_lib.records import Env, Failure, RunStatus, Tag
from notebooks_lib.tracking import orphans, provenance
from notebooks_lib.tracking.query import RunInfo, get_run
from notebooks_lib.tracking.store import ARTIFACT_ROOT, RETRIES, Store, answering

BATCH = 100


@dataclass(frozen=True)
class Start:
    """What is known of a run before its kernel starts."""

    experiment: str
    name: str
    notebook: str
    """Path from the project root."""
    description: str
    parameters: Mapping[str, object]
    code_sha256: str
    source_fingerprint: str
    git: provenance.Git | None
    tags: Mapping[str, str] | None = None
    experiment_id: str | None = None
    """When the notebook names its experiment by id."""


class OwnedRun:
    """An open run that this process must end."""

    def __init__(self, store: Store, run_id: str, experiment_id: str, start: Start) -> None:
        self.store = store
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.start = start

    @classmethod
    def open(cls, store: Store, start: Start) -> OwnedRun:
        """Create the run with all that is known already, so that even a run cut off says what it was."""
        tags = provenance.source_tags(start.notebook, start.git, store.settings.layout)
        tags |= provenance.owner_tags()
        tags |= {
            "mlflow.note.content": start.description,
            Tag.PARAMETERS: _text(start.parameters),
            Tag.CODE_SHA256: start.code_sha256,
            Tag.SOURCE_FINGERPRINT: start.source_fingerprint,
            **(start.tags or {}),
        }
        tags = {key: _cut(value, store.limits.tag_characters) for key, value in tags.items() if value}
        with answering(store):
            experiment_id = start.experiment_id or store.experiment_id(start.experiment)
            run = store.client.create_run(experiment_id, tags=tags, run_name=start.name)
        return cls(store, run.info.run_id, experiment_id, start)

    @property
    def url(self) -> str:
        """Where a person sees the run."""
        return self.store.run_url(self.run_id, self.experiment_id)

    def environment(self) -> dict[str, str]:
        """What the kernel must be told so that MLflow in it attaches to this run. Azure ML jobs set the same."""
        told = {
            "MLFLOW_TRACKING_URI": self.store.uri,
            "MLFLOW_REGISTRY_URI": self.store.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment_id,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "IPYNB_FILE": self.start.notebook,
            Env.ROOT: str(self.store.settings.root),
            "MLFLOW_RUN_ID": self.run_id,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES),
            Env.OWNER_RUN: self.run_id,
            Env.OWNER_STORE: self.store.uri,
            Env.OWNER_EXPERIMENT: self.experiment_id,
        }
        if self.store.local:
            told[ARTIFACT_ROOT] = os.environ[ARTIFACT_ROOT]
        return told

    def end(
        self,
        status: RunStatus,
        *,
        failure: Failure | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Iterable[tuple[Path, str]] = (),
        documents: Mapping[str, object] | None = None,
    ) -> RunInfo:
        """Write how it ended, after the kernel has gone; the tag `nbops.end` is the last write.

        `artifacts` are (file, folder in the run) pairs, `documents` JSON values by file name.
        """
        client = self.store.client
        orphans.end_children(self.store, self.run_id, status)
        before = client.get_run(self.run_id)
        self._log_parameters(set(before.data.params))
        datasets = (value for key, value in before.data.tags.items() if key.startswith(Tag.DATASET_PREFIX))
        last = {
            Tag.RUN_FINGERPRINT: fingerprint.run_fingerprint(self.start.source_fingerprint, sorted(datasets)),
            **(_failure_tags(failure) if failure else {}),
            **(tags or {}),
        }
        self._set_tags(last)
        self._attach(artifacts, documents or {})
        client.set_terminated(self.run_id, status=status)
        client.set_tag(self.run_id, Tag.END, status)
        return get_run(self.store, self.run_id)

    def _log_parameters(self, logged: set[str]) -> None:
        """Only those that the notebook has not logged: a second value for a param is an error in MLflow.

        Where a store takes fewer than there are, the rest stands in parameters.json only.
        """
        from mlflow.entities import Param

        limits = self.store.limits
        missing = [
            Param(key, _cut(str(value), limits.param_characters))
            for key, value in self.start.parameters.items()
            if key not in logged
        ][: max(0, limits.params - len(logged))]
        for start in range(0, len(missing), BATCH):
            self.store.client.log_batch(self.run_id, params=missing[start : start + BATCH])

    def _set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        room = self.store.limits.tag_characters
        kept = [RunTag(key, _cut(value, room)) for key, value in tags.items() if value]
        self.store.client.log_batch(self.run_id, tags=kept)

    def _attach(self, artifacts: Iterable[tuple[Path, str]], documents: Mapping[str, object]) -> None:
        for path, folder in artifacts:
            self.store.client.log_artifact(self.run_id, str(path), folder)
        with tempfile.TemporaryDirectory() as scratch:
            contents = {"parameters.json": self.start.parameters, **documents}
            for name, content in contents.items():
                (Path(scratch) / name).write_text(json.dumps(content, indent=1, default=str, ensure_ascii=False))
            if self.start.git is not None and self.start.git.diff:
                (Path(scratch) / "uncommitted.diff").write_text(self.start.git.diff)
            self.store.client.log_artifacts(self.run_id, scratch, "nbops")


def _failure_tags(failure: Failure) -> dict[str, str]:
    return {
        Tag.FAILURE: failure.error,
        Tag.FAILURE_MESSAGE: failure.message,
        Tag.FAILED_CELL: "" if failure.cell is None else str(failure.cell),
        Tag.FAILED_LINE: failure.line,
        Tag.SIGNAL: "" if failure.signal is None else str(failure.signal),
    }


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=str, ensure_ascii=False)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
