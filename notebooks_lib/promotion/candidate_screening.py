"""Find the runs that may become champion: they ended well, used one dataset, and have a model that scores as logged.

Only train and validation rows are read. Choosing the best of several on the holdout would use the holdout up. A logged
metric decides only which runs are scored first; a run whose model does not reproduce its metric is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from notebooks_lib import datasets
from notebooks_lib.datasets import run_datasets
from notebooks_lib.errors import ModelError, PromotionError, UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.metric import Metric, Truth, sort_key
from notebooks_lib.models import champions, logged_models, model_files
from notebooks_lib.promotion import model_scoring, run_ranking
from notebooks_lib.promotion.evidence import json_value
from notebooks_lib.promotion.table_formatting import ReportTable
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query
from notebooks_lib.tracking.query import RunInfo, SelectionLimits

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store

ROUNDING = 0.01
"""Largest relative difference allowed between a logged metric and ours: people round what they log."""


@dataclass(frozen=True)
class Candidate:
    """A run that may become champion."""

    run: RunInfo
    logged: float | None
    """The metric as the run logged it."""
    validation: float | None = None
    """The metric of its model on the validation rows, computed here; None when the model was not scored."""
    source: str = ""
    """Location of its model."""
    refused: str = ""
    """Why it is refused; empty when it is accepted, or was not scored."""
    withdrawn: bool = False
    """True if a rollback withdrew its version."""

    @property
    def label(self) -> str:
        """Return a label for the run: its short id, and its name if it has one."""
        return f"run {self.run.run_id[:8]}" + (f" ({self.run.name})" if self.run.name else "")


@dataclass(frozen=True)
class Candidates:
    """The runs of an experiment that used one dataset, and which of them are candidates."""

    experiment: str
    metric: Metric
    dataset: Dataset
    chosen: str
    """Why this dataset was chosen."""
    ranked: tuple[Candidate, ...]
    """The accepted candidates, best validation score first."""
    others: tuple[Candidate, ...]
    """Runs that were refused, are repetitions, or were not among the first by logged metric."""
    elsewhere: int
    """Number of runs on other data, which are not compared with these."""
    cut: str = ""
    """Which runs were considered, when there are more."""

    @property
    def table(self) -> ReportTable:
        """Return a table of all considered runs, each with the reason why it is or is not a candidate."""
        name = self.metric.name
        rows = [
            (
                candidate.run.run_id[:8],
                candidate.run.name,
                candidate.logged,
                candidate.validation,
                run_ranking.commit(candidate.run.tags),
                candidate.refused or "in",
            )
            for candidate in (*self.ranked, *self.others)
        ]
        return ReportTable.of(("run", "name", f"{name} logged", f"{name} here", "commit", "outcome"), rows, str(self))

    @property
    def no_candidate(self) -> str:
        """Return why no run is a candidate; empty when one is."""
        if self.ranked:
            return ""
        reasons = "; ".join(f"{candidate.label}: {candidate.refused}" for candidate in self.others)
        return f"experiment {self.experiment!r} has no candidate on {self.dataset.ref}: {reasons}"

    @property
    def withdrawn_note(self) -> str:
        """Return which withdrawn run logged a better metric than the best candidate has; empty when none did."""
        best = self.ranked[0].validation if self.ranked else None
        for candidate in self.others:
            better = best is None or (candidate.logged is not None and self.metric.gain(candidate.logged, best) > 0)
            if candidate.withdrawn and better:
                return f"{candidate.label} is better on the validation rows, but {candidate.refused}"
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return the candidates as plain values, for the record of a decision."""
        runs = (*self.ranked, *self.others)
        return {
            "experiment": self.experiment,
            "dataset": self.dataset.ref,
            "elsewhere": self.elsewhere,
            "runs": [
                {
                    "run_id": candidate.run.run_id,
                    "logged": json_value(candidate.logged),
                    "validation": json_value(candidate.validation),
                    "refused": candidate.refused,
                }
                for candidate in runs
            ],
        }

    def __str__(self) -> str:
        more = f"; {self.elsewhere} run(s) on other data are not compared" if self.elsewhere else ""
        cut = f"; {self.cut}" if self.cut else ""
        return f"{len(self.ranked)} candidate(s) on {self.dataset.ref} ({self.chosen}){more}{cut}"


def find_candidates(
    store: Store,
    experiment: str,
    metric: Metric,
    *,
    dataset: str = "",
    limit: int = 5,
    champion: Version | None = None,
    versions: Sequence[Version] = (),
    runs: SelectionLimits | None = None,
) -> Candidates:
    """Return the candidates of an experiment, at most `limit`, scored on the validation rows of one dataset.

    `dataset` is a reference such as "sales@2"; empty means the dataset of the newest run. Runs are scored in the order
    of their logged metric until `limit` are accepted; a rejected run does not count. Runs that did not log the metric
    come last. Of runs with the same code, parameters and data only one is scored: the champion's, else the newest.
    `versions` are the versions of the model: the run of a withdrawn version is not a candidate. `runs` says how many
    runs of a large experiment are considered.

    Raises PromotionError when no run is accepted and there is no champion that could stay.
    """
    chosen_dataset = datasets.read(dataset, store.settings) if dataset else None
    tags = (
        {Tag.DATASET_PREFIX + chosen_dataset.name: run_datasets.tag_value(chosen_dataset)} if chosen_dataset else None
    )
    selection = query.promising_runs(
        store, experiment, metric.name, largest=metric.direction == "max", data=tags, limits=runs or SelectionLimits()
    )
    considered = selection.runs
    if not considered:
        raise PromotionError(f"experiment {experiment!r} has no run that ended well; run a notebook in it first")
    if champion is not None and not selection.whole:
        considered = _with_champion(store, considered, champion)
    data, chosen = (chosen_dataset, "as asked for") if chosen_dataset else _dataset(store, considered)
    same = [run for run in considered if _uses(run, data)]
    elsewhere = len(considered) - len(same)
    if not same:
        raise PromotionError(f"no run of experiment {experiment!r} used {data.ref} as it is now: run a notebook on it")
    single, repeated = _unrepeated(same, champion)
    out = [Candidate(run, run.metrics.get(metric.name), refused=f"repeated by run {by[:8]}") for run, by in repeated]
    waiting, silent = _waiting(single, metric, limit)
    out += [Candidate(run, None, refused=f"it has no {metric.name}, and is not among the newest") for run in silent]
    truth = model_scoring.truth_of(data, data.validation, metric)
    metric = metric if truth.classes is None else builtin.with_class_named(metric, truth.classes.tolist())
    withdrawn = _withdrawn(store, versions)
    ranked: list[Candidate] = []
    while waiting and len(ranked) < limit:
        run = waiting.pop(0)
        candidate = Candidate(run, run.metrics.get(metric.name))
        version = withdrawn.get(_fingerprint(run))
        if version is not None and not (champion and champion.run_id == run.run_id):
            candidate = replace(candidate, refused=_withdrawn_reason(version), withdrawn=True)
        else:
            candidate = _scored(store, candidate, data, metric, truth)
        (out if candidate.refused else ranked).append(candidate)
    cut = "; ".join(filter(None, (str(selection), run_ranking.unlogged_note(metric.name, single, limit))))
    candidates = Candidates(experiment, metric, data, chosen, (), tuple(out), elsewhere, cut)
    if not ranked and champion is None:
        raise PromotionError(candidates.no_candidate)
    out += [Candidate(run, run.metrics.get(metric.name), refused=f"not among the first {limit}") for run in waiting]

    def order(candidate: Candidate) -> tuple[float, bool]:
        champion_itself = champion is not None and candidate.run.run_id == champion.run_id
        return sort_key(metric.direction, candidate.validation or 0.0), not champion_itself

    ranked.sort(key=order)
    return replace(candidates, ranked=tuple(ranked), others=tuple(out))


def check_challengers(challengers: int, limit: int) -> None:
    """Raise UsageError unless the number of challengers is between 1 and the number of candidates."""
    if not 1 <= challengers <= limit:
        raise UsageError(
            f"challengers is {challengers} and max_candidates {limit}: of the candidates that are scored on the "
            "validation rows one at least meets the champion, and at most all"
        )


def _with_champion(store: Store, runs: Sequence[RunInfo], champion: Version) -> list[RunInfo]:
    """Add the champion's own run, which stands for its repetitions."""
    own_run = query.find_run(store, champion.run_id)  # None when it was deleted since
    if own_run and own_run.experiment == runs[0].experiment and all(run.run_id != own_run.run_id for run in runs):
        return sorted([*runs, own_run], key=lambda run: run.started_ms, reverse=True)
    return list(runs)


def _dataset(store: Store, runs: Sequence[RunInfo]) -> tuple[Dataset, str]:
    for run in runs:
        refs = [tag.ref for tag in run.dataset_tags]
        if len(refs) > 1:
            raise UsageError(
                f"the newest run {run.run_id[:8]} used {len(refs)} datasets: say which one's holdout decides, as in "
                f"-p dataset={refs[0]}"
            )
        if refs:
            return datasets.read(refs[0], store.settings), "the data of the newest run"
    raise PromotionError(
        f"none of {len(runs)} finished run(s) says which data it used: load it with datasets.load(...), or log it with "
        "run.log_dataset(...)"
    )


def _uses(run: RunInfo, data: Dataset) -> bool:
    return any(tag.fingerprint == data.fingerprint for tag in run.dataset_tags)


def _unrepeated(runs: list[RunInfo], champion: Version | None) -> tuple[list[RunInfo], list[tuple[RunInfo, str]]]:
    """Return one run of each fingerprint (`runs` are newest first), and the repetitions with the id of the run kept."""
    champion_run = champion.run_id if champion else ""
    chosen: dict[str, RunInfo] = {}
    for run in sorted(runs, key=lambda run: run.run_id != champion_run):
        chosen.setdefault(_fingerprint(run), run)
    chosen_ids = {run.run_id for run in chosen.values()}
    repeated = [(run, chosen[_fingerprint(run)].run_id) for run in runs if run.run_id not in chosen_ids]
    return [run for run in runs if run.run_id in chosen_ids], repeated


def _fingerprint(run: RunInfo) -> str:
    """Return the fingerprint that repetitions share; the run's own id when it has none."""
    return run.tags.get(Tag.RUN_FINGERPRINT) or run.run_id


def _withdrawn(store: Store, versions: Sequence[Version]) -> dict[str, Version]:
    withdrawn = [version for version in versions if version.withdrawn and version.run_id]
    by_fingerprint = {}
    for version in withdrawn:
        run = query.find_run(store, version.run_id)
        if run is not None:  # else it was deleted since, and no candidate can be that run again
            by_fingerprint[_fingerprint(run)] = version
    return by_fingerprint


def _withdrawn_reason(version: Version) -> str:
    commands = (champions.rollback_command(version.model, stage, version.version) for stage in version.withdrawn)
    return f"version {version.version} was withdrawn; to bring it back: {' and '.join(commands)}"


def _waiting(runs: Sequence[RunInfo], metric: Metric, limit: int) -> tuple[list[RunInfo], list[RunInfo]]:
    """Return the runs to score, best logged metric first, then the newest without it; and the runs left out."""
    ordered = sorted(runs, key=lambda run: _by_logged(metric, run))
    logged = sum(metric.name in run.metrics for run in runs)
    return ordered[: logged + limit], ordered[logged + limit :]


def _by_logged(metric: Metric, run: RunInfo) -> tuple[bool, float]:
    """Sort the best metric first; then runs without a finite metric, newest first."""
    value = run.metrics.get(metric.name, math.nan)
    return (True, -float(run.started_ms)) if not math.isfinite(value) else (False, sort_key(metric.direction, value))


def _scored(store: Store, candidate: Candidate, data: Dataset, metric: Metric, truth: Truth) -> Candidate:
    try:
        source = logged_models.model_of_run(store, candidate.run.run_id).source
        model_files.check_trusted(source, store.settings.promotion.trusted_flavors)
        validation_score = model_scoring.score_model(source, data.validation, metric, truth).value
        unsteady = model_scoring.unsteadiness(source, data.validation, metric)
    except ModelError as error:
        return replace(candidate, refused=str(error))
    candidate = replace(candidate, source=source, validation=validation_score)
    if unsteady:
        return replace(candidate, refused=unsteady)
    if not math.isfinite(validation_score):
        return replace(candidate, refused=f"{metric.name} is undefined for it on the validation rows")
    if candidate.logged is None:
        return candidate  # nothing to confirm
    if not math.isclose(candidate.logged, validation_score, rel_tol=ROUNDING, abs_tol=1e-9):
        return replace(
            candidate,
            refused=f"it logged {metric.name} {candidate.logged:.6g}, but its model has {validation_score:.6g} on the "
            f"{len(data.validation)} validation rows of {data.ref}{f' ({metric.note})' if metric.note else ''}",
        )
    return candidate
