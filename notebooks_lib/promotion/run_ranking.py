"""Rank runs by a logged metric, never across different data. Pure: it reads values, not the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.errors import UsageError, nearest
from notebooks_lib.metrics.metric import Direction, sort_key
from notebooks_lib.run_result import finite
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo

__all__ = ["RankedRun", "Ranking", "RankingTable", "rank", "unlogged_note"]


@dataclass(frozen=True)
class RankedRun:
    """A run with its rank."""

    rank: int
    """1 is the best; equal values share a rank."""
    run: RunInfo
    value: float


@dataclass(frozen=True)
class RankingTable:
    """Runs that used the same data, best first."""

    datasets: tuple[str, ...]
    """"name@version#fingerprint" of each dataset; empty when the runs recorded none and may differ in their data."""
    rows: tuple[RankedRun, ...]

    @property
    def title(self) -> str:
        """Return the names of the datasets, as the title of the table."""
        names = [f"{tag.ref} ({tag.short_fingerprint})" for tag in map(DatasetTag.parse, self.datasets)]
        return ", ".join(names) or "data not recorded: these runs may have used different rows"


@dataclass(frozen=True)
class Ranking:
    """All runs of an experiment that have the metric, with one table for each set of datasets."""

    metric: str
    direction: Direction
    tables: tuple[RankingTable, ...]
    """The table with the newest run comes first."""
    without: tuple[RunInfo, ...]
    """Runs without the metric, or without a finite value."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `nbops compare --json` prints."""
        return {
            "metric": self.metric,
            "direction": self.direction,
            "tables": [
                {"datasets": list(table.datasets), "runs": [_row_json(row) for row in table.rows]}
                for table in self.tables
            ],
            "without_metric": [run.run_id for run in self.without],
        }


def rank(runs: Sequence[RunInfo], metric: str, direction: Direction) -> Ranking:
    """Rank the runs by their logged `metric`. Runs on different data are in different tables.

    Raises UsageError when there are runs but none has the metric.
    """
    has = [run for run in runs if _is_number(run.metrics.get(metric))]
    if runs and not has:
        raise UsageError(no_metric(runs, metric))
    groups: dict[tuple[str, ...], list[RunInfo]] = {}
    for run in sorted(has, key=lambda run: run.started_ms, reverse=True):
        groups.setdefault(data_of(run), []).append(run)
    tables = tuple(
        RankingTable(tuple(sorted(members[0].datasets.values())), _ranked(members, metric, direction))
        for members in groups.values()
    )
    return Ranking(metric, direction, tables, tuple(run for run in runs if not _is_number(run.metrics.get(metric))))


def data_of(run: RunInfo) -> tuple[str, ...]:
    """Return the fingerprints of a run's datasets. Metrics of runs can be compared if these fingerprints are equal.

    Two datasets with the same content count as the same data, whatever their names and versions.
    """
    return tuple(sorted({tag.fingerprint for tag in run.dataset_tags}))


def no_metric(runs: Sequence[RunInfo], metric: str) -> str:
    """Return a message that no run has the metric. It names the metrics that the runs have."""
    logged = sorted({name for run in runs for name in run.metrics})
    match = nearest(metric, logged)
    meant = f"; did you mean {match!r}?" if match else ""
    if metric in logged:
        return f"none of {len(runs)} finished run(s) has a finite {metric!r}: all are nan or infinite"
    have = f"they have: {', '.join(logged)}" if logged else "they have no metrics at all"
    return f"none of {len(runs)} finished run(s) has the metric {metric!r}{meant} ({have})"


def commit(tags: Mapping[str, str]) -> str:
    """Return the short commit of a run, with a star for uncommitted changes; empty when it is unknown."""
    short_commit = tags.get("mlflow.source.git.commit", "")[:8]
    return short_commit + ("*" if short_commit and tags.get(Tag.GIT_DIRTY) == "true" else "")


def _ranked(runs: list[RunInfo], metric: str, direction: Direction) -> tuple[RankedRun, ...]:
    ordered = sorted(runs, key=lambda run: sort_key(direction, run.metrics[metric]))
    rows: list[RankedRun] = []
    for place, run in enumerate(ordered, 1):
        value = run.metrics[metric]
        tied = rows and rows[-1].value == value
        rows.append(RankedRun(rows[-1].rank if tied else place, run, value))
    return tuple(rows)


def _is_number(value: float | None) -> bool:
    """Return True if a value is finite. Others count as missing: NaN has no order, and infinity would always win."""
    return finite(value)


def _row_json(row: RankedRun) -> dict[str, Any]:
    run = row.run
    return {
        "rank": row.rank,
        "run_id": run.run_id,
        "name": run.name,
        "notebook": run.tags.get(Tag.NOTEBOOK, ""),
        "value": row.value,
        "metrics": {name: value if finite(value) else None for name, value in run.metrics.items()},
        "commit": run.tags.get("mlflow.source.git.commit", ""),
        "dirty": {"true": True, "false": False}.get(run.tags.get(Tag.GIT_DIRTY, "")),
        "started_ms": run.started_ms,
    }


def unlogged_note(metric: str, runs: Sequence[RunInfo], limit: int) -> str:
    """Return a warning that promotion scores only the newest of `runs`, since none of them logged the metric.

    Empty when a run did, or when all are scored. Repetitions of a run count once.
    """
    different = {run.tags.get(Tag.RUN_FINGERPRINT) or run.run_id for run in runs}
    if len(different) <= limit or any(metric in run.metrics for run in runs):
        return ""
    return (
        f"no run has logged {metric}: of {len(different)} runs only the {limit} newest are scored on the validation "
        f"rows, and the best may not be among them; to score all: -p max_candidates={len(different)}"
    )
