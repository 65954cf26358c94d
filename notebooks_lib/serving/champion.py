"""Finds the champion of a model for an endpoint's first start: the one place where serving asks the tracking store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib.errors import EndpointError, UnknownNameError
from notebooks_lib.serving import state
from notebooks_lib.settings import Settings


@dataclass(frozen=True)
class Champion:
    """A version to deploy; `fetch` copies its model under a folder and returns the model's own."""

    version: str
    detail: Mapping[str, Any]
    fetch: Callable[[Path], Path]
    sha256: str
    """Of its files, when they were scored; empty where nobody noted it."""


def find(settings: Settings, name: str) -> Champion:
    """The champion of model `name`. Raises UnknownNameError when there is no such model, or it has no champion."""
    from notebooks_lib.records import Tag
    from notebooks_lib.tracking import models, query, registry
    from notebooks_lib.tracking.store import connect

    store = connect(settings)
    found = registry.champion(store, name)
    if found is None:
        known = {*state.known(settings), *registry.models(store)}
        if name in known:
            raise EndpointError(f"model {name!r} has no champion yet; make one with: nbops promote --live")
        raise UnknownNameError("endpoint or model", name, known)
    tags = query.get_run(store, found.run_id).tags if found.run_id else {}
    trained_on = [value for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX)]
    detail = {
        "model": name,
        "run_id": found.run_id,
        "dataset": ", ".join(value.partition("#")[0] for value in trained_on) or None,
        "reason": found.tags.get(Tag.REASON, ""),
    }
    sha256 = found.tags.get(Tag.MODEL_SHA256, "")
    return Champion(found.version, detail, lambda folder: models.download(found.source, folder), sha256)
