"""Puts a version of the registry behind an endpoint, with what people want to know of it. It moves no mark."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.records import Tag
from notebooks_lib.serving import endpoint
from notebooks_lib.serving.endpoint import Status
from notebooks_lib.tracking import datasets, models, query
from notebooks_lib.tracking.registry import Version

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.tracking.store import Store


def status(store: Store, name: str) -> Status | None:
    """How an endpoint is; None when there is none of that name."""
    try:
        return endpoint.status(store.settings, name)
    except UnknownNameError:
        return None


def holds(found: Status | None, version: Version) -> bool:
    """Whether an endpoint holds this very version: another store may have one of the same number."""
    if found is None:
        return False
    mine = found.detail.get("run_id", "") == version.run_id and found.detail.get("model") == version.model
    return found.version == version.version and mine


def serve(store: Store, name: str, version: Version, *, reason: str = "") -> Status:
    """Let endpoint `name` serve `version`, if it does not: start it again, or deploy.

    Raises EndpointError when it cannot be served; what served before serves on.
    """
    now = status(store, name)
    if now is not None and holds(now, version):
        return now if now.state == "running" else endpoint.start(store.settings, name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = models.download(version.source, Path(scratch))
        detail = _detail(store, version, reason or version.tags.get(Tag.REASON, ""))
        return endpoint.deploy(store.settings, name, folder, version=version.version, detail=detail)


def known_rows(store: Store, version: Version) -> pd.DataFrame | None:
    """Validation rows of the dataset that a version was trained on, if its run says which and it is still there."""
    for key, value in sorted(_run_tags(store, version).items()):
        if key.startswith(Tag.DATASET_PREFIX):
            try:
                return datasets.read(value.partition("#")[0], store.settings).validation.X
            except (UnknownNameError, DatasetError):
                continue
    return None


def _detail(store: Store, version: Version, reason: str) -> dict[str, Any]:
    tags = _run_tags(store, version)
    used = [value for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX)]
    refs = ", ".join(value.partition("#")[0] for value in used)
    return {"model": version.model, "run_id": version.run_id, "dataset": refs or None, "reason": reason}


def _run_tags(store: Store, version: Version) -> Mapping[str, str]:
    try:
        return query.get_run(store, version.run_id).tags if version.run_id else {}
    except UsageError:  # the run was deleted; its version serves on
        return {}
