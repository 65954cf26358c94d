"""Says which versions a stage lets in: those of a clean commit, whose fingerprint comes out again. It moves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.models.champions import PROD
from notebooks_lib.promotion import model_checks
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.release.rollout import Way
    from notebooks_lib.tracking.query import RunInfo


def refusal(way: Way, stage: str, run: RunInfo | None) -> str:
    """Why a stage does not take what a run has made, and how to let it in; empty when it takes it."""
    if _wants(way, stage, "require_clean") and (run is None or run.tags.get(Tag.GIT_DIRTY) != "false"):
        return (
            "it was not trained from a clean commit; commit, run the notebook and promote again, or let it in: "
            f"require_clean = false under [stages.{stage}]"
        )
    if _wants(way, stage, "require_fingerprint"):
        why = model_checks.irreproducible(way.store, run)
        if why:
            return (
                f"{why}, and its fingerprint has to come out again; to let it in: require_fingerprint = false under "
                f"[stages.{stage}]"
            )
    return ""


def _wants(way: Way, stage: str, what: str) -> bool:
    """What the settings say; unsaid, test and prod want it as soon as any stage but prod is used (decision 28)."""
    stages = way.store.settings.stages
    said: bool | None = getattr(stages.of(stage), what)
    if said is not None:
        return said
    return stage != "dev" and {*way.names, *stages.default} != {PROD}
