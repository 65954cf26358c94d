"""What a batch is asked for, and what comes of it: model version, table, rows of the result, summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import BatchError, InputError, ModelError, UnknownNameError, UsageError
from notebooks_lib.models import champions, model_files, registry, trusted_flavors
from notebooks_lib.models.registry import Version
from notebooks_lib.serving.batch import batch_input, batch_result, batch_scratch
from notebooks_lib.serving.batch.batch_input import BatchInput, DatasetInput, FileInput, MiniBatch
from notebooks_lib.serving.batch.batch_scorer import PREDICTION, ScoredBatch
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import store as stores

if TYPE_CHECKING:
    import pyarrow as pa

    from notebooks_lib.settings import Settings

MINI_BATCH = 10_000
"""Rows that are scored at once, unless a command says otherwise."""
ALL_COLUMNS = "all"
ROW, ERROR = "row", "error"
"""Columns of the result: the number of the row in the input, from 0; why it has no prediction."""
SHOWN = 10
"""Refused rows that a summary names."""
PROGRESS_EVERY = 10.0
"""Seconds between two lines about progress."""


@dataclass(frozen=True)
class BatchRequest:
    """One batch."""

    model: str
    data: str
    """A dataset such as "sales@3", or the path of a file."""
    output: Path
    version: str = ""
    """Empty: the champion of the stage."""
    stage: str = champions.PROD
    keep: Sequence[str] = ()
    """Columns of the input that the result has, too; ALL_COLUMNS for all."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of each prediction, as in an endpoint's request."""
    mini_batch_size: int = MINI_BATCH
    """Rows that are scored at once."""
    error_threshold: int = 0
    """How many rows may be refused; -1: any number."""

    def open_input(self, settings: Settings) -> BatchInput:
        """Return the table to score, after a check of the path of the result.

        Raises UsageError when there is no such table, or when the result would replace it.
        """
        batch_result.check_output(self.output)
        path = Path(self.data)
        if path.suffix.lower() not in batch_input.SUFFIXES and not path.is_file() and "/" not in self.data:
            return DatasetInput(self.data, settings)  # also beside a folder of that name
        if path.exists() and self.output.exists() and path.samefile(self.output):
            raise UsageError(f"-o {self.output}: is the file to score; name another")
        return FileInput(path)


@dataclass(frozen=True)
class BatchModel:
    """The files of the version that scores."""

    version: Version
    folder: Path
    sha256: str

    @classmethod
    @contextmanager
    def fetch(cls, model: str, version: str, stage: str, settings: Settings) -> Iterator[BatchModel]:
        """Download the files of a version; they are removed at the end of the block.

        Raises UnknownNameError for an unknown model or version, UsageError for a model without a champion, ModelError
        when the files are not those that were scored.
        """
        chosen = find_version(settings, model, version, stage)
        with batch_scratch.scratch_folder(settings) as scratch:
            folder = model_files.download(chosen.source, scratch)
            yield cls(chosen, folder, check_files(chosen, folder, settings))


def find_version(settings: Settings, model: str, version: str = "", stage: str = champions.PROD) -> Version:
    """Return a version of a model, by default the champion of a stage."""
    store = stores.connect(settings)
    if version:
        return registry.get(store, model, version)
    champion = champions.champion(store, model, stage)
    if champion is None:
        names = registry.models(store)
        if model not in names:
            raise UnknownNameError("model", model, names)
        raise UsageError(f"model {model!r} has no champion in {stage}: name a version, as in --version 1")
    return champion


def check_files(version: Version, folder: Path, settings: Settings) -> str:
    """Return the digest of the files of a version. Raises ModelError when they are not those that were scored."""
    digest, subject = model_files.read_model_files(folder).sha256, f"version {version.version} of {version.model!r}"
    if version.sha256 and digest != version.sha256:
        raise ModelError(
            f"the files of {subject} are not those that were scored (digest {digest[:12]}, scored "
            f"{version.sha256[:12]}): they were changed; restore them, or name another version"
        )
    if not version.sha256 and Tag.CARD in version.tags:
        raise ModelError(f"the digest of {subject} is gone ({Tag.MODEL_SHA256}): promote its run again")
    if not version.sha256:
        about = f"{subject}, which no promotion chose,"
        trusted_flavors.check_folder_trusted(folder, settings.promotion.trusted_flavors, about)
    return digest


@dataclass(frozen=True)
class BatchSummary:
    """What became of a batch."""

    model: str
    version: str
    on: str
    """Where it was scored: local or azureml."""
    data: str
    output: str
    rows: int
    """Rows of the result."""
    refused: int
    held_out: int
    """Rows that were left out because only promotion reads them."""
    unused: Sequence[str]
    """Columns of the input that the model does not take."""
    first_refused: Sequence[Mapping[str, Any]]
    """Row and cause of the first rows that were refused."""
    seconds: float
    job: str = ""
    """The job of a workspace; empty for one that was scored here."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops batch run --json` prints."""
        return asdict(self)


class ResultRows:
    """Makes the rows of the result, in the order of the input, and counts those that are refused."""

    def __init__(
        self,
        request: BatchRequest,
        data: BatchInput,
        columns_used: Callable[[Sequence[str], Collection[str]], list[str]],
        tell: Callable[[str], None] = lambda line: None,
        *,
        progress_seconds: float = PROGRESS_EVERY,
    ) -> None:
        """Check the columns of the table; `columns_used` returns those that the model gets, or raises InputError.

        `tell` gets a line about progress every `progress_seconds`.
        """
        self._request, self._data, self._tell = request, data, tell
        self._progress_seconds = progress_seconds
        names = data.column_names()
        try:
            self.used = columns_used(names, data.no_features)
        except InputError as error:
            raise InputError(f"{data.name}: {error}") from error
        self.kept = _kept(request, data, names)
        self.columns = [name for name in names if name in self.used or name in self.kept]
        self._unused = [name for name in names if name not in self.used]
        self._rows = self._refused = 0
        self._first: list[dict[str, Any]] = []
        self._unread = 0
        self._first_unread: tuple[int, str] | None = None
        self._began = self._told = time.monotonic()

    def used_in(self, batch: MiniBatch) -> list[str]:
        """Return which of the batch's columns the model gets."""
        return [name for name in self.used if name in batch.table.column_names]

    def add(self, batch: MiniBatch, scored: ScoredBatch) -> pa.Table:
        """Return the rows of the result for a mini-batch.

        Raises BatchError, naming the row and the cause, when more rows are refused than the request allows.
        """
        import numpy as np
        import pyarrow as pa

        refused = {int(batch.rows[place]): cause for place, cause in scored.refused.items()} | dict(batch.faults)
        self._count(len(batch.rows) + len(batch.faults), dict(sorted(refused.items())))
        rows = np.concatenate([batch.rows, np.array(list(batch.faults), dtype=np.int64)])
        order = np.argsort(rows, kind="stable")
        columns = {ROW: pa.array(rows, pa.int64())}
        columns |= {name: _padded(batch.table[name], len(rows)) for name in self.kept}
        if len(scored.refused) == len(batch.rows):
            columns[PREDICTION] = pa.nulls(len(rows))  # what form predictions have is not known
        else:
            columns |= {name: _padded(scored.predictions[name], len(rows)) for name in scored.predictions.column_names}
        if self._request.error_threshold:
            columns[ERROR] = pa.array([refused.get(int(row)) for row in rows], pa.string())
        table = pa.table(columns)
        return table.take(order) if batch.faults else table

    def check_read(self, batch: MiniBatch) -> None:
        """Raise BatchError when more rows cannot be read than may be refused. Call it for all mini-batches, in order.

        So much is known before any is scored.
        """
        if batch.faults:
            self._first_unread = self._first_unread or min(batch.faults.items())
            self._unread += len(batch.faults)
            self._check_refused(self._unread, *self._first_unread)

    def _check_refused(self, count: int, row: int, cause: str) -> None:
        allowed = self._request.error_threshold
        if 0 <= allowed < count:
            many = "" if not allowed else f"{count} rows were refused, and {allowed} may be; the first: "
            raise BatchError(
                f"{many}{self._data.name}, row {row}: {cause}; nothing was written: correct the row, or allow refused "
                "rows, which get an error column: --error-threshold -1"
            )

    def _count(self, rows: int, refused: Mapping[int, str]) -> None:
        self._rows += rows
        self._refused += len(refused)
        room = SHOWN - len(self._first)
        self._first += [{"row": row, "cause": cause} for row, cause in list(refused.items())[:room]]
        if self._first:
            self._check_refused(self._refused, self._first[0]["row"], self._first[0]["cause"])
        if time.monotonic() - self._told > self._progress_seconds:
            self._told = time.monotonic()
            speed = self._rows / (self._told - self._began)
            self._tell(f"{self._rows:,} rows, {speed:,.0f} a second")

    def check_complete(self) -> None:
        """Raise InputError if there were no rows."""
        if not self._rows:
            raise InputError(f"{self._data.name}: there are no rows; expected at least one")

    def summary(self, version: Version, on: str, job: str = "") -> BatchSummary:
        """Return what became of the batch."""
        return BatchSummary(
            model=version.model,
            version=version.version,
            on=on,
            data=self._data.name,
            output=str(self._request.output),
            rows=self._rows,
            refused=self._refused,
            held_out=self._data.held_out,
            unused=self._unused,
            first_refused=self._first,
            seconds=round(time.monotonic() - self._began, 3),
            job=job,
        )


def _kept(request: BatchRequest, data: BatchInput, names: Sequence[str]) -> list[str]:
    """Return the columns of the input that the result has: those that are asked for, else the key of a dataset.

    A key whose name is that of a column of the result is left out.
    """
    if not request.keep:
        return [data.key] if data.key and not _is_of_result(data.key) else []
    everything = ALL_COLUMNS in request.keep and ALL_COLUMNS not in names
    kept = list(names if everything else dict.fromkeys(request.keep))
    for name in kept:
        if name not in names:
            raise UnknownNameError("column", name, names)
        if _is_of_result(name):
            raise UsageError(
                f"the result has a column {name!r} of its own: rename that of {data.name}, or do not keep it"
            )
    return kept


def _is_of_result(name: str) -> bool:
    return name in (ROW, ERROR, PREDICTION) or name.startswith(f"{PREDICTION}.")


def _padded(values: pa.ChunkedArray, rows: int) -> pa.ChunkedArray:
    """Return values with missing ones at the end."""
    import pyarrow as pa

    missing = rows - len(values)
    return pa.chunked_array([*values.chunks, pa.nulls(missing, values.type)], values.type) if missing else values
