"""Answers which models were trained on a dataset, from the tags on runs. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import lineage, loader
from notebooks_lib.records import measured
from notebooks_lib.settings import Settings, here
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

_RUNS_PAGE = 1000
_MODEL_TAGS = (Tag.MODEL, "mlflow.log-model.history")


@dataclass(frozen=True)
class Trained:
    """A model, or a run that left none, that used a dataset."""

    run_id: str
    experiment: str
    status: str
    metrics: Mapping[str, float]
    model: str
    """Registered name; empty when the run's model was never registered, or there is none."""
    version: str
    has_model: bool


def trained_on(ref: str, settings: Settings | None = None) -> list[Trained]:
    """All runs that used this version of a dataset, newest first, with the model versions made of them.

    A run that made several versions comes up once for each. Raises UnknownNameError when there is no such dataset.
    """
    from notebooks_lib.tracking.store import connect

    settings = settings or here()
    dataset = loader.read(ref, settings)
    store = connect(settings)
    experiments = {each.experiment_id: each.name for each in store.client.search_experiments()}
    condition = f"tags.`{Tag.DATASET_PREFIX}{dataset.name}` = '{lineage.tag_value(dataset)}'"
    runs = sorted(_search_runs(store, list(experiments), condition), key=lambda run: run.info.start_time, reverse=True)
    versions = _versions_by_run(store) if runs else {}
    return [
        Trained(
            run_id=run.info.run_id,
            experiment=experiments[run.info.experiment_id],
            status=run.info.status,
            metrics={name: measured(value) for name, value in run.data.metrics.items()},
            model=model,
            version=version,
            has_model=bool(model) or any(tag in run.data.tags for tag in _MODEL_TAGS) or _has_outputs(run),
        )
        for run in runs
        for model, version in versions.get(run.info.run_id, [("", "")])
    ]


def _search_runs(store: Store, experiments: list[str], condition: str) -> Iterator[Any]:
    token: str | None = None
    while experiments:
        page = store.client.search_runs(experiments, filter_string=condition, max_results=_RUNS_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _versions_by_run(store: Store) -> dict[str, list[tuple[str, str]]]:
    from notebooks_lib.models import registry

    by_run: dict[str, list[tuple[str, str]]] = {}
    for model in registry.models(store):
        for version in registry.versions(store, model):
            by_run.setdefault(version.run_id, []).append((model, version.version))
    return by_run


def _has_outputs(run: Any) -> bool:
    outputs = getattr(run, "outputs", None)
    return bool(outputs and outputs.model_outputs)
