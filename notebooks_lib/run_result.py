"""How a run ended, as frozen values that several packages share. It does no work."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from notebooks_lib import safe_text
from notebooks_lib.old_names import forwarding
from notebooks_lib.tags import Tag

TrialState = Literal["running", "finished", "failed", "killed", "pruned", "skipped"]
"""`skipped`: a run with the same source fingerprint had FINISHED before, and its metrics are taken."""
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended, in MLflow's own words."""
FailureKind = Literal["error", "exit", "signal", "timeout", "interrupt", "start", "pruned"]
FAILURE_TAGS = (
    *(Tag.FAILURE, Tag.FAILURE_KIND, Tag.FAILURE_MESSAGE),
    *(Tag.FAILED_CELL, Tag.FAILED_LINE, Tag.SIGNAL),
)


def restore_infinity(value: float) -> float:
    """Return infinity for the largest float, which MLflow stores in its place; any other value as it is."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def finite(value: float | None) -> bool:
    """Return True if a metric can be compared: it is not NaN or infinity, nor MLflow's stand-in for infinity."""
    return value is not None and math.isfinite(restore_infinity(value))


@dataclass(frozen=True)
class Failure:
    """The reason why a run did not finish: an exception in a cell, a signal, a timeout or an interrupt."""

    kind: FailureKind
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

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> Failure | None:
        """Return the failure that the tags of a run record; None if they record none."""
        if not (error := tags.get(Tag.FAILURE)):
            return None
        cell, number = tags.get(Tag.FAILED_CELL, ""), tags.get(Tag.SIGNAL, "")
        kind = tags.get(Tag.FAILURE_KIND, "signal" if number else "error")  # an earlier nbops did not write it
        return cls(
            cast(FailureKind, kind) if kind in get_args(FailureKind) else "error",
            error,
            tags.get(Tag.FAILURE_MESSAGE, ""),
            int(cell) if cell.isdecimal() else None,
            tags.get(Tag.FAILED_LINE, ""),
            int(number) if number.isdecimal() else None,
        )

    def as_tags(self) -> dict[str, str]:
        """Return the tags that record this failure in a run; an empty value is not written."""
        return {
            Tag.FAILURE: self.error,
            Tag.FAILURE_KIND: self.kind,
            Tag.FAILURE_MESSAGE: self.message,
            Tag.FAILED_CELL: "" if self.cell is None else str(self.cell),
            Tag.FAILED_LINE: self.line,
            Tag.SIGNAL: "" if self.signal is None else str(self.signal),
        }

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
    output: Path | None
    """The executed notebook, also after a failure; None if that of a job could not be fetched."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    url: str = ""
    stopped_early: bool = False
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    seen: bool = False
    """True for an earlier run of the same source: none was started."""

    @property
    def exit_code(self) -> int:
        """The exit code of a command that made this run: 0 finished, 130 interrupted, 1 otherwise."""
        if self.failure is not None and self.failure.kind == "interrupt":
            return 130
        return 0 if self.status == "FINISHED" else 1

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops run --json` prints."""
        failure = None if self.failure is None else dict(vars(self.failure))
        return {
            "run_id": self.run_id,
            "status": self.status,
            "output": str(self.output) if self.output else None,
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
            "failure": failure,
            "url": self.url,
            "stopped_early": self.stopped_early,
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": self.peak_memory_mb,
            "seen": self.seen,
        }


__getattr__ = forwarding(__name__)
