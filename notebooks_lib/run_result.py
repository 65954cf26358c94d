"""How a run ended, as frozen values that several packages share. It does no work."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from notebooks_lib import safe_text
from notebooks_lib.old_names import forwarding

TrialState = Literal["running", "finished", "failed", "killed", "pruned", "skipped"]
"""`skipped`: a run with the same source fingerprint had FINISHED before, and its metrics are taken."""
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended, in MLflow's own words."""


def restore_infinity(value: float) -> float:
    """Return infinity for the largest float, which MLflow stores in its place; any other value as it is."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def finite(value: float | None) -> bool:
    """Return True if a metric can be compared: it is not NaN or infinity, nor MLflow's stand-in for infinity."""
    return value is not None and math.isfinite(restore_infinity(value))


@dataclass(frozen=True)
class Failure:
    """The reason why a run did not finish: an exception in a cell, a signal, a timeout or an interrupt."""

    kind: Literal["error", "exit", "signal", "timeout", "interrupt", "start", "pruned"]
    """"pruned" is no failure: a trial of a sweep that was not worth finishing."""
    error: str
    """Name of the exception or signal, or what ran out."""
    message: str
    cell: int | None = None
    """Index of the failing cell in the notebook as its author wrote it, from 0; None if none was running."""
    line: str = ""
    """First line of that cell."""
    signal: int | None = None

    def __post_init__(self) -> None:
        # These go to tags, pages and terminals, and errors often contain an address with its password.
        for name in ("message", "line"):
            object.__setattr__(self, name, safe_text.masked(getattr(self, name)))

    def __str__(self) -> str:
        where = f"cell {self.cell} ({self.line}): " if self.cell is not None else ""
        return f"{where}{self.error}: {self.message}" if self.message else f"{where}{self.error}"

    def beside(self, elsewhere: Failure) -> Failure:
        """Return this failure with that of another process, which may be its cause, in the message."""
        return replace(self, message=f"{self.message}; and {elsewhere}")


@dataclass(frozen=True)
class RunResult:
    """The result of one run of a notebook."""

    run_id: str | None
    """None when the notebook was run untracked."""
    status: RunStatus
    output: Path
    """The executed notebook; always there, also after a failure."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    url: str = ""
    stopped_early: bool = False
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    seen: bool = False
    """True for an earlier run of the same source: none was started."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops run --json` prints."""
        failure = None if self.failure is None else dict(vars(self.failure))
        return {
            "run_id": self.run_id,
            "status": self.status,
            "output": str(self.output),
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
            "failure": failure,
            "url": self.url,
            "stopped_early": self.stopped_early,
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": self.peak_memory_mb,
            "seen": self.seen,
        }


__getattr__ = forwarding(__name__)
