"""The rows of a holdout decide K times, whatever version or name they go by, and whoever dies in between."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import (
    fresh_holdout,
    holdout_budget,
    holdout_leakage,
    holdout_ledger,
    loader,
    run_datasets,
    version_lookup,
)
from notebooks_lib.errors import DatasetError, HoldoutError, TrackingError, UsageError
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store, connect

pytestmark = pytest.mark.tracking


def table(rows: range, **columns: object) -> pd.DataFrame:
    drawn = np.random.default_rng(0).normal(size=10_000)
    return pd.DataFrame({"id": list(rows), "size": drawn[list(rows)], "price": 2 * drawn[list(rows)]}).assign(**columns)


def add(settings: Settings, frame: pd.DataFrame, name: str = "sales", key: str | None = "id") -> datasets.Dataset:
    file = settings.root / "table.csv"
    frame.to_csv(file, index=False)
    return datasets.add(file, name, settings, target="price", key=key)


@pytest.fixture
def store(project: Settings) -> Store:
    return connect(project)


def ask(store: Store, data: datasets.Dataset, question: object, *, budget: int = 10, answer: object = "found"):
    """The answer, and of which use it is; None for a question that came too late."""
    with holdout_budget.holdout_use(store, data, {"q": question}, alpha=0.05, budget=budget, reader="test") as use:
        if use.stored is not None:
            return use.stored["answer"], use.number, use.spent
        if use.number > budget:
            return None, use.number, use.spent
        assert len(use.open()) == data.rows_held_out
        use.answer({"answer": answer})
        return answer, use.number, use.spent


def ledger_runs(store: Store) -> list[Any]:
    experiment = store.client.get_experiment_by_name(holdout_ledger.EXPERIMENT)
    return list(store.client.search_runs([experiment.experiment_id]))


def spent(store: Store, ref: str, budget: int = 10) -> int:
    return holdout_budget.count_uses(store, ref, alpha=0.05, budget=budget)


def test_each_question_is_a_use_and_the_same_question_none(either_store):
    store, project = either_store, either_store.settings
    data = add(project, table(range(9000, 9100)))  # the workspace is shared with other tests
    assert ask(store, data, "a", answer=[1.5, float("inf")]) == ([1.5, float("inf")], 1, 1)
    assert ask(store, data, "b") == ("found", 2, 2)
    assert ask(store, data, "a", answer="other") == ([1.5, float("inf")], 1, 2)
    assert spent(store, "sales@1") == 2


@pytest.mark.proof
def test_after_the_budget_nobody_reads_and_old_answers_stand(store, project):
    data = add(project, table(range(100)))
    for number in range(3):
        assert ask(store, data, number, budget=3)[1] == number + 1
    assert ask(store, data, "one more", budget=3) == (None, 4, 3)
    assert ask(store, data, 1, budget=3) == ("found", 2, 3)
    forced = holdout_budget.holdout_use(store, data, {"q": "by force"}, alpha=0.05, budget=3, reader="test")
    with forced as use, pytest.raises(HoldoutError, match=r"used up \(3 of 3 uses\)"):
        use.open()
    assert len((project.layout.state / "holdout.jsonl").read_text().splitlines()) == 3


def test_a_budget_that_is_raised_later_gives_no_free_use(store, project):
    data = add(project, table(range(100)))
    for number in range(2):
        ask(store, data, number, budget=2)
    assert spent(store, "sales", budget=2) == 2
    assert spent(store, "sales", budget=20) == 20
    assert ask(store, data, "again", budget=20)[0] is None


def test_a_version_or_a_name_that_shares_rows_inherits_the_count(store, project):
    data = add(project, table(range(100)))
    ask(store, data, "a")
    more = add(project, table(range(150)))
    assert (more.ref, spent(store, "sales@2")) == ("sales@2", 1)
    assert ask(store, more, "a") == ("found", 2, 2)  # other rows: another question
    assert spent(store, "sales@1") == 2
    corrected = add(project, table(range(150)).assign(size=0.0))
    assert spent(store, corrected.ref) == 2  # the same keys
    add(project, table(range(100)), "renamed")
    assert spent(store, "renamed") == 2  # the same rows
    add(project, table(range(500, 600)), "other")
    assert spent(store, "other") == 0


def test_without_a_key_another_column_does_not_start_anew(store, project):
    ask(store, add(project, table(range(100)), key=None), "a")
    wider = add(project, table(range(100), colour="red"), key=None)
    assert spent(store, wider.ref) == 1


def test_under_another_key_and_with_another_column_does_not_start_anew(store, project):
    def exported(rows: range) -> pd.DataFrame:
        return table(rows).rename(columns={"id": "order"}).assign(order=lambda frame: "o" + frame["order"].astype(str))

    ask(store, add(project, table(range(100)).assign(weight=1.5)), "a")
    data = add(project, exported(range(150)).assign(colour="red"), "exported", "order")
    assert spent(store, "exported") == 1
    assert ask(store, data, "b")[1:] == (2, 2)
    assert spent(store, "sales") == 2
    add(project, exported(range(500, 600)).assign(colour="red"), "others", "order")
    assert spent(store, "others") == 0


def test_a_version_that_is_not_there_any_more_counts_by_its_digests_alone(store, project):
    data = add(project, table(range(100)))
    ask(store, data, "a")
    add(project, table(range(100)), "copied")
    add(project, table(range(100)).rename(columns={"id": "order"}).assign(colour="red"), "exported", "order")
    shutil.rmtree(project.data_folder / "sales")
    assert (spent(store, "copied"), spent(store, "exported")) == (1, 0)
    add(project, table(range(100)).assign(weight=1.5))  # another table is version 1 now
    assert (spent(store, "copied"), spent(store, "exported")) == (1, 0)


def test_where_the_columns_are_the_same_nobody_opens_the_other_table(store, project, monkeypatch):
    ask(store, add(project, table(range(100)).assign(weight=1.5), "narrow"), "a")
    ask(store, add(project, table(range(100))), "a")
    data = add(project, table(range(150)), "more")
    opened = []
    real = loader.open_table
    monkeypatch.setattr(loader, "open_table", lambda ref, settings: opened.append(ref) or real(ref, settings))
    assert ask(store, data, "b")[1:] == (3, 3)
    assert Counter(opened)["narrow@1"] == 1
    assert set(opened) == {"more@1", "narrow@1"}


def test_a_row_is_counted_for_itself_however_it_was_known(store, project):
    """Some rows were asked under another name, others corrected under this one: none of them twice."""
    ask(store, add(project, table(range(200, 400)).assign(size=0.0)), "a")
    ask(store, add(project, table(range(200)), "other"), "a")
    data = add(project, table(range(600)))
    assert spent(store, data.ref) == 1
    assert ask(store, data, "b")[1:] == (2, 2)


CHILDREN = """
import os, signal, sys
import mlflow.store.tracking.sqlalchemy_store, pandas, pyarrow.parquet  # once, before the children are forked
from notebooks_lib import datasets, settings
from notebooks_lib.datasets import holdout_budget, loader, version_lookup
from notebooks_lib.datasets.holdout_ledger import HoldoutLedger
from notebooks_lib.tracking.store import connect

def ask(name, question, budget=10):
    store = connect(settings.here())
    data = datasets.read(name, store.settings)
    with holdout_budget.holdout_use(store, data, {"q": question}, alpha=0.05, budget=budget, reader="test") as use:
        if use.number <= budget:
            use.open()
            use.answer({"answer": "found"})

def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)

def step(name):
    if name == "before": HoldoutLedger.add_use = die
    if name == "counted": loader.open_holdout = die
    if name == "read": HoldoutLedger.add_answer = die
    ask(name, "a")
    die()

def several(number):
    for each in range(3):
        ask("shared", [number, each], budget=4)

def child(work, argument):
    pid = os.fork()
    if not pid:
        try:
            work(argument)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    return pid

for name in ("before", "counted", "read", "answered"):
    assert os.waitpid(child(step, name), 0)[1] == signal.SIGKILL, name
for pid in [child(several, number) for number in range(2)]:
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.proof
def test_kill_9_gives_no_free_use_and_two_at_once_never_ask_more_than_the_budget(store, project):
    steps = ("before", "counted", "read", "answered")
    data = {
        name: add(project, table(range(100 * place, 100 * place + 100)), name)
        for place, name in enumerate((*steps, "shared"))
    }
    subprocess.run([sys.executable, "-c", CHILDREN], cwd=project.root, timeout=200, check=True)
    lines = map(json.loads, (project.layout.state / "holdout.jsonl").read_text().splitlines())
    assert Counter(line["dataset"] for line in lines) == {"read@1": 1, "answered@1": 1, "shared@1": 4}
    assert spent(store, "shared", budget=4) == 4
    for step in steps:
        assert spent(store, step) == (0 if step == "before" else 1), step
        again = {"before": ("found", 1, 1), "answered": ("found", 1, 1)}.get(step, ("found", 2, 2))
        assert ask(store, data[step], "a") == again, step


def test_a_promotion_waits_for_its_turn_and_not_for_ever(store, project):
    data = add(project, table(range(100)))
    options = {"alpha": 0.05, "budget": 10, "reader": "test"}
    with (
        holdout_budget.holdout_use(store, data, {"q": 1}, **options),
        pytest.raises(TrackingError, match="another promotion has held the holdout for 0 s; end it first"),
        holdout_budget.holdout_use(store, data, {"q": 2}, **options, patience=0.01),
    ):
        pass
    assert spent(store, "sales") == 0


def test_deleting_the_runs_refunds_nothing(store, project):
    data = add(project, table(range(100)))
    ask(store, data, "a")
    for run in ledger_runs(store):
        store.client.delete_run(run.info.run_id)
    assert spent(store, "sales") == 1
    assert ask(store, data, "b")[1] == 2


def test_uses_of_rows_that_are_not_listed_any_more_are_an_error(store, project):
    ask(store, add(project, table(range(100))), "a")
    more = add(project, table(range(150)))
    for run in ledger_runs(store):
        store.client.delete_tag(run.info.run_id, Tag.HOLDOUT_DONE)
    with pytest.raises(TrackingError, match="does not list any more"):
        ask(store, more, "b")


def test_a_fresh_holdout_has_rows_that_never_decided_and_takes_none_from_elsewhere(store, project):
    old = add(project, table(range(200)))
    ask(store, old, "a")
    before = {part.name: set(part.frame["id"]) for part in (old.train, old.validation)}
    asked = set(range(200)) - before["train"] - before["validation"]
    with pytest.raises(DatasetError, match="only 0 of .* holdout rows have never decided, 30 are wanted"):
        fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    grown = add(project, table(range(400)))
    made = fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    assert (made.ref, made.rows, made.fingerprint != grown.fingerprint) == ("sales@3", 400, True)
    assert spent(store, made.ref) == 0
    assert made.retired == old.rows_held_out
    assert f"{old.rows_held_out} have left it" in repr(made)
    with holdout_budget.holdout_use(store, made, {"q": "b"}, alpha=0.05, budget=10, reader="test") as use:
        fresh = set(use.open().frame["id"])
        use.answer({})
    assert fresh == set(range(200, 400)) - set(grown.train.frame["id"]) - set(grown.validation.frame["id"])
    parts = {part.name: set(part.frame["id"]) for part in (made.train, made.validation)}
    assert all(before[name] <= parts[name] for name in before)  # nothing moved but out of the holdout
    assert asked <= parts["train"] | parts["validation"]
    assert asked & parts["train"]
    assert asked & parts["validation"]
    later = add(project, table(range(500)))
    assert not asked & {*range(500)} - set(later.train.frame["id"]) - set(later.validation.frame["id"])


def test_with_a_time_a_fresh_holdout_begins_after_the_last_row_that_decided(store, project):
    def grown(rows: int) -> datasets.Dataset:
        file = project.root / "days.csv"
        table(range(rows)).to_csv(file, index=False)
        return datasets.add(file, "days", project, time="id")

    old = grown(200)
    ask(store, old, "a")
    with pytest.raises(DatasetError, match="only 0 of 60 holdout rows have never decided"):
        fresh_holdout.make_fresh_holdout(store, "days", min_rows=30)
    later = grown(260)
    made = fresh_holdout.make_fresh_holdout(store, "days", min_rows=30)
    assert (made.rows_held_out, made.fingerprint != later.fingerprint) == (60, True)
    assert [part.frame["id"].iloc[[0, -1]].tolist() for part in (made.train, made.validation)] == [[0, 139], [140, 199]]
    assert spent(store, made.ref) == 0


def test_a_holdout_that_has_not_decided_is_fresh(store, project):
    add(project, table(range(100)))
    with pytest.raises(UsageError, match="it is fresh"):
        fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    with pytest.raises(UsageError, match="ships with scikit-learn"):
        fresh_holdout.make_fresh_holdout(store, "iris", min_rows=30)


def test_a_model_that_has_seen_holdout_rows_is_found_out(store, project):
    old = add(project, table(range(200)))
    ask(store, old, "a")
    grown = add(project, table(range(400)))
    made = fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)

    def seen(judged: datasets.Dataset, *used: datasets.Dataset) -> int | None:
        return holdout_leakage.seen_in_datasets(judged, [run_datasets.tag_value(each) for each in used], project)

    assert seen(old, old) == seen(grown, old) == seen(made, old, grown) == 0
    assert seen(old, made) == old.rows_held_out  # retired into its train and validation
    other = add(project, table(range(200)), "unkeyed", key=None)  # the same rows in other parts
    assert 0 < seen(old, other) < old.rows_held_out
    wider = add(project, table(range(200), colour="red"), "wider", key=None)
    assert 0 < seen(other, wider) < other.rows_held_out
    moved = table(range(200), colour="red").rename(columns={"id": "order"}).assign(order=lambda frame: -frame["order"])
    assert 0 < seen(old, add(project, moved, "moved", "order")) < old.rows_held_out
    kept = table(range(200), colour="red").rename(columns={"id": "order"})
    assert seen(old, add(project, kept, "kept", "order")) == 0  # keys of the same values: the same parts
    wide = add(project, table(range(400), colour="red"))
    assert seen(wide, grown) == 0  # another column, the same keys
    assert seen(old) is None
    assert holdout_leakage.seen_in_datasets(old, [f"gone@1#{'a' * 64}"], project) is None
    assert holdout_leakage.seen_in_datasets(old, [f"sales@2#{'a' * 64}"], project) is None


def test_the_command_shows_what_is_left_and_makes_a_fresh_one(store, project, capsys):
    from notebooks_lib.__main__ import run

    data = add(project, table(range(200)))
    ask(store, data, "a")
    assert run(["data", "holdout", "sales"]) == 0
    assert f"{data.rows_held_out} holdout rows, 1 of 10 uses spent, 9 left" in capsys.readouterr().out
    add(project, table(range(400)))
    assert run(["data", "holdout", "sales", "--fresh"]) == 0
    out = capsys.readouterr().out
    assert "sales@3 added: its holdout has never decided" in out
    assert "0 of 10 uses spent, 10 left" in out


def test_of_a_dataset_with_groups_new_groups_are_asked_for(store, project, capsys, monkeypatch):
    from notebooks_lib.__main__ import run

    def shops(rows: int, known: int) -> datasets.Dataset:
        file = project.root / "table.csv"
        table(range(rows), shop=[row % known if row < 400 else row % 97 + known for row in range(rows)]).to_csv(
            file, index=False
        )
        return datasets.add(file, "sales", project, target="price", key="id", group="shop")

    ask(store, shops(200, 40), "a", budget=1)
    monkeypatch.setenv("NBOPS_PROMOTION_HOLDOUT_USES", "1")
    assert run(["data", "holdout", "sales"]) == 0
    assert (
        "add rows of new values of 'shop', not just new rows of the known ones, then: nbops" in capsys.readouterr().out
    )
    shops(400, 40)
    with pytest.raises(DatasetError, match="only 0 of .* add a version with rows of new values of 'shop'"):
        fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    shops(700, 40)
    assert fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30).rows_held_out >= 30


def test_what_was_retired_cannot_be_changed_by_hand(store, project):
    ask(store, add(project, table(range(200))), "a")
    add(project, table(range(400)))
    made = fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    file = Path(project.data_folder / "sales" / "3" / "retired.parquet")
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    with pytest.raises(DatasetError, match="is not what was written"):
        datasets.read(made.ref, project)
    with pytest.raises(DatasetError, match="is not what was written"):
        add(project, table(range(500)))
    assert version_lookup.project_store(project).versions("sales") == [1, 2, 3]


def test_a_version_can_follow_one_whose_table_is_damaged(store, project):
    ask(store, add(project, table(range(200))), "a")
    add(project, table(range(400)))
    made = fresh_holdout.make_fresh_holdout(store, "sales", min_rows=30)
    (project.data_folder / "sales" / "3" / "table.parquet").write_bytes(b"damaged")
    assert add(project, table(range(500))).retired == made.retired
