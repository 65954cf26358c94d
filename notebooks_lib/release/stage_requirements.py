"""What a stage requires of a version: a clean commit, and a fingerprint that comes out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.models.champions import PROD
from notebooks_lib.promotion import model_facts
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.query import RunInfo
from typing import TYPE_CHECKING

from notebooks_lib.release.rollout import Rollout


def admission_refusal(rollout: Rollout, stage: str, run: RunInfo | None) -> str:
    """Return why a stage does not admit the model of a run, and what to do; empty when it admits the model."""
    if _requires(rollout, stage, "require_clean") and (run is None or run.tags.get(Tag.GIT_DIRTY) != "false"):
        return (
            "it was not trained from a clean commit; commit, run the notebook and promote again, or let it in: "
            f"require_clean = false under [stages.{stage}]"
        )
    if _requires(rollout, stage, "require_fingerprint"):
        why = model_facts.irreproducible(rollout.store, run)
        if why:
            return (
                f"{why}, and its fingerprint has to come out again; to let it in: require_fingerprint = false under "
                f"[stages.{stage}]"
            )
    return ""


def _requires(rollout: Rollout, stage: str, requirement: str) -> bool:
    """Return what the settings require; unset, test and prod require it once any stage but prod is used (decision
    28).
    """
    stages = rollout.store.settings.stages
    setting: bool | None = getattr(stages.of(stage), requirement)
    if setting is not None:
        return setting
    return stage != "dev" and {*rollout.names, *stages.default} != {PROD}
