"""Hand requests and predictions to Azure's data collector, from score.py. It never makes a request fail.

azureml-ai-monitoring sends them to a process beside the inference server, which writes JSON Lines to blob storage. The
deployment's `data_collector` says whether, and which share. Both collections take the same share of the requests: the
library's own sampling would choose for each by itself, and leave predictions without inputs.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from notebooks_lib.models.input_schema import Column
from notebooks_lib.models.prediction_json import encode_predictions
from notebooks_lib.serving.data_collector import INPUTS, OUTPUTS, STEP, WAITING_BYTES, input_rows, output_rows

CONFIG = "AZUREML_MDC_CONFIG_PATH"
_LOG_EVERY = 60.0

log = logging.getLogger("nbops.endpoint")


class AzureDataCollector:
    """Collects requests as model_inputs and model_outputs. `failed` counts what was lost."""

    def __init__(self, version: str, columns: Sequence[Column] = ()) -> None:
        self.failed = 0
        self._columns = columns
        self._version = version
        self._turn = 0
        self._shares: Mapping[str, float] | None = None
        self._collectors: Mapping[str, Any] = {}
        self._sizes: deque[int] = deque()
        self._logged = 0.0
        self._broken: Exception | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], version: str, columns: Sequence[Column] = ()) -> Self | None:
        """Return a collector for version `version` of a model that takes `columns`; None if nothing is collected."""
        return cls(version, columns) if environ.get(CONFIG) else None

    def offer(self, request_id: str, trace: str, kind: str, body: bytes, answer: bytes) -> None:
        """Queue a request, a body of media type `kind`, and its answer, if it belongs to the sample."""
        self._turn += 1
        try:
            chance = (self._turn * STEP) % 1.0
            rows = {INPUTS: lambda: input_rows(kind, body, self._columns), OUTPUTS: lambda: output_rows(answer)}
            for name, share in self._connected().items():
                if chance < share:
                    self._collect(name, rows[name], len(body if name == INPUTS else answer), request_id, trace)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets the predictions
            self._count(error)

    def _connected(self) -> Mapping[str, float]:
        """Return the share of each collection. The first request connects: a thread would not survive a fork before."""
        if self._broken is not None:
            raise self._broken
        if self._shares is None:
            try:
                self._shares = self._connect()
            except Exception as error:
                self._broken = error
                raise
        return self._shares

    def _connect(self) -> Mapping[str, float]:
        from azureml.ai.monitoring import Collector
        from azureml.ai.monitoring.config import get_config
        from azureml.ai.monitoring.init import init

        init(self._version)  # a Collector would call every version "default"
        config = get_config()
        wanted = {name: config.collections()[name] for name in (INPUTS, OUTPUTS) if name in config.collections()}
        for name in wanted:
            config.add_collection(name, enabled=True, sample_rate_percentage=100)
        self._collectors = {name: Collector(name=name, on_error=self._count) for name in wanted}
        shares = {name: float(of["sampleRatePercentage"]) / 100 for name, of in wanted.items()}
        logging.getLogger("mdc.worker").addHandler(_FailureHandler(self._count))
        named = ", ".join(f"{share:.0%} as {name}" for name, share in shares.items())
        log.info("collecting %s of the requests", named or "nothing")
        return shares

    def _collect(self, name: str, rows: Callable[[], Any], size: int, request_id: str, trace: str) -> None:
        from azureml.ai.monitoring.context import BasicCorrelationContext
        from azureml.ai.monitoring.queue import get_queue

        while len(self._sizes) > get_queue().length():
            self._sizes.popleft()  # the library bounds its queue by number only, and waits without end for an answer
        if sum(self._sizes) + size > WAITING_BYTES:
            self._count(f"{len(self._sizes)} records wait to be sent already")
            return
        self._sizes.append(size)
        context = BasicCorrelationContext(id=request_id, headers={"traceparent": trace} if trace else None)
        self._collectors[name].collect(_frame(rows), context)

    def _count(self, error: object) -> None:
        self.failed += 1
        now = time.monotonic()
        if not self._logged or now - self._logged > _LOG_EVERY:
            self._logged = now
            log.error("requests could not be collected, %d so far; the last: %s", self.failed, error)


class _FailureHandler(logging.Handler):
    """Counts the records that the library's thread could not send: it only logs them."""

    def __init__(self, count: Callable[[object], None]) -> None:
        super().__init__(logging.ERROR)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(record.getMessage())


def _frame(rows: Callable[[], Any]) -> Any:
    """Return a DataFrame, which the library wants, whose JSON is `rows` exactly.

    pandas rounds numbers to ten decimals, and raises errors in the library's thread that end it for good; a TypeError
    does not. The rows are read in that thread, so that no answer waits for it.
    """
    import pandas as pd

    def to_json(orient: str) -> str:
        try:
            return encode_predictions([_record(row) for row in rows()]).decode()
        except Exception as error:
            raise TypeError(f"{type(error).__name__}: {error}") from error

    frame = pd.DataFrame()
    object.__setattr__(frame, "to_json", to_json)
    return frame


def _record(row: Any) -> dict[str, Any]:
    """Return a row with names; those of a tensor are its places, as pandas has them."""
    if isinstance(row, dict):
        return row
    return {str(place): item for place, item in enumerate(row if isinstance(row, list) else [row])}
