"""Write a decision to its MLflow run and read it back, for callers without a screen. Nobody parses printed text."""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import PromotionError
from notebooks_lib.models import registry
from notebooks_lib.promotion import card, model_card
from notebooks_lib.promotion.candidates import Candidates
from notebooks_lib.release.stages import Release
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import ledger

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

FOLDER = "promotion"
FILE = "decision.json"
LATER = "release.json"
"""What the stages did after the decision was recorded: a workspace lets no file be written twice."""
_LATER_TAG = "nbops.decision.release"
CARD = f"{FOLDER}/card.html"


def write_decision(store: Store, run_id: str, release: Release, candidates: Candidates) -> dict[str, Any]:
    """Log the decision, its rules and what was done so far as JSON, metrics and tags; return what was logged.

    Called before the stages and again after them; the second call adds what was done. The tag with the answer is
    written last: a run that carries it has the whole decision.
    """
    decision, client = release.decision, store.client
    content: dict[str, Any] = {
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
    run = client.get_run(run_id)
    content["card"] = f"{run.info.artifact_uri.rstrip('/')}/{CARD}"
    if Tag.DECISION in run.data.tags:
        client.log_dict(run_id, {"release": content["release"]}, f"{FOLDER}/{LATER}")
        client.set_tag(run_id, _LATER_TAG, f"{FOLDER}/{LATER}")
    else:
        _first(store, run_id, release, candidates, content)
    tags = {
        "nbops.decision.model": release.model,
        "nbops.decision.version": release.version.version if release.version else "",
        "nbops.decision.previous": release.before.version if release.before else "",
        Tag.REASON: release.reason,
        "nbops.decision.waiting": release.rollout.waiting,
        Tag.PROMOTED: str(release.promoted).lower(),
        Tag.DECISION: decision.answer,
    }
    for key, text in tags.items():
        if text:
            client.set_tag(run_id, key, text)
    return content


def _first(store: Store, run_id: str, release: Release, candidates: Candidates, content: dict[str, Any]) -> None:
    """Log what does not change any more: the page for people, the decision, its figures."""
    decision, client = release.decision, store.client
    _card(store, run_id, release, candidates)
    client.log_dict(run_id, content, f"{FOLDER}/{FILE}")
    figures = {
        f"challenger_{decision.metric}": decision.challenger.score,
        f"champion_{decision.metric}": decision.champion.score,
        "gain": decision.evidence.gain,
    }
    for name, value in figures.items() if decision.evidence.shows_estimates else ():
        if value is not None and math.isfinite(value):
            client.log_metric(run_id, name, value)


def _card(store: Store, run_id: str, release: Release, candidates: Candidates) -> None:
    """Log the page for people, and link it from the version."""
    run = store.client.get_run(run_id)
    decision, version = release.decision, release.version
    url = store.run_url(run_id, run.info.experiment_id)
    links = [("this decision", url), ("run of the challenger", decision.challenger.run_id)]
    if version is not None and not release.rollout.dry_run:
        links.append(("version", version.uri))
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    made = (
        f"Written by nbops on {when} for {ledger.who()}. All figures are in promotion/decision.json beside this page."
    )
    about = model_card.collect_model_card(store, decision, candidates)
    rollout = release.rollout
    page = card.decision_page(decision, about, made=made, stages=rollout.names, dry_run=rollout.dry_run, links=links)
    store.client.log_text(run_id, page, CARD)
    if release.promoting and version is not None and not release.rollout.dry_run:
        registry.set_tags(store, version, {Tag.CARD: f"runs:/{run_id}/{CARD}"})


def read_decision(store: Store, run_id: str) -> dict[str, Any]:
    """Return what `write_decision` logged. Raises PromotionError when the run carries no decision."""
    tags = store.client.get_run(run_id).data.tags
    if Tag.DECISION not in tags:
        raise PromotionError(f"run {run_id} recorded no decision; its notebook must end with gate.record(...)")
    with tempfile.TemporaryDirectory() as scratch:
        path = store.client.download_artifacts(run_id, f"{FOLDER}/{FILE}", scratch)
        content = json.loads(Path(path).read_text("utf-8"))
        if _LATER_TAG in tags:
            path = store.client.download_artifacts(run_id, tags[_LATER_TAG], scratch)
            content |= json.loads(Path(path).read_text("utf-8"))
    return dict(content)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
