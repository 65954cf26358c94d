"""What a review says of a pull request, as frozen values: the same for Markdown, page and JSON. It does no work."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from notebooks_lib.notebooks.notebook_diff import CellChange, NotebookDiff
from notebooks_lib.notebooks.notebook_rules import RuleViolation
from notebooks_lib.run_result import Failure

Verdict = Literal["better", "worse", "higher", "lower", "no difference found"]
"""Higher and lower are of a metric whose better direction is not known."""
HelperState = Literal["added", "removed", "edited", "now used", "no longer used"]
"""Used: what a notebook imports or runs. A file of the last two is the same at base and head."""
ParameterChangeKind = Literal["added", "removed", "renamed", "default", "annotation"]


@dataclass(frozen=True)
class Gain:
    """How much better the head's model is than the base's, on the same validation rows."""

    gain: float
    """Positive when the head is better, whatever the metric's direction; head - base where that is not known."""
    lower: float
    upper: float
    """Bounds of the 95 % interval, before the correction for several metrics."""
    verdict: Verdict
    """After Holm's correction over the metrics of the notebook."""
    of: str
    """What was resampled, with its number: "79 validation rows", "8 seeds"."""


@dataclass(frozen=True)
class MetricChange:
    """One metric, at the base and at the head."""

    name: str
    base: float | None
    """By the base's model on the validation rows, or as its run logged it where there is no gain; None if unknown."""
    head: float | None
    gain: Gain | None = None
    no_gain_because: str = ""
    """Why there is no interval, in one line."""
    logged_base: float | None = None
    """What the run logged, where that differs from `base` by more than one per cent."""
    logged_head: float | None = None


@dataclass(frozen=True)
class SourceProof:
    """Whether the head's numbers come from exactly the source under review, and if not, what differs."""

    run_id: str = ""
    """The head's run; empty if there is none."""
    fingerprint: str = ""
    commit: str = ""
    differences: tuple[str, ...] = ()
    """What differs between the run's source and the one under review, or is held against the base's run."""
    given: Mapping[str, object] = field(default_factory=dict)
    """Parameters of the run that [review.parameters] set."""

    @property
    def exact(self) -> bool:
        """True if the numbers come from exactly the source under review."""
        return bool(self.run_id) and not self.differences


@dataclass(frozen=True)
class ParameterChange:
    """One change of a parameter: added, removed, renamed, or with another default or annotation."""

    kind: ParameterChangeKind
    name: str
    """Its name now, or the one it had when it was removed."""
    base: str
    """Its name, default or annotation before, as written; empty for an added one."""
    head: str
    """The same now; empty for a removed one."""

    @property
    def text(self) -> str:
        """The change in a few words: "parameter `alpha` is now `strength`"."""
        if self.kind == "renamed":
            return f"parameter `{self.base}` is now `{self.head}`"
        return f"parameter `{self.name}` {self.kind}{'' if self.kind in ('added', 'removed') else ' changed'}"


@dataclass(frozen=True)
class FigureChange:
    """A figure of a cell at the base and at the head, as PNG bytes; None where it does not exist."""

    cell: int
    """Index in the head, or in the base for a figure that is gone."""
    name: str
    """The cell's id, or its first line."""
    base: bytes | None = field(repr=False)
    head: bytes | None = field(repr=False)


@dataclass(frozen=True)
class CostRise:
    """A cell whose time or memory changed much from base to head."""

    cell: int
    name: str
    base_seconds: float | None
    head_seconds: float | None
    base_memory_mb: float | None
    head_memory_mb: float | None


@dataclass(frozen=True)
class HelperChange:
    """A project file, not a notebook, through which a notebook changed."""

    path: str
    state: HelperState
    diff: str
    """Unified diff without the two lines of names; empty for the environment's lock, which has `packages`."""
    packages: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of a lock: package -> version before and after; empty where it had none."""


@dataclass(frozen=True)
class RunProblem:
    """The failure of the base's or the head's notebook, or the reason why it could not be run."""

    side: Literal["base", "head"]
    failure: Failure | None
    """None when it could not be run at all."""
    reason: str
    """In one line."""
    last_lines: tuple[str, ...] = ()
    """The last lines of its output."""


@dataclass(frozen=True)
class NotebookReview:
    """The review of one notebook whose source fingerprint changed."""

    path: str
    old_path: str = ""
    """Where it was, if it was renamed."""
    state: Literal["added", "deleted", "modified"] = "modified"
    problem: str = ""
    """Why it cannot be compared, in one line; then all else is empty."""
    note: str = ""
    """Why nothing is compared, though nothing is wrong; with a diff, why a notebook that was there counts as new."""
    diff: NotebookDiff | None = None
    helpers: tuple[HelperChange, ...] = ()
    parameters: tuple[ParameterChange, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    no_metrics_because: str = ""
    """Why there are no numbers, and how to get them, in one line."""
    proof: SourceProof = field(default_factory=SourceProof)
    base_run: str = ""
    """Id of the base's run; empty if there is none."""
    new_findings: tuple[RuleViolation, ...] = ()
    mended_findings: int = 0
    stale_text: tuple[str, ...] = ()
    """Text or outputs that no longer fit, each in one line."""
    figures: tuple[FigureChange, ...] = ()
    costs: tuple[CostRise, ...] = ()
    run_problems: tuple[RunProblem, ...] = ()

    @property
    def summary(self) -> str:
        """What changed, in one sentence: cells, parameters, helpers."""
        if self.problem or not self.diff:
            return self.problem or self.note or "no source change"
        cells = self.diff.summary if self.diff.changes else ""
        parts = [cells, self.note, *self.diff.notes, *(change.text for change in self.parameters)]
        for state in ("now used", "no longer used"):
            if paths := [f"`{helper.path}`" for helper in self.helpers if helper.state == state]:
                parts.append(f"{state}: {', '.join(paths)}")
        if paths := [f"`{helper.path}`" for helper in self.helpers if not helper.state.endswith("used")]:
            parts.append(f"changed through {', '.join(paths)}")
        return "; ".join(filter(None, parts)) or ("no cells" if self.state == "added" else "no source change")

    @property
    def changes(self) -> tuple[CellChange, ...]:
        """The cells that changed."""
        return self.diff.changes if self.diff else ()

    def as_json(self) -> dict[str, Any]:
        """Return the notebook's part of `Review.as_json`."""
        content = {name: plain(value) for name, value in vars(self).items() if name != "diff"}
        cells = self.diff.as_json()["cells"] if self.diff else []
        return {"summary": self.summary, **content, "exact_source": self.proof.exact, "cells": cells}

    @property
    def worse(self) -> bool:
        """True if a metric is worse at the head."""
        return any(metric.gain is not None and metric.gain.verdict == "worse" for metric in self.metrics)

    @property
    def failed(self) -> bool:
        """True if the notebook failed at the head."""
        return any(problem.side == "head" for problem in self.run_problems)


@dataclass(frozen=True)
class MissingFiles:
    """Files of the base whose content is not in this clone."""

    paths: Sequence[str] = ()
    reason: str = ""
    """Git's reason, and the command that gets them."""


@dataclass(frozen=True)
class Review:
    """The review of a pull request: all notebooks that changed."""

    base: str
    """As it was asked for, such as "origin/main"."""
    base_commit: str
    head_commit: str
    """Empty before a first commit."""
    dirty: bool
    """Whether the work tree holds changes that are not committed."""
    notebooks: tuple[NotebookReview, ...]
    unchanged: int = 0
    """Notebooks whose files and fingerprints are equal."""
    only_outputs: tuple[str, ...] = ()
    """Those whose files changed without a change of source: outputs, counts, metadata or ids."""
    other_files: tuple[str, ...] = ()
    """Changed files that notebooks may read, and whose change makes no notebook count as changed."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Notebooks of which only the place changed: where they were -> where they are."""
    missing: MissingFiles = MissingFiles()
    no_runs: str = ""
    """Why no notebook has numbers, in one line, where all have the same reason."""
    faults_only: bool = False
    """Whether findings of conventions are left out, as outside a project."""
    check_changed: tuple[str, ...] = ()
    """The settings of [check] that the head has otherwise than the base, whose rules count."""

    @property
    def exit_code(self) -> int:
        """1 when a notebook failed or has new findings, else 0. A worse metric is not an error."""
        return int(any(notebook.failed or notebook.problem or notebook.new_findings for notebook in self.notebooks))

    def as_json(self) -> dict[str, Any]:
        """Return the review as plain values for JSON: digests for figures, null for missing and infinite numbers."""
        return {
            "base": self.base,
            "base_commit": self.base_commit,
            "head_commit": self.head_commit or None,
            "dirty": self.dirty,
            "worse": any(notebook.worse for notebook in self.notebooks),
            "failed": any(notebook.failed for notebook in self.notebooks),
            "unchanged": self.unchanged,
            "only_outputs": list(self.only_outputs),
            "other_files": list(self.other_files),
            "renamed": dict(self.renamed),
            "missing": plain(self.missing),
            "no_runs": self.no_runs,
            "faults_only": self.faults_only,
            "check_changed": list(self.check_changed),
            "notebooks": [notebook.as_json() for notebook in self.notebooks],
        }


def plain(value: Any) -> Any:
    """Return a value of a review for JSON: digests for bytes, null for numbers that are not finite."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, PurePath) else value
