"""Change a stage's endpoint by hand, while no promotion or rollback changes it.

Moved traffic is recorded in the ledger. A deployed version is not, because it gets no requests yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from notebooks_lib.errors import (
    EndpointError,
    ModelError,
    NbopsError,
    PromotionError,
    TrackingError,
    UnknownNameError,
    UsageError,
)
from notebooks_lib.models import champions, model_files, registry, trusted_flavors
from notebooks_lib.models.champions import PROD
from notebooks_lib.release import journal, version_deployment
from notebooks_lib.release.change_storage import bind_endpoint, changes_of
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.serving import targets
from notebooks_lib.serving.endpoint import SLOTS, Endpoint, EndpointStatus, FetchedModel, ServedVersion
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES
from notebooks_lib.tracking import release_ledger
from notebooks_lib.tracking.release_ledger import LedgerEntry
from notebooks_lib.tracking.store import Store, connect


@contextmanager
def changed_by_hand(settings: Settings, endpoint: Endpoint, lock: StageChanges | None = None) -> Iterator[None]:
    """Lock the stage of an endpoint, if its slots belong to one, and record in the ledger how traffic has moved.

    Every command that changes an endpoint does so within. `lock` is that of an endpoint which has no slots yet. A move
    is recorded even if the block fails. Raises StageBusyError while a promotion or rollback changes the stage,
    TrackingError when traffic moved but the ledger cannot be reached. If no traffic moved and other machines do not
    reach the endpoint, the store is not used.
    """
    before = version_deployment.endpoint_status(endpoint)
    lock = _stage_lock(settings, endpoint.name, before) or lock
    if lock is not None:
        lock.take()
    try:
        if lock is not None:
            bind_endpoint(settings, lock.stage, endpoint)
        before = version_deployment.endpoint_status(endpoint)  # a promotion may have ended meanwhile
        try:
            yield
        except BaseException as error:  # an endpoint may have moved its traffic, and then fail to confirm it
            try:
                _record_move(settings, endpoint, before, lock)
            except NbopsError as second:
                raise TrackingError(f"{str(error) or type(error).__name__}; {second}") from error
            raise
        _record_move(settings, endpoint, before, lock)
    finally:
        if lock is not None:
            lock.release()


def _record_move(
    settings: Settings, endpoint: Endpoint, before: EndpointStatus | None, lock: StageChanges | None
) -> None:
    """Write to the ledger how an endpoint's traffic differs from `before`, if it does and belongs to a stage."""
    now = version_deployment.endpoint_status(endpoint)
    lock = lock or _stage_lock(settings, endpoint.name, now)
    old, new = version_deployment.traffic_by_version(before), version_deployment.traffic_by_version(now)
    if lock is None or old == new:
        return
    try:
        entry = LedgerEntry(lock.model, lock.stage, "traffic", old, new, reason="by hand: nbops endpoint")
        release_ledger.write_entry(connect(settings), entry, f"by-hand-{uuid.uuid4().hex}")
    except NbopsError as error:
        raise TrackingError(
            f"the traffic of {endpoint.name!r} moved from {old or 'none'} to {new or 'none'}, but the ledger has no "
            f"entry of it: {error}"
        ) from error


def start_by_hand(settings: Settings, name: str) -> EndpointStatus:
    """Start an endpoint and return its status. Traffic that moves is recorded in the ledger.

    An endpoint without a slot starts with the champion of its stage. `name` may also be the name of a model. Raises
    UnknownNameError when no endpoint or model has this name, EndpointError when there is no champion, or when the files
    of a model are gone.
    """
    endpoint = targets.endpoint_for(settings, name)
    status = version_deployment.endpoint_status(endpoint)
    bare = status is None or (status.state == "stopped" and not status.slots)
    first = find_champion(settings, endpoint.name) if bare else None
    models = {first.detail.model} if first else ()
    with changed_by_hand(settings, endpoint, _of(settings, endpoint.name, models)):
        return endpoint.start(first)


def find_champion(settings: Settings, name: str) -> ServedVersion:
    """Return the champion of the stage whose endpoint is called `name`, else the prod champion of the model `name`.

    Raises UnknownNameError for an unknown name, EndpointError for an endpoint without a stage or a champion.
    """
    store = connect(settings)
    names, endpoints = registry.models(store), targets.endpoints(settings)
    served = {settings.stages.endpoint(stage, model): (stage, model) for stage in STAGES for model in names}
    if name not in served and name not in names:
        if name in endpoints:
            raise EndpointError(
                f"endpoint {name!r} has no slot, and belongs to no stage of a registered model; deploy a model "
                "to it first"
            )
        raise UnknownNameError("endpoint or model", name, {*endpoints, *names})
    stage, model = served.get(name, (PROD, name))
    champion = champions.champion(store, model, stage)
    if champion is None:
        where, how = ("", "") if stage == PROD else (f" in {stage}", f" --stages {stage}")
        raise EndpointError(f"model {model!r} has no champion{where} yet; make one with: nbops promote --live{how}")

    def fetch(scratch: Path) -> FetchedModel:
        sha256 = champion.sha256
        try:
            folder = model_files.download(champion.source, scratch)
        except ModelError as error:
            back = champions.rollback_command(model, stage)
            raise EndpointError(
                f"endpoint {name!r} cannot serve version {champion.version} of {model!r}, the champion: {error}; "
                f"restore its files, roll back to the version before ({back}), or run its notebook and promote again"
            ) from error
        if not sha256:  # the champion's mark was set by hand
            about = f"version {champion.version} of {model!r}, which no promotion chose,"
            trusted_flavors.check_folder_trusted(folder, settings.promotion.trusted_flavors, about)
        return FetchedModel(folder, sha256)

    return ServedVersion(champion.version, version_deployment.deployment_detail(store, champion), fetch)


def deploy_by_hand(settings: Settings, name: str, *, version: str = "", slot: str = "") -> tuple[str, EndpointStatus]:
    """Deploy a version of an endpoint's model to a slot; return the slot and the endpoint's status. No traffic moves.

    `version` is by default the champion of the endpoint's stage. `slot` is by default the slot that already holds the
    version, else the idle one. A stopped server is started. Raises UnknownNameError for an unknown slot or version,
    UsageError when the slot has traffic or there is nothing to deploy, PromotionError when the files differ from those
    that were scored or a change of the stage has not ended, EndpointError when the model cannot serve.
    """
    endpoint = targets.endpoint_for(settings, name)
    store, status = connect(settings), endpoint.status()
    slots = {*SLOTS, *status.slots}
    if slot and slot not in slots:
        raise UnknownNameError("slot", slot, slots)
    lock = _stage_lock(settings, name, status) or _registered(store, name)
    lock.take()
    try:
        bind_endpoint(settings, lock.stage, endpoint, store=store)
        unfinished = lock.pending()
        if unfinished is not None:  # the unfinished change may need this slot
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
        deployed = version_deployment.deploy_version(store, endpoint, chosen, slot=slot, todays_settings=True)
        return deployed, endpoint.status()
    finally:
        lock.release()


def _stage_lock(settings: Settings, name: str, status: EndpointStatus | None) -> StageChanges | None:
    """Return the lock of the stage to which the endpoint's slots belong; None when they belong to none."""
    return _of(settings, name, {slot.detail.model for slot in status.slots.values()} if status else ())


def _registered(store: Store, name: str) -> StageChanges:
    """Return the lock of the stage to which an endpoint without slots belongs. Raises UsageError if there is none."""
    lock = _of(store.settings, name, registry.models(store))
    if lock is None:
        raise UsageError(f"endpoint {name!r} belongs to no stage of a registered model, so there is nothing to deploy")
    return lock


def _of(settings: Settings, name: str, models: Iterable[str]) -> StageChanges | None:
    for model in sorted({*models} - {""}):
        for stage in STAGES:
            if settings.stages.endpoint(stage, model) == name:
                return changes_of(settings, model, stage)
    return None
