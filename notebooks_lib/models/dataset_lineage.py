"""Lineage, read from the data: the runs that used a version of a dataset, and the model versions made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets import loader
from notebooks_lib.run_result import restore_infinity
from notebooks_lib.settings import Settings, here
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import tracking_uri

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

    A run with several versions appears once for each. The version need not be on this machine: one in the project's
    workspace is not pulled. Raises UnknownNameError when there is no such dataset.
    """
    settings = settings or here()
    name, version, metadata = loader.recorded(ref, settings)
    tag = f"{Tag.DATASET_PREFIX}{name}", str(DatasetTag.of(name, version, metadata.fingerprint))
    uri = tracking_uri(settings)
    return list(_in_workspace(uri, *tag) if uri.startswith("azureml:") else _in_store(settings, *tag))


def _in_workspace(uri: str, key: str, value: str) -> Iterator[Trained]:
    """Yield what a workspace knows, by plain requests: importing MLflow takes longer than all of them."""
    from notebooks_lib.azure.jobs.run_search import RunSearch

    search = RunSearch(uri)
    runs = search.runs(f"tags.`{key}` = '{value}'")
    with_model = {run.run_id for run in runs if any(tag in run.tags for tag in _MODEL_TAGS)}
    registered = search.versions_of(with_model)
    for run in runs:
        announced = [version for version in registered.get(run.run_id, []) if Tag.READY in version.tags]
        for model, version in [(each.model, each.version) for each in announced] or [("", "")]:
            yield Trained(run.run_id, run.experiment, run.status, run.metrics, model, version, run.run_id in with_model)


def _in_store(settings: Settings, key: str, value: str) -> Iterator[Trained]:
    from notebooks_lib.models import registry
    from notebooks_lib.tracking import query
    from notebooks_lib.tracking.store import connect

    store = connect(settings)
    experiments = {experiment.experiment_id: experiment.name for experiment in store.client.search_experiments()}
    condition = f"tags.`{key}` = '{value}'"
    runs = sorted(query.search(store, condition, list(experiments)), key=lambda run: run.info.start_time, reverse=True)
    registered: dict[str, list[tuple[str, str]]] = {}
    for name in registry.models(store) if runs else ():
        for announced in registry.versions(store, name):
            registered.setdefault(announced.run_id, []).append((name, announced.version))
    for run in runs:
        for model, version in registered.get(run.info.run_id, [("", "")]):
            yield Trained(
                run_id=run.info.run_id,
                experiment=experiments[run.info.experiment_id],
                status=run.info.status,
                metrics={name: restore_infinity(value) for name, value in run.data.metrics.items()},
                model=model,
                version=version,
                has_model=bool(model) or any(tag in run.data.tags for tag in _MODEL_TAGS) or _has_outputs(run),
            )


def _has_outputs(run: Any) -> bool:
    outputs = getattr(run, "outputs", None)
    return bool(outputs and outputs.model_outputs)
