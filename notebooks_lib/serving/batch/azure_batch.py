"""Score a table by a batch endpoint of Azure: parts up, one job, parts back into one file, in the order of the input.

The job's name follows from the model and the content of the parts. So the same command again finds its job: after
Ctrl-C or a kill it follows the job or fetches its result, and nothing is scored twice.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import batch_endpoint
from notebooks_lib.azure.endpoints.batch_endpoint import BatchDeployment, BatchEndpoint
from notebooks_lib.azure.jobs import job_following
from notebooks_lib.azure.jobs.job_following import Listener
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.azure.storage import datastore, file_download, file_upload
from notebooks_lib.azure.storage.datastore import Datastore
from notebooks_lib.azure.storage.file_upload import BlobFolder
from notebooks_lib.errors import AzureError, BatchError, JobUncertainError
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.batch import batch_attempts, batch_parts, batch_scratch
from notebooks_lib.serving.batch.batch_deployments import BatchDeployments
from notebooks_lib.serving.batch.batch_input import BatchInput, MiniBatch
from notebooks_lib.serving.batch.batch_request import BatchModel, BatchRequest, BatchSummary, ResultRows
from notebooks_lib.serving.batch.batch_result import ResultFile
from notebooks_lib.serving.batch.batch_scorer import BatchScorer, ScoredBatch
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag

PLACE = "nbops/batch"
"""The folder of all batches in the workspace's default datastore."""


class BatchDetached(Exception):
    """The command ends before its job: after Ctrl-C, or because Azure does not answer or the job waits too long."""

    def __init__(self, job: str, error: AzureError | None = None, *, fresh: bool = False) -> None:
        self.job = job
        self.error = error
        same = "the same command again, without --fresh" if fresh else "the same command again"
        back = f"to come back, give {same}; to stop it: nbops azure jobs stop {job}"
        super().__init__(f"nbops: {error}; {back}" if error else f"detached: job {job} goes on; {back}")


@dataclass(frozen=True)
class _Sent:
    """The rows of a batch in parts, in a folder of this machine until the result is complete."""

    folder: Path
    digests: tuple[str, ...]
    """One for each part."""

    def upload_to(self, place: BlobFolder) -> None:
        names = map(batch_parts.part_name, range(len(self.digests)))
        file_upload.upload(place, {name: self.folder / name for name in names})

    def rest(self, number: int) -> MiniBatch:
        """Return what of a mini-batch stays here: the numbers of its rows and the columns that are kept."""
        batch: MiniBatch = pickle.loads((self.folder / f"{number}.rest").read_bytes())
        return batch


def score_on_azure(
    request: BatchRequest,
    settings: Settings,
    listener: Listener,
    *,
    fresh: bool = False,
    wait_minutes: float = job_following.WAIT_MINUTES,
    tell: Callable[[str], None] = lambda line: None,
    shortest: float = job_following.SHORTEST,
) -> BatchSummary:
    """Write the result of a batch. `listener` learns what the job waits for; `fresh` scores again what was scored.

    Raises what `score_here` raises, UsageError for a version that is not deployed, BatchError when the job fails or its
    result is not complete, BatchDetached on Ctrl-C once there is a job, and when it has waited for `wait_minutes`.
    """
    data = request.open_input(settings)
    place = BatchDeployments(settings, request.model, request.stage)
    with (
        BatchModel.fetch(request.model, request.version, request.stage, settings) as model,
        batch_scratch.scratch_folder(settings) as scratch,
    ):
        scorer = BatchScorer(ServedModel.load(model.folder), request.params)
        rows = ResultRows(request, data, scorer.columns_used, tell)
        endpoint, deployment = place.require(model)
        sent = _write_parts(request, data, rows, scratch)
        store = datastore.default_datastore(place.client, place.workspace)
        job = _find_or_submit(place, endpoint, deployment, model, sent, store, fresh=fresh, tell=tell)
        try:
            _follow(place, job, listener, wait_minutes, shortest)
            with ResultFile(request.output) as file:
                for number, scored in enumerate(_fetch(store, job, len(sent.digests))):
                    rest = sent.rest(number)
                    if len(scored.predictions) != len(rest.rows):
                        raise BatchError(f"job {job}: part {number} has another number of rows: score again: --fresh")
                    file.write(rows.add(rest, scored))
        except KeyboardInterrupt:
            raise BatchDetached(job, fresh=fresh) from None
        except AzureError as error:
            raise BatchDetached(job, error, fresh=fresh) from error
    return rows.summary(model.version, "azureml", job)


def _write_parts(request: BatchRequest, data: BatchInput, rows: ResultRows, folder: Path) -> _Sent:
    """Write the rows into parts, before anything is sent. Raises what reading the table raises."""
    digests = []
    for number, batch in enumerate(data.batches(rows.columns, request.mini_batch_size)):
        rows.check_read(batch)
        part = batch.table.select(rows.used_in(batch))
        digests.append(batch_parts.write_part(folder, number, part, request.params))
        kept = [name for name in rows.kept if name in batch.table.column_names]
        rest = replace(batch, table=batch.table.select(kept))
        (folder / f"{number}.rest").write_bytes(pickle.dumps(rest))
    if not digests:
        rows.check_complete()
    return _Sent(folder, tuple(digests))


def _find_or_submit(
    place: BatchDeployments,
    endpoint: BatchEndpoint,
    deployment: BatchDeployment,
    model: BatchModel,
    sent: _Sent,
    store: Datastore,
    *,
    fresh: bool,
    tell: Callable[[str], None],
) -> str:
    """Return the name of the job that scores these parts: the newest that has not failed, else a new one.

    With `fresh` it is a new one, unless the newest scores again already.
    """
    content = json.dumps([model.sha256, deployment.tags.get(Tag.BATCH_SETTINGS), sent.digests])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    base = f"{endpoint.name}-{deployment.name}-{digest}"
    attempts = batch_attempts.list_attempts(place.client, place.workspace, base)
    there = batch_attempts.job_to_follow(attempts, fresh=fresh)
    if there is not None:
        tell(f"job {there.name} scores these rows already: {there.status}")
        return there.name
    name = batch_attempts.attempt_name(base, len(attempts) + 1)
    source = f"{PLACE}/{digest}/input"
    tell(f"sending {len(sent.digests)} files of rows to workspace {place.workspace.name}")
    sent.upload_to(store.folder(source))
    at = place.client, place.workspace, endpoint, deployment.name, name
    try:
        batch_endpoint.invoke(*at, store.uri(source), store.uri(_output(name)))
    except KeyboardInterrupt:
        if batch_attempts.find_attempt(place.client, place.workspace, name) is not None:
            raise BatchDetached(name, fresh=fresh) from None
        raise
    except JobUncertainError as error:
        raise BatchDetached(name, error, fresh=fresh) from error
    tell(f"job {name}: submitted")
    return name


def _output(job: str) -> str:
    return f"{PLACE}/{job}/output"


def _follow(place: BatchDeployments, job: str, listener: Listener, wait_minutes: float, shortest: float) -> None:
    """Wait for the end of a job. Raises BatchError when it has failed or was stopped."""
    document: Any = workspace.read(place.client, place.workspace)
    uri = str(document["properties"]["mlFlowTrackingUri"])
    end = job_following.follow(
        place.client,
        place.workspace,
        RunHistory(uri),
        job,
        listener,
        wait_minutes=wait_minutes,
        shortest=shortest,
        end_of=job_following.end_of_batch,
    )
    if end.failure is not None:
        raise BatchError(f"job {job} ended as {end.status}: {end.failure}; nothing was written: give the command again")


def _fetch(store: Datastore, job: str, count: int) -> Iterator[ScoredBatch]:
    """Yield the predictions of each part, in order. Raises BatchError for one that is not there, or is damaged."""
    folder = store.folder(_output(job))
    for number in range(count):
        name = batch_parts.part_name(number)
        try:
            yield batch_parts.read_part(file_download.download(folder, name))
        except AzureError as error:
            if error.status != 404:
                raise
            text = f"job {job} is complete, but {name} of {count} is not in its output: score again: --fresh"
            raise BatchError(text) from error
        except ValueError as error:  # of Arrow, too
            raise BatchError(f"job {job}: {name} of its output is damaged ({error}): score again: --fresh") from error
