"""The run of a notebook from the side of the process that starts it: opened before the kernel, ended after it.

It never starts a kernel and never decides what a failure is: the
runner says so (docs/design D1).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notebooks_lib.notebooks import source_fingerprint
from notebooks_lib.run_result import FAILURE_TAGS, Failure, RunStatus, restore_infinity
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import provenance
from notebooks_lib.tracking.orphan_runs import end_children
from notebooks_lib.tracking.sqlite import ARTIFACT_ROOT
from notebooks_lib.tracking.store import RETRIES, Store, translate_store_errors

BATCH = 100
_FILE_EXISTS = re.compile(r"ArtifactId \S+ already exists")
"""How Azure ML refuses a file of a run that exists."""
METRICS_OF_EARLIER = (
    "attempt %s of this job: metrics of the earlier one stay in the run; where it came to a later step, its value is "
    "the run's"
)


@dataclass(frozen=True)
class RunStart:
    """The description of a run before its kernel starts: name, experiment, parameters and tags."""

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
    """Given when the notebook names its experiment by id, or the id is known already."""
    lock_sha256: str = ""
    lock_installed: str = ""
    """Whether the kernel has the packages of that lock, as `provenance.lock_installed` says it."""
    run_id: str | None = None
    """Given for a run that exists already, such as a job's: it is adopted, not opened."""
    may_set_store: bool = False
    """True if a cell that sets another store is ignored, not refused: in notebooks of other projects."""


class OwnedRun:
    """A run that this process has opened and must end."""

    def __init__(
        self, store: Store, run_id: str, experiment_id: str, start: RunStart, *, reopened: bool = False
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.start = start
        self.reopened = reopened
        self.attempt = 1
        """More than 1 for the run of a job that Azure has started again."""

    @classmethod
    def open(cls, store: Store, start: RunStart) -> OwnedRun:
        """Create the run with name, parameters and tags, so that even an interrupted run has them."""
        tags = _start_tags(store, start)
        with translate_store_errors(store):
            experiment_id = start.experiment_id or store.experiment_id(start.experiment)
            run = store.client.create_run(experiment_id, tags=tags, run_name=start.name)
        return cls(store, run.info.run_id, experiment_id, start)

    @classmethod
    def adopt(cls, store: Store, run_id: str, start: RunStart) -> OwnedRun:
        """Take over the run that a job has: it gets all that `open` gives one, and this process must end it.

        If a notebook has ended in it already, in the same job, a child of it is opened. One that was interrupted has
        not: its machine was taken away, and Azure starts the job again. What the earlier attempt wrote of its end is
        removed, and the runs that its notebook opened are ended; the metrics that it logged stay, as no store removes
        any.
        """
        from mlflow.entities import RunTag

        client = store.client
        tags = _start_tags(store, start)
        with translate_store_errors(store):
            run = client.get_run(run_id)
            ended = Tag.END in run.data.tags
            if ended and not _was_interrupted(run.data.tags, tags[Tag.NOTEBOOK]):
                child = {**(start.tags or {}), "mlflow.parentRunId": run_id}
                experiment_id = run.info.experiment_id
                return cls.open(store, replace(start, tags=child, experiment_id=experiment_id, run_id=None))
            for key in (Tag.END, *FAILURE_TAGS, Tag.SET_ASIDE):  # without END if it was killed before it wrote that
                if key in run.data.tags:
                    client.delete_tag(run_id, key)
            if Tag.OWNER_PID in run.data.tags:
                end_children(store, run_id, "KILLED")
                tags[Tag.ATTEMPT] = _next_attempt(run.data.tags)
                if run.data.metrics:
                    logging.getLogger(__name__).warning(METRICS_OF_EARLIER, tags[Tag.ATTEMPT])
            if run.data.tags.get(Tag.SWEEP) == "parent" and Tag.TRIAL in tags:  # a service may copy it to its trials
                tags[Tag.SWEEP] = "trial"
            lost = {Tag.PROGRESS: ""} if Tag.PROGRESS in run.data.tags else {}  # nobody takes its cells for ours
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in {**tags, **lost}.items()])
            if run.info.status != "RUNNING":
                client.update_run(run_id, status="RUNNING")
        if Env.SWEEP in os.environ and run.info.run_name != start.name:  # a service has named this trial
            with contextlib.suppress(Exception):
                client.set_tag(run_id, "mlflow.runName", start.name)
        adopted = cls(store, run_id, run.info.experiment_id, start)
        adopted.attempt = int(tags.get(Tag.ATTEMPT, "1"))
        return adopted

    @classmethod
    def reopen(cls, store: Store, run_id: str, start: RunStart) -> OwnedRun:
        """Reopen a run that has ended or lost its owner; this process becomes its owner and must end it."""
        from mlflow.entities import RunTag

        client, tags = store.client, provenance.owner_tags()
        if session := (start.tags or {}).get(Tag.SWEEP_SESSION):
            tags[Tag.SWEEP_SESSION] = session
        with translate_store_errors(store):
            run = client.get_run(run_id)
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            if Tag.END in run.data.tags:
                client.delete_tag(run_id, Tag.END)
            client.update_run(run_id, status="RUNNING")
        return cls(store, run_id, run.info.experiment_id, start, reopened=True)

    @property
    def url(self) -> str:
        """The address of the run's page in MLflow's UI."""
        return self.store.run_url(self.run_id, self.experiment_id)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make MLflow in the kernel attach to this run.

        Azure ML jobs set the same.
        """
        variables = {
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
            Env.OTHER_STORE: "ignore" if self.start.may_set_store else "refuse",
        }
        if self.store.local:
            variables[ARTIFACT_ROOT] = os.environ[ARTIFACT_ROOT]
        return variables

    def explained(self, failure: Failure) -> Failure:
        """Return a failure, with its cause if an earlier attempt of the job is to blame for it."""
        if self.attempt == 1 or not _FILE_EXISTS.search(failure.message):
            return failure
        why = f"attempt {self.attempt} of the job logs a file again, and Azure overwrites none: submit it again"
        return replace(failure, message=f"{why} ({failure.message})")

    def end(
        self,
        status: RunStatus,
        *,
        failure: Failure | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Iterable[tuple[Path, str]] = (),
        documents: Mapping[str, object] | None = None,
    ) -> Mapping[str, float]:
        """Record the end of the run once the kernel is gone; return its metrics. The tag `nbops.end` is written last.

        `failure` is why the run did not finish. `artifacts` are (file, folder in the run) pairs, `documents` are JSON
        values by file name. The files of an interrupted job are set aside, in a folder that the run names: if the job
        is started again, it needs their names, and Azure ML overwrites no file. So there the files of a run that was
        reopened go into a folder under `resumed/`.
        """
        client = self.store.client
        interrupted = failure is not None and failure.kind == "interrupt"
        aside = f"interrupted/{uuid.uuid4().hex[:8]}" if interrupted and self.start.run_id else ""
        end_children(self.store, self.run_id, status)
        before = client.get_run(self.run_id)
        if ignored := before.data.tags.get(Tag.IGNORED_STORE):
            logging.getLogger(__name__).warning(
                "a cell sets the tracking URI %s; the run stays in %s (--untracked leaves the choice to the notebook)",
                ignored,
                self.store.uri,
            )
        datasets = (value for key, value in before.data.tags.items() if key.startswith(Tag.DATASET_PREFIX))
        source = self.start.source_fingerprint
        last = {
            Tag.RUN_FINGERPRINT: source_fingerprint.run_fingerprint(source, sorted(datasets)) if source else "",
            **(failure.as_tags() if failure else {}),
            **(tags or {}),
            Tag.SET_ASIDE: aside,
        }
        self._log(last, set(before.data.params))
        folder = aside or (resumed_folder() if self.reopened and not self.store.overwrites else "")
        self._attach(before.info.artifact_uri, folder, artifacts, documents or {})
        client.set_terminated(self.run_id, status=status)
        client.set_tag(self.run_id, Tag.END, status)
        return {name: restore_infinity(value) for name, value in before.data.metrics.items()}

    def _log(self, tags: Mapping[str, str], logged: set[str]) -> None:
        """Log tags, and parameters that the notebook has not logged: a second value for one is an error in MLflow.

        Where a store takes fewer parameters, the rest is in parameters.json only.
        """
        from mlflow.entities import Param, RunTag

        limits = self.store.limits
        run_tags = [RunTag(key, _cut(value, limits.tag_characters)) for key, value in tags.items() if value]
        missing = [
            Param(key, _cut(str(value), limits.param_characters))
            for key, value in self.start.parameters.items()
            if key not in logged
        ][: max(0, limits.params - len(logged))]
        for start in range(0, max(len(missing), 1), BATCH):
            self.store.client.log_batch(self.run_id, params=missing[start : start + BATCH], tags=run_tags)
            run_tags = []

    def _attach(
        self, uri: str, parent: str, artifacts: Iterable[tuple[Path, str]], documents: Mapping[str, object]
    ) -> None:
        """Write all files at once to the run's artifact location: the client would ask for that location each time."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        contents = {"parameters.json": self.start.parameters, **documents}
        with tempfile.TemporaryDirectory() as scratch:
            for path, folder in artifacts:
                (Path(scratch) / folder).mkdir(exist_ok=True)
                shutil.copyfile(path, Path(scratch) / folder / path.name)
            ours = Path(scratch) / "nbops"
            ours.mkdir(exist_ok=True)
            for name, content in contents.items():
                (ours / name).write_text(json.dumps(content, indent=1, default=str, ensure_ascii=False))
            if self.start.git is not None and self.start.git.diff:
                (ours / "uncommitted.diff").write_text(self.start.git.diff)
            get_artifact_repository(uri, tracking_uri=self.store.uri).log_artifacts(scratch, parent or None)


def resumed_folder() -> str:
    """Return a new name for what another session writes into a run whose files cannot be overwritten."""
    return f"resumed/{uuid.uuid4().hex[:8]}"


def artifact_repository(store: Store, run_id: str) -> Any:
    """Return MLflow's door to the files of a run; it lists them without asking for logged models (docs/azure.md)."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with translate_store_errors(store):
        uri = store.client.get_run(run_id).info.artifact_uri
        return get_artifact_repository(uri, tracking_uri=store.uri)


def _start_tags(store: Store, start: RunStart) -> dict[str, str]:
    """Return the tags of a run that begins, cut to what the store takes."""
    return description_tags(store, start) | provenance.owner_tags()


def description_tags(store: Store, start: RunStart) -> dict[str, str]:
    """Return the tags that say what a run is, without those of its owner, cut to what the store takes."""
    tags = provenance.source_tags(start.notebook, start.git, start.lock_sha256)
    tags |= {
        "mlflow.note.content": start.description,
        Tag.PARAMETERS: _text(start.parameters),
        Tag.CODE_SHA256: start.code_sha256,
        Tag.SOURCE_FINGERPRINT: start.source_fingerprint,
        Tag.LOCK_INSTALLED: start.lock_installed,
        **(start.tags or {}),
    }
    return {key: _cut(value, store.limits.tag_characters) for key, value in tags.items() if value}


def _next_attempt(tags: Mapping[str, str]) -> str:
    """Return the number of the attempt after the one that wrote these tags; the first one writes none."""
    attempt = tags.get(Tag.ATTEMPT, "")
    return str(int(attempt) + 1 if attempt.isdecimal() else 2)


def _was_interrupted(tags: Mapping[str, str], notebook: str) -> bool:
    """Return whether the notebook was asked to stop in the run that has these tags."""
    return (tags.get(Tag.END), tags.get(Tag.FAILURE), tags.get(Tag.NOTEBOOK)) == ("KILLED", "Interrupted", notebook)


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, default=str, ensure_ascii=False)


def _cut(text: str, room: int) -> str:
    text = text.encode("utf-8", "replace").decode()  # a store refuses half a surrogate pair
    return text if len(text) <= room else text[: room - 1] + "…"
