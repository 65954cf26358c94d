"""Writes a decision on its MLflow run and reads it back, for callers without a screen. Nobody parses printed text."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import PromotionError
from notebooks_lib.promotion.candidates import Candidates
from notebooks_lib.promotion.release import Release
from notebooks_lib.records import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

FOLDER = "promotion"
FILE = "decision.json"


def write(store: Store, run_id: str, release: Release, candidates: Candidates) -> dict[str, Any]:
    """Log the decision, its rules and what was done as JSON, metrics and tags; return what was logged.

    The tag with the answer is the last write: a run that carries it is complete.
    """
    decision, client = release.decision, store.client
    content = {
        "decision": decision.as_json(),
        "release": release.as_json(),
        "candidates": {
            "experiment": candidates.experiment,
            "dataset": candidates.dataset.ref,
            "elsewhere": candidates.elsewhere,
            "runs": [
                {
                    "run_id": each.run.run_id,
                    "logged": _finite(each.logged),
                    "validation": _finite(each.validation),
                    "refused": each.refused,
                }
                for each in (*candidates.ranked, *candidates.others)
            ],
        },
    }
    client.log_dict(run_id, content, f"{FOLDER}/{FILE}")
    figures = {
        f"challenger_{decision.metric}": decision.challenger.score,
        f"champion_{decision.metric}": decision.champion.score,
        "gain": decision.evidence.gain,
    }
    for name, value in figures.items() if decision.evidence.shows else ():
        if value is not None and math.isfinite(value):
            client.log_metric(run_id, name, value)
    tags = {
        "nbops.decision.model": release.model,
        "nbops.decision.version": release.version.version if release.version else "",
        "nbops.decision.previous": release.before.version if release.before else "",
        Tag.REASON: release.reason,
        "nbops.decision.waiting": release.way.waiting,
        Tag.PROMOTED: str(release.promoted).lower(),
        Tag.DECISION: decision.answer,
    }
    for key, text in tags.items():
        if text:
            client.set_tag(run_id, key, text)
    return content


def read(store: Store, run_id: str) -> dict[str, Any]:
    """What `write` logged. Raises PromotionError when the run carries no decision."""
    if Tag.DECISION not in store.client.get_run(run_id).data.tags:
        raise PromotionError(f"run {run_id} recorded no decision; its notebook must end with gate.record(...)")
    with tempfile.TemporaryDirectory() as scratch:
        found = store.client.download_artifacts(run_id, f"{FOLDER}/{FILE}", scratch)
        content = json.loads(Path(found).read_text("utf-8"))
    return dict(content)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
