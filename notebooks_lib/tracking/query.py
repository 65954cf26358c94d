"""Read runs as plain values. It changes nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib import dataset_tag, errors
from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.old_names import forwarding
from notebooks_lib.run_result import restore_infinity
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import sqlite
from notebooks_lib.tracking.store import Store, translate_store_errors

__all__ = ["RunInfo", "children", "experiments", "find_runs", "get_run"]

PAGE = 1000
NEAR = 20


@dataclass(frozen=True)
class SelectionLimits:
    """Limits on how many runs of a large experiment a ranking considers."""

    newest: int = 500
    best: int = 200
    """The best so many on each dataset, where there are more runs than `newest`."""
    datasets: int = 5
    """Of the newest runs, so many sets of datasets."""


@dataclass(frozen=True)
class RunInfo:
    """One run of a store, as plain values."""

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    """MLflow's own: "RUNNING", "FINISHED", "FAILED" or "KILLED". See `ended`."""
    started_ms: int
    """Milliseconds since 1970 in UTC, as MLflow counts."""
    metrics: Mapping[str, float]
    """The last value of each."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    ended_ms: int | None = None
    """None while it runs."""

    @property
    def ended(self) -> bool:
        """True if the run finished and its owner recorded that.

        The status alone proves nothing (docs/design trap 1).
        """
        return self.status == "FINISHED" and self.tags.get(Tag.END) == "FINISHED"

    @property
    def superseded(self) -> bool:
        """True if the cell of the run was run again before a model was logged, so that the run was only an attempt.

        A run with a model is complete; in JupyterLab, Run All with another value opens the next run.
        """
        return Tag.SUPERSEDED_BY in self.tags and Tag.MODEL not in self.tags

    @property
    def parent(self) -> str | None:
        """The id of the parent run; None if there is none."""
        return self.tags.get("mlflow.parentRunId")

    @property
    def holds_trials(self) -> bool:
        """True if the run is the parent of a sweep: its trials can be candidates, the parent cannot."""
        return self.tags.get(Tag.SWEEP) == "parent"

    @property
    def repeats(self) -> bool:
        """True if the run only repeats others, for `nbops verify`: the luckiest of many seeds is no candidate."""
        return Tag.VERIFY in self.tags

    @property
    def datasets(self) -> dict[str, str]:
        """Dataset name -> "name@version#fingerprint", for each dataset that the run used."""
        prefix = Tag.DATASET_PREFIX
        return {key[len(prefix) :]: value for key, value in self.tags.items() if key.startswith(prefix)}

    @property
    def dataset_tags(self) -> tuple[DatasetTag, ...]:
        """The datasets that the run used, as tags with `ref` ("name@version") and `fingerprint`."""
        return dataset_tag.of_run(self.tags)


@dataclass(frozen=True)
class RunSelection:
    """Runs of an experiment that ended well, newest first."""

    runs: list[RunInfo]
    whole: bool
    """True if these are all of them."""
    limits: SelectionLimits = SelectionLimits()

    def __str__(self) -> str:
        if self.whole:
            return ""
        newest, best = self.limits.newest, self.limits.best
        return f"only the {newest} newest runs and the {best} best on each of their datasets count"


def find_runs(store: Store, experiment: str, *, ended_only: bool = True) -> list[RunInfo]:
    """Return all runs of an experiment, newest first.

    With `ended_only`, return only finished runs, without the parent runs of sweeps and the runs of `nbops verify`.
    Raises UnknownNameError when there is no such experiment.
    """
    experiment_id = _experiment_id(store, experiment)
    with translate_store_errors(store):
        matching = search(store, _ended(store) if ended_only else "", [experiment_id])
    runs = _newest_first(matching, experiment)
    return [run for run in runs if _counts(run)] if ended_only else runs


def promising_runs(
    store: Store,
    experiment: str,
    metric: str,
    *,
    largest: bool,
    data: Mapping[str, str] | None = None,
    limits: SelectionLimits = SelectionLimits(),
) -> RunSelection:
    """Return the finished runs that a ranking by `metric` needs; of a very large experiment, only a part of them.

    This part consists of the newest runs, the best of all, the best on the datasets that the newest runs used, and the
    best on `data`, given as tags of a run. `limits` says how many. `largest` says that a larger metric is better. For
    an Azure ML workspace, all runs are returned. Raises UnknownNameError when there is no such experiment.
    """
    if not _sorts(store):
        return RunSelection(find_runs(store, experiment), whole=True)
    experiment_id = _experiment_id(store, experiment)
    with translate_store_errors(store):
        newest = store.client.search_runs([experiment_id], filter_string=_ended(store), max_results=limits.newest)
        selected = {run.info.run_id: run for run in newest}
        if newest.token:
            if store.local:
                sqlite.note_sizes(store.uri)
            order = f"metrics.`{metric}` {'DESC' if largest else 'ASC'}"
            used = dict.fromkeys(_data_tags(run.data.tags) for run in newest)
            for tags in {(), _data_tags(data or {}), *itertools.islice(used, limits.datasets)}:
                conditions = [_ended(store), *(f"tags.`{key}` = '{value}'" for key, value in tags)]
                best = store.client.search_runs(
                    [experiment_id], filter_string=" AND ".join(conditions), order_by=[order], max_results=limits.best
                )
                selected |= {run.info.run_id: run for run in best}
    runs = _newest_first(selected.values(), experiment)
    return RunSelection([run for run in runs if _counts(run)], not newest.token, limits)


def _experiment_id(store: Store, experiment: str) -> str:
    with translate_store_errors(store):
        known_experiment = store.client.get_experiment_by_name(experiment)
    if known_experiment is None:
        raise errors.UnknownNameError("experiment", experiment, experiments(store))
    return str(known_experiment.experiment_id)


def _sorts(store: Store) -> bool:
    """Return whether the store sorts runs by a metric: all but Azure ML do."""
    return not store.uri.startswith("azureml:")


def is_searched_by_status(store: Store) -> bool:
    """Return whether the store finds runs by MLflow's own names of their states: Azure ML spells them differently."""
    return not store.uri.startswith("azureml:")


def _ended(store: Store) -> str:
    """Return the condition for runs that ended well. Azure ML spells a status differently: there the tag is used."""
    return "attributes.status = 'FINISHED'" if is_searched_by_status(store) else f"tags.`{Tag.END}` = 'FINISHED'"


def _counts(run: RunInfo) -> bool:
    return run.ended and not run.superseded and not run.holds_trials and not run.repeats


def _newest_first(mlflow_runs: Iterable[Any], experiment: str) -> list[RunInfo]:
    return sorted((run_info(run, experiment) for run in mlflow_runs), key=lambda run: run.started_ms, reverse=True)


def _data_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the dataset tags of a run, as far as a condition can hold them."""
    return tuple(
        sorted((key, value) for key, value in tags.items() if key.startswith(Tag.DATASET_PREFIX) and "'" not in value)
    )


def all_pages(read: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield the items of all pages of an MLflow result. `read` fetches a page by its token; None is the first page."""
    token: str | None = None
    while True:
        page = read(token)
        yield from page
        token = page.token
        if not token:
            return


def search(
    store: Store, condition: str, experiment_ids: Sequence[str] | None = None, *, deleted: bool = False
) -> list[Any]:
    """Return the runs that match an MLflow filter, as MLflow's objects, newest first; by default from all experiments.

    With `deleted`, deleted runs are included.
    """
    from mlflow.entities import ViewType

    if experiment_ids is None:
        experiment_ids = [experiment.experiment_id for experiment in store.client.search_experiments()]
    if not experiment_ids:
        return []
    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    ids = list(experiment_ids)
    return list(
        all_pages(
            lambda token: store.client.search_runs(
                ids, filter_string=condition, run_view_type=view, max_results=PAGE, page_token=token
            )
        )
    )


def children(store: Store, run_id: str) -> list[RunInfo]:
    """Return the child runs of a run in all experiments, newest first."""
    with translate_store_errors(store):
        return [run_info(run) for run in search(store, f"tags.`mlflow.parentRunId` = '{run_id}'")]


def get_run(store: Store, run_id: str) -> RunInfo:
    """Return one run by its id. Raises UsageError when the store has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
        experiment = store.client.get_experiment(run.info.experiment_id).name
    except MlflowException as error:
        raise errors.UsageError(f"no run {run_id!r} in {store.uri}: {error}") from error
    return run_info(run, experiment)


def find_run(store: Store, run_id: str) -> RunInfo | None:
    """Return one run by its id; None when it was deleted, or the id is empty."""
    try:
        return get_run(store, run_id) if run_id else None
    except errors.UsageError:
        return None


def whole_id(store: Store, text: str) -> str:
    """Return the id of the run that begins with `text`; tables show only the first eight characters.

    A text that cannot be the beginning of an id is returned unchanged. Raises UsageError when no run or several runs
    match.
    """
    if not re.fullmatch("[0-9a-f]{4,31}", text):
        return text
    with translate_store_errors(store):
        ids = [run.info.run_id for run in search(store, f"attributes.run_id LIKE '{text}%'")]
        if not ids:
            everywhere = [experiment.experiment_id for experiment in store.client.search_experiments()]
            newest = store.client.search_runs(everywhere, max_results=NEAR) if everywhere else []
            raise errors.UnknownNameError("run", text, [run.info.run_id[: len(text)] for run in newest])
    if len(ids) > 1:
        raise errors.UsageError(f"{len(ids)} runs begin with {text}: {', '.join(sorted(ids)[:NEAR])}; write more of it")
    return str(ids[0])


def experiments(store: Store) -> list[str]:
    """Return the names of the experiments that are not deleted."""
    with translate_store_errors(store):
        return [experiment.name for experiment in store.client.search_experiments()]


def run_info(run: Any, experiment: str = "") -> RunInfo:
    """Return MLflow's run as a plain value; `experiment` is the name of its experiment, if known."""
    return RunInfo(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiment,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        started_ms=run.info.start_time or 0,
        metrics={name: restore_infinity(value) for name, value in run.data.metrics.items()},
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        ended_ms=run.info.end_time,
    )


__getattr__ = forwarding(__name__)
