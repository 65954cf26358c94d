"""Collect facts about a model; no row of the holdout is scored.

The rules get its files, its requirements and the data it has seen; the page of a decision gets its model card.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.datasets import holdout_leakage, training_rows
from notebooks_lib.errors import DatasetError, ModelError, NbopsError, reason
from notebooks_lib.models import logged_models, model_files, requirements
from notebooks_lib.notebooks import document, source_fingerprint
from notebooks_lib.paths import Layout
from notebooks_lib.promotion.evidence import Side
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import provenance, query

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.models.registry import Version
    from notebooks_lib.promotion.candidate_screening import Candidate, Candidates
    from notebooks_lib.promotion.decision import Decision
    from notebooks_lib.promotion.policy import Policy
    from notebooks_lib.tracking.query import RunInfo
    from notebooks_lib.tracking.store import Store

CALLS = 50
"""Single rows that are timed."""
WARM_UP = 3
"""First calls, not timed: they import what the model needs."""
Facts = tuple[tuple[str, str], ...]
LONG = 400
"""Characters of a parameter's value that are shown."""


def latency(source: str, data: Dataset) -> float:
    """Return the 95th percentile of the time of single-row predictions on this machine, in milliseconds."""
    model = logged_models.load(source)
    rows = data.validation.X
    seconds = []
    try:
        for number in range(CALLS + WARM_UP):
            place = number % len(rows)
            row = rows.iloc[place : place + 1]
            began = time.perf_counter()
            model.predict(row)
            seconds.append(1000 * (time.perf_counter() - began))
    except Exception as error:
        raise ModelError(f"it does not predict one row: {reason(error)}") from error
    timed = sorted(seconds[WARM_UP:])
    return timed[int(0.95 * (len(timed) - 1))]


def irreproducible(store: Store, run: RunInfo | None) -> str:
    """Return why commit, parameters and data do not reproduce the run's fingerprint; empty when they do."""
    tags = run.tags if run else {}
    commit, fingerprint = tags.get("mlflow.source.git.commit", ""), tags.get(Tag.SOURCE_FINGERPRINT, "")
    if run is None or not fingerprint or Tag.RUN_FINGERPRINT not in tags:
        return "its run has no fingerprint: its notebook was not run with nbops"
    if source_fingerprint.run_fingerprint(fingerprint, sorted(run.datasets.values())) != tags[Tag.RUN_FINGERPRINT]:
        return "its data are not those of its fingerprint"
    with tempfile.TemporaryDirectory() as scratch:
        if not (commit and _checked_out(store.settings.root, commit, Path(scratch))):
            return f"its commit {commit[:8] or '(unknown)'} is not in this repository"
        try:
            again = _source_fingerprint(store, run, Path(scratch), tags)
        except (NbopsError, OSError, ValueError) as error:
            return f"it cannot be computed anew: {reason(error)}"
    return "" if again == fingerprint else f"commit {commit[:8]} and its parameters give another one"


def _source_fingerprint(store: Store, run: RunInfo, root: Path, tags: Mapping[str, str]) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        path = store.client.download_artifacts(run.run_id, "nbops/parameters.json", scratch)
        values = json.loads(Path(path).read_text("utf-8"))
    notebook = document.read(root / tags.get(Tag.NOTEBOOK, ""))
    return source_fingerprint.source_fingerprint(notebook, values, provenance.lock_sha256(Layout(root)), root)


def _checked_out(root: Path, commit: str, folder: Path) -> bool:
    """Extract the project's files at a commit into `folder`; the work tree stays untouched."""
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return False
    done = subprocess.run(
        ["git", "-C", str(root), "archive", "--format=tar", commit], capture_output=True, check=False, timeout=120
    )
    if done.returncode != 0:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and newer
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)  # git's own archive of this project
    return True


def _seen(store: Store, run: RunInfo | None, data: Dataset) -> int | None:
    """Return how many holdout rows the run loaded by name or logged with its model; None when that is unknown."""
    try:
        loaded_rows = holdout_leakage.seen_in_datasets(
            data, tuple(run.datasets.values()) if run else (), store.settings
        )
        logged = (
            training_rows.logged_training_rows(store, run.run_id, run.tags.get(Tag.MODEL, "model")) if run else None
        )
        if loaded_rows is None or run is None or logged is None:
            return None if loaded_rows == 0 and run is not None and Tag.OWN_READS in run.tags else loaded_rows
        others = [tag.ref for tag in run.dataset_tags]
        logged_rows = holdout_leakage.seen_in_example(data.ref, others, logged, store.settings)
    except DatasetError:  # a tag that names no dataset
        return None
    if loaded_rows == logged_rows == 0 and Tag.OWN_READS in run.tags and not _whole(logged, data):
        return None  # the notebook read a table by itself, and logged too few rows to tell which
    return loaded_rows or logged_rows


def _whole(logged: training_rows.LoggedRows, data: Dataset) -> bool:
    """Return True if a model was logged with as many rows as there are to fit it on."""
    columns = [name for name in logged.columns if name in data.train.frame.columns]
    return len(columns) == len(logged.columns) and len(logged.digests) >= len(
        data.train.frame[columns].drop_duplicates()
    )


def challenger_side(store: Store, candidate: Candidate, data: Dataset, policy: Policy) -> Side:
    """Collect facts about a candidate from its run and its files, as a `Side`, before it is scored on the holdout."""
    return _side(store, candidate.label, candidate.run, candidate.source, data, policy)


def champion_side(store: Store, version: Version, data: Dataset, policy: Policy) -> Side:
    """Collect facts about the champion from its run and its files, as a `Side`, before it is scored on the holdout."""
    run = query.find_run(store, version.run_id)  # None when it was deleted since; its version still serves
    side = _side(store, f"version {version.version}", run, version.source, data, policy, judged=False)
    return replace(side, run_id=version.run_id, version=version.version)


def _side(
    store: Store, label: str, run: RunInfo | None, source: str, data: Dataset, policy: Policy, *, judged: bool = True
) -> Side:
    """Return a side with what its run and files say. Latency and fingerprint are checked only when it is `judged`."""
    tags = run.tags if run else {}
    used = sorted(run.dataset_tags if run else (), key=lambda tag: tag.fingerprint != data.fingerprint)
    side = Side(
        label=label,
        run_id=run.run_id if run else "",
        dataset=str(used[0]) if used else "",
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty={"true": True, "false": False}.get(tags.get(Tag.GIT_DIRTY, "")),
        seen_rows=_seen(store, run, data),
    )
    with suppress(ModelError):  # its rules say what is unknown
        side = replace(side, signature=logged_models.signature(source))
    with suppress(ModelError):
        files = model_files.read_model_files(source)
        side = replace(side, model_sha256=files.sha256, size_bytes=files.size_bytes)
        if files.requirements is not None:
            faults = requirements.requirement_faults(files.requirements, store.settings.layout.lock)
            side = replace(side, loose=tuple(faults))
        if judged and policy.max_latency_ms is not None:
            side = replace(side, latency_ms=latency(source, data))
    if judged and policy.require_fingerprint:
        side = replace(side, irreproducible=irreproducible(store, run))
    return side


@dataclass(frozen=True)
class ModelCard:
    """Facts about a model for the page of a promotion decision: origin, data, parameters, code and environment.

    Metric values are not among them.
    """

    title: str
    """Title of its notebook."""
    intended: str
    """Purpose in the words of its notebook; empty when there are none."""
    sections: tuple[tuple[str, Facts], ...]
    """Pairs of heading and facts; a fact is a name with a value."""


def collect_model_card(store: Store, decision: Decision, candidates: Candidates) -> ModelCard:
    """Return the model card of the decision's challenger. Facts that cannot be read are given as "not known"."""
    side, data = decision.challenger, candidates.dataset
    run = query.find_run(store, side.run_id)
    tags: Mapping[str, str] = run.tags if run else {}
    title, intended = _purpose(store, tags)
    dirty = {True: "with uncommitted changes", False: "clean", None: "not known"}[side.dirty]
    files, code = _requirements_and_code(store, run)
    return ModelCard(
        title,
        intended,
        (
            (
                "Data",
                (
                    ("dataset", f"{data.ref}, {data.source}"),
                    ("description", data.description or "none was given"),
                    ("target", data.target or "none"),
                    (
                        "rows",
                        f"{len(data.train)} to fit, {len(data.validation)} to choose, {data.rows_held_out} to decide",
                    ),
                    ("features", f"{len(data.train.features)}: {', '.join(data.train.features[:12])}"),
                    ("fingerprint", data.fingerprint),
                    ("trained on", ", ".join(sorted(run.datasets.values())) if run else "not known"),
                ),
            ),
            ("Parameters", tuple((key, value[:LONG]) for key, value in sorted(run.params.items())) if run else ()),
            (
                "Code",
                (
                    ("notebook", tags.get(Tag.NOTEBOOK, "not known")),
                    ("commit", side.commit or "not known"),
                    ("work tree", dirty),
                    ("run", side.run_id),
                    ("run fingerprint", tags.get(Tag.RUN_FINGERPRINT, "not known")),
                    ("by", tags.get("mlflow.user", "not known")),
                ),
            ),
            (
                "Model and environment",
                (
                    ("files", f"{side.size_bytes} bytes, sha256 {side.model_sha256}"),
                    ("kept as", tags.get(Tag.MODEL_FORMAT, "not known")),
                    ("code that runs when it is loaded", code),
                    ("takes", _columns(side.signature, "inputs")),
                    ("gives", _columns(side.signature, "outputs")),
                    ("requires", ", ".join(files) if files else "not known"),
                    ("judged with", f"Python {sys.version.split()[0]}"),
                    ("locked environment", tags.get(Tag.LOCK_SHA256, "none")),
                ),
            ),
        ),
    )


def _purpose(store: Store, tags: Mapping[str, str]) -> tuple[str, str]:
    """Return title and purpose as the run recorded them, else as the notebook says now."""
    title, _, text = tags.get("mlflow.note.content", "").partition("\n\n")
    if title:
        return title, text
    try:
        notebook = document.read(store.settings.root / tags.get(Tag.NOTEBOOK, ""))
    except (NbopsError, OSError):
        return "", ""
    return notebook.title, notebook.purpose


def _requirements_and_code(store: Store, run: RunInfo | None) -> tuple[tuple[str, ...], str]:
    """Return its requirements, and which of its code runs when it is loaded."""
    try:
        files = model_files.read_model_files(logged_models.model_of_run(store, run.run_id).source) if run else None
    except NbopsError:
        files = None
    if files is None:
        return (), "not known"
    return tuple(line for line in files.requirements or () if line.strip()), files.code or "none but its libraries'"


def _columns(signature: object, part: str) -> str:
    columns = signature.get(part) if isinstance(signature, Mapping) else None
    if not columns:
        return "not known"
    named = [f"{column.get('name', '')} {column.get('type', '')}".strip() for column in columns]
    return ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
