"""Change a stage's endpoint by hand, while no promotion is running.

A move of traffic gets an entry in the ledger. A deployed version gets none, because it answers nobody yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from notebooks_lib.errors import NbopsError, PromotionError, TrackingError, UnknownNameError, UsageError
from notebooks_lib.models import champions, registry
from notebooks_lib.release import journal, version_slots
from notebooks_lib.release.journal import StageLock
from notebooks_lib.serving import endpoint, endpoint_state
from notebooks_lib.serving.endpoint import EndpointStatus
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import STAGES
from notebooks_lib.tracking import ledger
from notebooks_lib.tracking.ledger import LedgerEntry
from notebooks_lib.tracking.store import Store, connect


@contextmanager
def recorded_traffic(settings: Settings, name: str) -> Iterator[None]:
    """Record in the ledger whatever traffic of an endpoint moves in this block.

    Raises PromotionError when a promotion or rollback is at it, TrackingError when the traffic moved and the ledger
    cannot be reached. Where nothing moves, the store is not asked.
    """
    before = _status(settings, name)
    lock = _stage_lock(settings, name, before)
    if lock is not None:
        lock.take()
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
    now = _status(settings, name)
    lock = lock or _stage_lock(settings, name, now)
    old, new = version_slots.traffic_by_version(before), version_slots.traffic_by_version(now)
    if lock is not None and old != new:
        try:
            entry = LedgerEntry(lock.model, lock.stage, "traffic", old, new, reason="by hand: nbops endpoint")
            ledger.write(connect(settings), entry, f"by-hand-{uuid.uuid4().hex}")
        except NbopsError as error:
            raise TrackingError(
                f"the traffic of {name!r} moved from {old or 'none'} to {new or 'none'}, but the ledger does not "
                f"say so: {error}"
            ) from error


def deploy_by_hand(settings: Settings, name: str, *, version: str = "", slot: str = "") -> tuple[str, EndpointStatus]:
    """Deploy a version of an endpoint's model to a slot; return the slot and the endpoint's status. No traffic moves.

    Without `version` the champion of the endpoint's stage is deployed; without `slot` the slot that holds the version
    already is used, else the idle one. A stopped server is started. Raises UnknownNameError for an unknown slot or
    version, UsageError when the slot has traffic or there is nothing to deploy, PromotionError when the files are not
    those that were scored or a change of the stage has not ended, EndpointError when the model cannot be served.
    """
    store, status = connect(settings), endpoint.status(settings, name)
    slots = {*endpoint_state.SLOTS, *status.slots}
    if slot and slot not in slots:
        raise UnknownNameError("slot", slot, slots)
    lock = _stage_lock(settings, name, status) or _registered(store, name)
    lock.take()
    try:
        unfinished = lock.pending()
        if unfinished is not None:  # it may need the very slot
            raise PromotionError(
                f"stage {lock.stage!r} is not free: {journal.describe(unfinished)}; {journal.recovery_hint(unfinished)}"
            )
        if version:
            chosen = registry.get(store, lock.model, version)
        else:
            champion = champions.champion(store, lock.model, lock.stage)
            if champion is None:
                raise UsageError(f"model {lock.model!r} has no champion in {lock.stage}; name one with --version")
            chosen = champion
        return version_slots.deploy_version(store, name, chosen, slot=slot), endpoint.status(settings, name)
    finally:
        lock.release()


def _status(settings: Settings, name: str) -> EndpointStatus | None:
    with suppress(UnknownNameError):
        return endpoint.status(settings, name)
    return None


def _stage_lock(settings: Settings, name: str, status: EndpointStatus | None) -> StageLock | None:
    """Return the lock of the stage that this endpoint belongs to; None when it belongs to none."""
    return _of(settings, name, {str(slot.detail.get("model", "")) for slot in status.slots.values()} if status else ())


def _registered(store: Store, name: str) -> StageLock:
    """Return the same for an endpoint without any slot."""
    lock = _of(store.settings, name, registry.models(store))
    if lock is None:
        raise UsageError(f"endpoint {name!r} belongs to no stage of a registered model, so there is nothing to deploy")
    return lock


def _of(settings: Settings, name: str, models: Iterable[str]) -> StageLock | None:
    for model in sorted({*models} - {""}):
        for stage in STAGES:
            if settings.stages.endpoint(stage, model) == name:
                return StageLock(settings, model, stage)
    return None
