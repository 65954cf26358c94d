"""Of an experiment with many runs, those that a ranking needs are found without reading all of them."""

from __future__ import annotations

import itertools
import math
import sqlite3
import uuid

import pytest

from notebooks_lib.errors import UnknownNameError
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, sqlite, store
from notebooks_lib.tracking.store import Store

pytestmark = pytest.mark.tracking
EXPERIMENT = ""
CATS, DOGS = {Tag.DATASET_PREFIX + "cats": "cats@1#" + "a" * 64}, {Tag.DATASET_PREFIX + "dogs": "dogs@1#" + "b" * 64}


@pytest.fixture(autouse=True)
def another_experiment(monkeypatch):
    """The servers are shared by all tests."""
    monkeypatch.setitem(globals(), "EXPERIMENT", f"many-{uuid.uuid4().hex[:8]}")


FEW = query.SelectionLimits(newest=3, best=2)
"""A handful of runs exceeds these."""


def log(found: Store, *values: float | None, end: str = "FINISHED", **tags: str) -> list[str]:
    """A run with each of the values, each a second younger than the one before; their ids."""
    ids = []
    for value in values:
        started = 1_700_000_000_000 + 1000 * next(_seconds)
        run = found.client.create_run(found.experiment_id(EXPERIMENT), start_time=started, tags=tags)
        if value is not None:
            found.client.log_metric(run.info.run_id, "rmse", value)
        found.client.set_terminated(run.info.run_id, status=end)
        found.client.set_tag(run.info.run_id, Tag.END, end)
        ids.append(run.info.run_id)
    return ids


_seconds = itertools.count()


def ids(look: query.RunSelection) -> list[str]:
    return [run.run_id for run in look.runs]


def test_few_runs_are_all_looked_at(any_store):
    mine = log(any_store, 3.0, None, 1.0)
    log(any_store, 0.5, end="FAILED")
    look = query.promising_runs(any_store, EXPERIMENT, "rmse", largest=False)
    assert ids(look) == mine[::-1]
    assert look.whole
    assert str(look) == ""


@pytest.mark.parametrize(("largest", "old"), [(False, [1.0, 2.0]), (True, [9.0, 8.0])])
def test_of_many_runs_the_best_are_looked_at_with_the_newest(any_store, largest, old):
    values = [5.0, 1.0, 9.0, math.nan, None, 2.0, 8.0, 5.0, 5.0, 5.0]
    made = log(any_store, *values)
    log(any_store, 0.0, 99.0, end="KILLED")
    look = query.promising_runs(any_store, EXPERIMENT, "rmse", largest=largest, limits=FEW)
    if any_store.uri.startswith("azureml:"):  # which sorts by no metric: all of them
        assert ids(look) == made[::-1]
        assert look.whole
        return
    expected = {made[values.index(value)] for value in old} | set(made[-3:])
    assert ids(look) == [run for run in reversed(made) if run in expected]
    assert not look.whole
    assert "the 2 best" in str(look)


def test_the_best_are_sought_on_each_dataset_of_the_newest_and_on_the_one_asked_for(project):
    found = store.connect(project)
    easy = log(found, 0.1, 0.2, 0.3, **DOGS)
    hard = log(found, 5.0, 6.0, **CATS)
    newest = log(found, 9.0, 9.0, 9.0, **CATS)
    assert set(ids(query.promising_runs(found, EXPERIMENT, "rmse", largest=False, limits=FEW))) == {
        *easy[:2],
        *hard,
        *newest,
    }
    more = log(found, 0.0, 0.0)
    newer = log(found, 9.0, 9.0, 9.0)  # on data that nobody knows
    assert set(ids(query.promising_runs(found, EXPERIMENT, "rmse", largest=False, limits=FEW))) == {*more, *newer}
    asked = query.promising_runs(found, EXPERIMENT, "rmse", largest=False, data=CATS, limits=FEW)
    assert set(ids(asked)) == {*more, *newer, *hard}


def test_a_sweeps_own_run_and_what_only_mlflow_called_finished_are_left_out(project):
    found = store.connect(project)
    made = log(found, 5.0, 4.0, 3.0, 2.0)
    log(found, 0.0, **{Tag.SWEEP: "parent"})
    found.client.delete_tag(log(found, 0.1)[0], Tag.END)
    look = query.promising_runs(found, EXPERIMENT, "rmse", largest=False, limits=FEW)
    assert ids(look) == [made[3]]
    assert [run.run_id for run in query.find_runs(found, EXPERIMENT)] == made[::-1]


def test_an_unknown_experiment_is_named(project):
    with pytest.raises(UnknownNameError, match="unknown experiment 'mani'"):
        found = store.connect(project)
        log(found, 1.0)
        query.promising_runs(found, "mani", "rmse", largest=False)


def test_sqlite_is_told_once_how_much_it_holds_and_again_when_that_has_grown(project):
    found = store.connect(project)

    def noted() -> int | None:
        with sqlite3.connect(project.layout.database) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
                return None
            (stat,) = connection.execute("SELECT max(stat) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
            return int(stat.split()[0])

    sqlite.note_sizes(found.uri)
    assert noted() is None  # there is nothing to note
    for values, expected in ((2, 2), (4, 2), (4, 10)):
        log(found, *[1.0] * values)
        sqlite.note_sizes(found.uri)
        assert noted() == expected


def test_a_database_that_is_busy_or_gone_is_left_alone(project, tmp_path):
    found = store.connect(project)
    log(found, 1.0)
    with sqlite3.connect(project.layout.database, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        sqlite.note_sizes(found.uri)
        connection.execute("ROLLBACK")
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone()
    sqlite.note_sizes(f"sqlite:///{tmp_path / 'no' / 'such.db'}")


def test_an_infinite_metric_is_read_as_such_although_the_database_has_no_word_for_it(project):
    found = store.connect(project)
    ids_ = log(found, math.inf, -math.inf, 1e300)
    values = [query.get_run(found, run_id).metrics["rmse"] for run_id in ids_]
    assert values == [math.inf, -math.inf, 1e300]


def test_the_beginning_of_an_id_is_enough_where_only_one_run_begins_so(project):
    found = store.connect(project)
    run_id = log(found, 1.0)[0]
    assert query.whole_id(found, run_id[:8]) == query.whole_id(found, run_id) == run_id
    assert query.whole_id(found, "nowhere") == "nowhere"
    other = ("0" if run_id[0] != "0" else "1") + run_id[1:8]
    with pytest.raises(UnknownNameError, match=rf"unknown run '{other}', did you mean '{run_id[:8]}'"):
        query.whole_id(found, other)
