"""Find the champion for an endpoint that has nothing to serve: the only place where serving asks the tracking store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import EndpointError, ModelError, UnknownNameError
from notebooks_lib.serving import endpoint_state
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import STAGES

if TYPE_CHECKING:
    pass

PROD = STAGES[-1]


@dataclass(frozen=True)
class ServedChampion:
    """A version to deploy."""

    version: str
    detail: Mapping[str, Any]
    fetch: Callable[[Path], Path]
    """Copies the model under a folder and returns the model's own folder. Raises EndpointError when it cannot be
    fetched.
    """
    sha256: str
    """Digest of its files when they were scored; empty where none was recorded."""


def find_champion(settings: Settings, name: str) -> ServedChampion:
    """Return the champion of the stage whose endpoint has this name, or of the model of this name in prod.

    Raises UnknownNameError when nothing has this name, EndpointError when it belongs to no stage or has no champion.
    """
    from notebooks_lib.models import champions, model_files, registry
    from notebooks_lib.tags import Tag
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import connect

    store = connect(settings)
    names = registry.models(store)
    served = {settings.stages.endpoint(stage, model): (stage, model) for stage in STAGES for model in names}
    if name not in served and name not in names:
        if name in endpoint_state.known(settings):
            raise EndpointError(
                f"endpoint {name!r} has no slot left to serve, and no stage of a registered model has it; deploy a "
                "model to it first"
            )
        raise UnknownNameError("endpoint or model", name, {*endpoint_state.known(settings), *names, *served})
    stage, model = served.get(name, (PROD, name))
    champion = champions.champion(store, model, stage)
    if champion is None:
        where, how = ("", "") if stage == PROD else (f" in {stage}", f" --stages {stage}")
        raise EndpointError(f"model {model!r} has no champion{where} yet; make one with: nbops promote --live{how}")
    run = query.find_run(store, champion.run_id)  # None when it was deleted; the model may be there still
    tags = run.tags if run else {}
    trained_on = [value for key, value in sorted(tags.items()) if key.startswith(Tag.DATASET_PREFIX)]
    detail = {
        "model": model,
        "run_id": champion.run_id,
        "dataset": ", ".join(value.partition("#")[0] for value in trained_on) or None,
        "reason": champion.tags.get(Tag.REASON, ""),
    }

    def fetch(folder: Path) -> Path:
        sha256, trusted = champion.tags.get(Tag.MODEL_SHA256, ""), settings.promotion.trusted_flavors
        try:
            model_dir = model_files.download(champion.source, folder)
        except ModelError as error:
            back = f"nbops rollback {model}" + ("" if stage == PROD else f" --stage {stage}")
            raise EndpointError(
                f"endpoint {name!r} cannot serve version {champion.version} of {model!r}, the champion: {error}; put "
                f"its files back, go back to the version before ({back}), or run its notebook and promote again"
            ) from error

        if not sha256:  # its mark was set by hand
            what = f"version {champion.version} of {model!r}, which no promotion chose,"
            model_files.check_folder_trusted(model_dir, trusted, what)
        return model_dir

    return ServedChampion(champion.version, detail, fetch, champion.tags.get(Tag.MODEL_SHA256, ""))
