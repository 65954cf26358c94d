"""Traffic that somebody moves by hand: it gets its entry in the ledger, too, and waits for a promotion to be done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from notebooks_lib.errors import NbopsError, TrackingError, UnknownNameError
from notebooks_lib.promotion.releasing import slots
from notebooks_lib.promotion.releasing.journal import Desk
from notebooks_lib.sections import STAGES
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import ledger
from notebooks_lib.tracking.ledger import Entry
from notebooks_lib.tracking.store import connect


@contextmanager
def noted(settings: Settings, name: str) -> Iterator[None]:
    """Whatever traffic of an endpoint moves in this block, the ledger says so.

    Raises PromotionError when a promotion or rollback is at it, TrackingError when the traffic moved and the ledger
    cannot be reached. Where nothing moves, the store is not asked.
    """
    before = _status(settings, name)
    desk = _desk(settings, name, before)
    if desk is not None:
        desk.take()
    try:
        yield
    finally:
        if desk is not None:
            desk.release()
    now = _status(settings, name)
    desk = desk or _desk(settings, name, now)
    told = slots.traffic(before), slots.traffic(now)
    if desk is not None and told[0] != told[1]:
        try:
            entry = Entry(desk.model, desk.stage, "traffic", *told, reason="by hand: nbops endpoint")
            ledger.write(connect(settings), entry, f"by-hand-{uuid.uuid4().hex}")
        except NbopsError as error:
            raise TrackingError(
                f"the traffic of {name!r} moved from {told[0] or 'none'} to {told[1] or 'none'}, but the ledger does "
                f"not say so: {error}"
            ) from error


def _status(settings: Settings, name: str) -> Status | None:
    with suppress(UnknownNameError):
        return endpoint.status(settings, name)
    return None


def _desk(settings: Settings, name: str, found: Status | None) -> Desk | None:
    """Of the stage whose endpoint this is; None for one that belongs to none."""
    models = {str(slot.detail.get("model", "")) for slot in found.slots.values()} if found else set()
    for model in sorted(models - {""}):
        for stage in STAGES:
            if settings.stages.endpoint(stage, model) == name:
                return Desk(settings, model, stage)
    return None
