"""Score a table on this machine, a mini-batch at a time, by the code that answers an endpoint's requests."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving.batch.batch_request import (
    PROGRESS_EVERY,
    BatchModel,
    BatchRequest,
    BatchSummary,
    ResultRows,
)
from notebooks_lib.serving.batch.batch_result import ResultFile
from notebooks_lib.serving.batch.batch_scorer import BatchScorer
from notebooks_lib.settings import Settings

_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"


def score_here(
    request: BatchRequest,
    settings: Settings,
    *,
    tell: Callable[[str], None] = lambda line: None,
    progress_seconds: float = PROGRESS_EVERY,
) -> BatchSummary:
    """Write the result of a batch. `tell` gets a line about progress every `progress_seconds`.

    Raises UsageError for a request that cannot be carried out, ModelError for a model that is not the one that was
    registered or does not load, BatchError when more rows are refused than the request allows. Then nothing is written.
    """
    data = request.open_input(settings)
    with BatchModel.fetch(request.model, request.version, request.stage, settings) as model, _as_served():
        scorer = BatchScorer(ServedModel.load(model.folder), request.params)
        rows = ResultRows(request, data, scorer.columns_used, tell, progress_seconds=progress_seconds)
        with ResultFile(request.output) as file:
            for batch in data.batches(rows.columns, request.mini_batch_size):
                file.write(rows.add(batch, scorer.score(batch.table.select(rows.used_in(batch)))))
            rows.check_complete()
    return rows.summary(model.version, "local")


@contextmanager
def _as_served() -> Iterator[None]:
    """Let a model predict as in an endpoint. What it prints goes to standard error."""
    before = os.environ.get(_SERVING)
    os.environ[_SERVING] = "true"
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.filterwarnings("ignore", message="Could not infer format")
            warnings.filterwarnings("ignore", message=".*type hint")
            yield
    finally:
        os.environ.pop(_SERVING) if before is None else os.environ.update({_SERVING: before})
