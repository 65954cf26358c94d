"""Reads runs as plain values. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib import errors
from notebooks_lib.records import Tag
from notebooks_lib.tracking.store import Store, answering

PAGE = 1000


@dataclass(frozen=True)
class RunInfo:
    """One run, as it stands in the store."""

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    started_ms: int
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    ended_ms: int | None = None

    @property
    def ended(self) -> bool:
        """Whether its owner saw it end well: a status alone proves nothing (docs/design trap 1)."""
        return self.status == "FINISHED" and self.tags.get(Tag.END) == "FINISHED"

    @property
    def superseded(self) -> bool:
        """Whether the cell that opened it was run again before it had recorded a model: then it was an attempt.

        A run that recorded one is whole; in JupyterLab, Run All with another value opens the next.
        """
        return Tag.SUPERSEDED_BY in self.tags and Tag.MODEL not in self.tags

    @property
    def parent(self) -> str | None:
        """The run it is a child of."""
        return self.tags.get("mlflow.parentRunId")

    @property
    def holds_trials(self) -> bool:
        """Whether it is a sweep's own run: its trials are runs like any other, it has nothing to be compared by."""
        return self.tags.get(Tag.SWEEP) == "parent"

    @property
    def datasets(self) -> dict[str, str]:
        """Name -> "name@version#fingerprint" of each dataset it used."""
        prefix = Tag.DATASET_PREFIX
        return {key[len(prefix) :]: value for key, value in self.tags.items() if key.startswith(prefix)}


def find_runs(store: Store, experiment: str, *, ended_only: bool = True) -> list[RunInfo]:
    """All runs of an experiment, newest first; with `ended_only` those that ended well, without sweeps' own runs.

    Raises UnknownNameError when there is no such experiment.
    """
    with answering(store):
        found = store.client.get_experiment_by_name(experiment)
    if found is None:
        raise errors.UnknownNameError("experiment", experiment, experiments(store))
    condition = f"tags.`{Tag.END}` = 'FINISHED'" if ended_only else ""
    with answering(store):
        runs = [plain(run, experiment) for run in search(store, condition, [found.experiment_id])]
    runs.sort(key=lambda run: run.started_ms, reverse=True)
    if not ended_only:
        return runs
    return [run for run in runs if run.ended and not run.superseded and not run.holds_trials]


def search(store: Store, condition: str, experiment_ids: Sequence[str] | None = None) -> list[Any]:
    """Matching runs as MLflow gives them, newest first; of every experiment unless ids are given."""
    if experiment_ids is None:
        experiment_ids = [experiment.experiment_id for experiment in store.client.search_experiments()]
    found: list[Any] = []
    token: str | None = None
    while experiment_ids:
        page = store.client.search_runs(
            list(experiment_ids), filter_string=condition, max_results=PAGE, page_token=token
        )
        found += page
        token = page.token
        if not token:
            break
    return found


def children(store: Store, run_id: str) -> list[RunInfo]:
    """The runs whose parent it is, of whatever experiment, newest first."""
    with answering(store):
        return [plain(run) for run in search(store, f"tags.`mlflow.parentRunId` = '{run_id}'")]


def get_run(store: Store, run_id: str) -> RunInfo:
    """One run by its id. Raises UsageError when the store has none."""
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        raise errors.UsageError(f"no run {run_id!r} in {store.uri}: {error}") from error
    return plain(run, store.client.get_experiment(run.info.experiment_id).name)


def experiments(store: Store) -> list[str]:
    """Names of the experiments that are not deleted."""
    with answering(store):
        return [experiment.name for experiment in store.client.search_experiments()]


def plain(run: Any, experiment: str = "") -> RunInfo:
    """MLflow's run as a value; without the name of its experiment unless that is given."""
    return RunInfo(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiment,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        started_ms=run.info.start_time or 0,
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        ended_ms=run.info.end_time,
    )
