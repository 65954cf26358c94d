"""The ranking of runs, and `nbops compare`."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest

from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import UsageError
from notebooks_lib.promotion.run_ranking import rank
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.query import RunInfo

A, B = "cats@1#" + "a" * 64, "cats@2#" + "b" * 64


def info(run_id: str, started: int, dataset: str | None = A, **metrics: float) -> RunInfo:
    tags = {Tag.END: "FINISHED"}
    if dataset:
        tags[Tag.DATASET_PREFIX + dataset.partition("@")[0]] = dataset
    return RunInfo(run_id, run_id, "e", "1", "FINISHED", started, metrics, {}, tags)


def order(table):
    return [(row.rank, row.run.run_id) for row in table.rows]


def test_best_first_by_direction_and_ties_share_a_rank():
    runs = [info("a", 1, rmse=2.0), info("b", 2, rmse=1.0), info("c", 3, rmse=2.0), info("d", 4, rmse=3.0)]
    assert order(rank(runs, "rmse", "min").tables[0]) == [(1, "b"), (2, "c"), (2, "a"), (4, "d")]
    assert order(rank(runs, "rmse", "max").tables[0])[0] == (1, "d")


def test_runs_on_different_data_are_never_in_one_table():
    runs = [info("a", 1, A, rmse=2.0), info("b", 2, B, rmse=1.0), info("c", 3, None, rmse=0.0)]
    tables = rank(runs, "rmse", "min").tables
    assert [(table.datasets, order(table)) for table in tables] == [
        ((), [(1, "c")]),
        ((B,), [(1, "b")]),
        ((A,), [(1, "a")]),
    ]
    assert "may have used different rows" in tables[0].title


def test_the_same_content_under_two_names_is_the_same_data():
    twin = "felines@7#" + "a" * 64
    assert len(rank([info("a", 1, A, rmse=2.0), info("b", 2, twin, rmse=1.0)], "rmse", "min").tables) == 1


def test_runs_without_the_metric_or_with_nan_or_infinity_are_apart():
    runs = [info("a", 1, rmse=2.0), info("b", 2, mae=1.0), info("c", 3, rmse=float("nan"))]
    runs += [info("d", 4, rmse=float("-inf")), info("e", 5, rmse=-sys.float_info.max)]  # as MLflow's database keeps it
    ranking = rank(runs, "rmse", "min")
    assert order(ranking.tables[0]) == [(1, "a")]
    assert [run.run_id for run in ranking.without] == ["b", "c", "d", "e"]
    with pytest.raises(UsageError, match="has a finite 'rmse': all are nan or infinite"):
        rank(runs[2:], "rmse", "max")


def test_if_no_run_has_the_metric_the_logged_ones_are_named():
    with pytest.raises(UsageError, match=r"did you mean 'rmse'\? \(they have: mae, rmse\)"):
        rank([info("a", 1, rmse=2.0, mae=1.0)], "rmsee", "min")


@pytest.mark.tracking
def test_the_command_ranks_what_ended_well(trials, houses, capsys):
    trials.run({"rmse": 2.0, "mae": 1.5}, dataset=houses, **{Tag.GIT_DIRTY: "true"})
    best = trials.run({"rmse": 1.0}, dataset=houses)
    other = trials.run({"rmse": 0.5})
    trials.run({"mae": 0.1}, dataset=houses)
    trials.run({"rmse": 0.0}, dataset=houses, end=None)
    assert nbops(["compare", "houses", "--metric", "rmse"]) == 0
    out = capsys.readouterr().out
    assert "by rmse, smaller is better" in out
    assert "numbers from different data are not compared" in out
    assert "1 run has no finite rmse" in out
    assert "c0ffee00*" in out
    assert "mae 1.5" in out
    assert nbops(["compare", "houses", "--metric", "rmse", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [table["runs"][0]["run_id"] for table in tables] == [other, best]
    assert [len(table["runs"]) for table in tables] == [1, 2]


@pytest.mark.tracking
def test_of_many_runs_the_command_says_which_it_looked_at(trials, houses, capsys, monkeypatch):
    from notebooks_lib.tracking import query

    few = partial(query.promising_runs, limits=query.SelectionLimits(newest=2, best=1))
    monkeypatch.setattr(query, "promising_runs", few)
    best, left_out, *_ = (trials.run({"rmse": value}, dataset=houses) for value in (1.0, 4.0, 2.0, 3.0))
    assert nbops(["compare", "houses", "--metric", "rmse"]) == 0
    out = capsys.readouterr().out
    assert best[:8] in out
    assert left_out[:8] not in out
    assert "--all looks at every one" in out
    assert nbops(["compare", "houses", "--metric", "rmse", "--all"]) == 0
    out = capsys.readouterr().out
    assert left_out[:8] in out
    assert "looks at every one" not in out


@pytest.mark.tracking
def test_the_command_refuses_an_unknown_metric_or_experiment(trials, capsys):
    assert nbops(["compare", "houses", "--metric", "rmes"]) == 2
    assert "did you mean 'rmse'" in capsys.readouterr().err
    assert nbops(["compare", "hauses", "--metric", "rmse"]) == 2
    assert "unknown experiment 'hauses'" in capsys.readouterr().err
