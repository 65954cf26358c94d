"""Lineage, read from the data: the runs that used a version of a dataset, and the model versions made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib.datasets import loader, run_datasets
from notebooks_lib.models import registry
from notebooks_lib.run_result import restore_infinity
from notebooks_lib.settings import Settings, here
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.store import Store, connect

_MODEL_TAGS = (Tag.MODEL, "mlflow.log-model.history")


@dataclass(frozen=True)
class Trained:
    """A run that used a dataset, with the model version made of it, if any."""

    run_id: str
    experiment: str
    status: str
    metrics: Mapping[str, float]
    model: str
    """Registered name; empty when the run's model was never registered, or there is none."""
    version: str
    has_model: bool


def trained_on(ref: str, settings: Settings | None = None) -> list[Trained]:
    """Return all runs that used a version of a dataset, newest first, with the model versions made of them.

    A run with several versions appears once for each. Raises UnknownNameError when there is no such dataset.
    """
    settings = settings or here()
    dataset = loader.read(ref, settings)
    store = connect(settings)
    experiments = {experiment.experiment_id: experiment.name for experiment in store.client.search_experiments()}
    condition = f"tags.`{Tag.DATASET_PREFIX}{dataset.name}` = '{run_datasets.tag_value(dataset)}'"
    runs = sorted(query.search(store, condition, list(experiments)), key=lambda run: run.info.start_time, reverse=True)
    registered = _versions_by_run(store) if runs else {}
    return [
        Trained(
            run_id=run.info.run_id,
            experiment=experiments[run.info.experiment_id],
            status=run.info.status,
            metrics={name: restore_infinity(value) for name, value in run.data.metrics.items()},
            model=model,
            version=version,
            has_model=bool(model) or any(tag in run.data.tags for tag in _MODEL_TAGS) or _has_outputs(run),
        )
        for run in runs
        for model, version in registered.get(run.info.run_id, [("", "")])
    ]


def _versions_by_run(store: Store) -> dict[str, list[tuple[str, str]]]:
    by_run: dict[str, list[tuple[str, str]]] = {}
    for model in registry.models(store):
        for version in registry.versions(store, model):
            by_run.setdefault(version.run_id, []).append((model, version.version))
    return by_run


def _has_outputs(run: Any) -> bool:
    outputs = getattr(run, "outputs", None)
    return bool(outputs and outputs.model_outputs)
