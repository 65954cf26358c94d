"""Collect what is known of a challenger: intended use, data, parameters, code, environment. It judges nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebooks_lib.errors import NbopsError
from notebooks_lib.models import logged_models, model_files
from notebooks_lib.notebooks import document
from notebooks_lib.promotion.candidates import Candidates
from notebooks_lib.promotion.decision import Decision
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query

if TYPE_CHECKING:
    from notebooks_lib.tracking.query import RunInfo
    from notebooks_lib.tracking.store import Store

Facts = tuple[tuple[str, str], ...]
LONG = 400
"""Characters of a parameter's value that are shown."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model besides its figures."""

    title: str
    """Title of its notebook."""
    intended: str
    """Purpose in the words of its notebook; empty when there are none."""
    sections: tuple[tuple[str, Facts], ...]
    """Pairs of heading and facts; a fact is a name with a value."""


def collect_model_card(store: Store, decision: Decision, candidates: Candidates) -> ModelCard:
    """Return the card of the challenger. What is unknown is said to be unknown; nothing raises."""
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
        files = model_files.read(logged_models.model_of_run(store, run.run_id).source) if run else None
    except NbopsError:
        files = None
    if files is None:
        return (), "not known"
    return tuple(line for line in files.requirements or () if line.strip()), files.code or "none but its libraries'"


def _columns(signature: object, part: str) -> str:
    columns = signature.get(part) if isinstance(signature, Mapping) else None
    if not columns:
        return "not known"
    named = [f"{each.get('name', '')} {each.get('type', '')}".strip() for each in columns]
    return ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
