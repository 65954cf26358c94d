"""Where the changes of a stage are kept: on this machine, or in the tracking store if others reach its endpoint too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.release.journal import Journal
from notebooks_lib.release.local_stage_changes import LocalStageChanges, stages_with_files
from notebooks_lib.release.shared_stage_changes import SharedStageChanges, unfinished_shared_changes
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import Endpoint
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES
from notebooks_lib.tracking.store import connect
from notebooks_lib.tracking.store_identity import store_identity

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


def changes_of(settings: Settings, model: str, stage: str, *, store: Store | None = None) -> StageChanges:
    """Return the changes of a stage of a model. `store` is the project's tracking store, if it is connected already."""
    target = targets.target_of(settings, stage)
    if target.shared:
        return SharedStageChanges(store or connect(settings), model, stage, heartbeat=target.heartbeat)
    return LocalStageChanges(settings, model, stage)


def bind_endpoint(settings: Settings, stage: str, endpoint: Endpoint, *, store: Store | None = None) -> None:
    """Bind a stage's endpoint to the tracking store, if other machines reach it. The caller holds the stage's lock.

    Raises UsageError when another store releases to it, which does not see this lock.
    """
    if targets.target_of(settings, stage).shared:
        endpoint.bind_store(store_identity(store or connect(settings)))


def unfinished_changes(settings: Settings, model: str | None = None, *, store: Store | None = None) -> list[Journal]:
    """Return the journals of changes that have not ended, of one model or of all. Nothing is locked or recovered.

    The tracking store is asked only if a stage's endpoints are reached from other machines, too.
    """
    here = stages_with_files(settings, model)
    journals = [LocalStageChanges(settings, *place).pending() for place in here]
    if any(targets.target_of(settings, stage).shared for stage in STAGES):
        journals += unfinished_shared_changes(store or connect(settings), model or "")
    return [journal for journal in journals if journal is not None]
