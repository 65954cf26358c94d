"""Deploy registered versions to slots of an endpoint, after checking that their files are those that were scored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib import dataset_tag, datasets
from notebooks_lib.errors import DatasetError, ModelError, PromotionError, UnknownNameError
from notebooks_lib.models import model_files, registry, trusted_flavors
from notebooks_lib.models.registry import Version
from notebooks_lib.serving.endpoint import (
    DeploymentDetail,
    Endpoint,
    EndpointStatus,
    FetchedModel,
    ServedVersion,
    SlotStatus,
)
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query

log = logging.getLogger("nbops.endpoint")

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.tracking.store import Store


def endpoint_status(endpoint: Endpoint) -> EndpointStatus | None:
    """Return the status of an endpoint; None when nothing was ever deployed under its name."""
    try:
        return endpoint.status()
    except UnknownNameError:
        return None


def slot_holding(status: EndpointStatus | None, version: Version) -> str:
    """Return the slot that holds this version's files; if several do, the one with most traffic; empty if none does."""
    slots = status.slots if status else {}
    mine = [name for name, slot in slots.items() if _holds_version(slot, version) and slot.state != "failed"]
    return max(mine, key=lambda name: slots[name].traffic, default="")


def serves_all(status: EndpointStatus | None, version: Version) -> bool:
    """Return True if an endpoint runs and gives this version all its traffic."""
    slot = slot_holding(status, version)
    return status is not None and status.state == "running" and bool(slot) and status.slots[slot].traffic == 100


def deploy_version(
    store: Store,
    endpoint: Endpoint,
    version: Version,
    *,
    slot: str = "",
    reason: str = "",
    todays_settings: bool = False,
) -> str:
    """Load `version` into a slot of an endpoint, unless a slot already holds it, and return the slot.

    `slot` is by default the one that holds the version, else the idle slot. With `todays_settings`, a slot that was
    deployed by other settings does not count. No traffic moves. Raises EndpointError when the version cannot be loaded,
    UsageError when the named slot has traffic and holds another version. In both cases the current version keeps
    serving.
    """
    status = endpoint_status(endpoint)
    holding = slot_holding(status, version)
    if status is not None and holding and slot in ("", holding) and endpoint.is_intact(holding):
        if status.state != "running" or status.slots[holding].state == "stopped":
            status = endpoint.start()
        changed = endpoint.changed_settings(holding) if todays_settings else []
        if status.slots[holding].state != "stopped" and not changed:
            return holding
        if changed:
            log.info("slot %s of endpoint %s has other settings: %s", holding, endpoint.name, ", ".join(changed))
        slot = slot or ("" if status.slots[holding].traffic else holding)
    slot = slot or endpoint.idle_slot()

    def fetch(scratch: Path) -> FetchedModel:
        folder = model_files.download(version.source, scratch)
        return FetchedModel(folder, *confirm_checksum(version, folder, store.settings.promotion.trusted_flavors))

    endpoint.deploy(slot, ServedVersion(version.version, deployment_detail(store, version, reason), fetch))
    return slot


def traffic_by_version(status: EndpointStatus | None) -> str:
    """Return the traffic in the form of the ledger: "1=90,2=10" is percent by version; empty when there is none.

    A stopped endpoint keeps its percentages: it applies them again when it is started.
    """
    return shares_by_version(status, {name: slot.traffic for name, slot in status.slots.items()}) if status else ""


def shares_by_version(status: EndpointStatus, percents: Mapping[str, int]) -> str:
    """Return percentages by version as text, such as "1=90,2=10"; `percents` are by slot."""
    by_version: dict[str, int] = {}
    for name, percent in percents.items():
        if percent:
            version = status.slots[name].version
            by_version[version] = by_version.get(version, 0) + percent
    return ",".join(f"{version}={percent}" for version, percent in sorted(by_version.items()))


def known_rows(store: Store, version: Version) -> pd.DataFrame | None:
    """Return validation rows of a dataset that the version's run used; None if no such dataset can be read."""
    for tag in dataset_tag.of_run(run_tags(store, version)):
        try:
            return datasets.read(tag.ref, store.settings).validation.X
        except (UnknownNameError, DatasetError):
            continue
    return None


def run_tags(store: Store, version: Version) -> Mapping[str, str]:
    """Return the tags of a version's run; empty when the run was deleted."""
    run = query.find_run(store, version.run_id)
    return run.tags if run else {}


def _holds_version(slot: SlotStatus, version: Version) -> bool:
    """Return True if a slot holds this very version: another store may have one of the same number."""
    mine = slot.detail.run_id == version.run_id and slot.detail.model == version.model
    scored_as = version.sha256
    same = not (slot.sha256 and scored_as) or slot.sha256 == scored_as
    return slot.version == version.version and mine and same


def deployment_detail(store: Store, version: Version, reason: str = "") -> DeploymentDetail:
    """Return the details of a version that the status of its slot shows.

    The default `reason` is that of the version's promotion.
    """
    refs = ", ".join(tag.ref for tag in dataset_tag.of_run(run_tags(store, version)))
    return DeploymentDetail(version.model, version.run_id, dataset=refs, reason=reason or version.reason)


def pin_checksum(store: Store, version: Version, sha256: str) -> None:
    """Tag the version with `sha256`, the digest of the files that were scored.

    Raises PromotionError when the version's files have another digest.
    """
    if not sha256:
        return  # a decision that was made without files, as tests make them
    digest = model_files.read_model_files(version.source).sha256
    if digest != sha256:
        raise PromotionError(_wrong_files(version, digest, sha256, model_files.local_model_folder(version.source)))
    registry.set_tags(store, version, {Tag.MODEL_SHA256: sha256})


def confirm_checksum(version: Version, folder: Path, trusted: Sequence[str]) -> tuple[str, str]:
    """Return the digest of the files in `folder`, which are about to be deployed, and a text about it.

    Raises PromotionError when the files differ from those that were scored, or when a decision chose the version but
    its digest is gone. A version that was registered otherwise, or by an older nbops, is accepted, and the text says
    so.
    """
    scored_digest = version.sha256
    digest = model_files.read_model_files(folder).sha256
    if scored_digest and digest != scored_digest:
        raise PromotionError(_wrong_files(version, digest, scored_digest, folder))
    if not scored_digest and Tag.CARD in version.tags:  # older decisions have no card, and no digest either
        raise PromotionError(
            f"version {version.version} of {version.model!r} was chosen by a decision, but its digest "
            f"({Tag.MODEL_SHA256}) is gone: its files cannot be checked against those that were scored; promote again"
        )
    if not scored_digest:
        try:
            subject = f"version {version.version} of {version.model!r}, which no promotion chose,"
            trusted_flavors.check_folder_trusted(folder, trusted, subject)
        except ModelError as error:
            raise PromotionError(str(error)) from error
    return (
        digest,
        f"{digest[:12]}, {'as scored' if scored_digest else 'taken when deployed: the version has no digest'}",
    )


def _wrong_files(version: Version, digest: str, scored_digest: str, folder: Path | None) -> str:
    bytecode = model_files.bytecode_folders(folder) if folder is not None else []
    if bytecode:
        return (
            f"beside the files of version {version.version} of {version.model!r} there is bytecode that was not scored "
            f"({bytecode[0]}): another program loaded the model there; remove it and try again"
        )
    return (
        f"the files of version {version.version} of {version.model!r} are not those that were scored (digest "
        f"{digest[:12]}, scored {scored_digest[:12]}): they were changed; a refit is a new challenger, run its notebook"
    )
