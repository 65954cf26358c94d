"""What a person should look at in a dataset: a holdout unlike its training rows, columns that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import data_quality, holdout_shift, run_datasets
from notebooks_lib.settings import Settings
from tests.datasets.tables import csv, frame


def test_a_holdout_that_is_unlike_train_is_noticed(empty_project: Settings) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(400), "x": random.normal(size=400), "kind": random.choice(["a", "b"], size=400)})
    rows["price"] = rows["x"] + 1

    def add(table: pd.DataFrame, name: str) -> datasets.Dataset:
        file = empty_project.root / "t.csv"
        table.to_csv(file, index=False)
        return datasets.add(file, name, empty_project, target="price", key="id")

    data = add(rows, "fine")
    assert holdout_shift.holdout_faults("fine", empty_project) == ()
    known = {*data.train.frame["id"], *data.validation.frame["id"]}
    held = ~rows["id"].isin(known)
    odd = rows.assign(
        x=rows["x"].where(~held | (rows["id"] % 2 == 0), 99.0),
        kind=rows["kind"].where(~held | (rows["id"] % 3 > 0), "c"),
    )
    add(odd, "odd")
    told = " ".join(holdout_shift.holdout_faults("odd", empty_project))
    assert "column 'x': " in told
    assert "lies outside what train holds" in told
    assert "column 'kind': " in told
    assert "has values that train has not" in told
    add(rows.assign(x=rows["x"].where(~held)), "gaps")
    assert "column 'x': 100% is missing in the holdout, 0% in train" in holdout_shift.holdout_faults(
        "gaps", empty_project
    )


def test_kinds_are_compared_with_those_of_the_version_that_a_model_was_trained_on(empty_project: Settings) -> None:
    texts = frame(60).assign(kind=["1,5", "2,5"] * 30)
    old = datasets.add(csv(empty_project.root, texts), "t", empty_project, key="id")
    mended = csv(empty_project.root, texts.assign(kind=[1.5, 2.5] * 30))
    new = datasets.add(mended, "t", empty_project, kinds={"kind": "number"})
    assert holdout_shift.holdout_faults(new.ref, empty_project) == ()
    tags = [run_datasets.tag_value(version) for version in (old, new)]
    told = [
        holdout_shift.changed_kinds(new.ref, tag, empty_project) for tag in (*tags, "", "u@1", "iris@1#" + "0" * 64)
    ]
    assert told == ["kind: text -> number", "", "", "", ""]


def test_the_tables_that_ship_are_alike(empty_project: Settings) -> None:
    assert {
        name: holdout_shift.holdout_faults(name, empty_project)
        for name in ("breast_cancer", "diabetes", "iris", "wine")
    } == {
        "breast_cancer": (),
        "diabetes": (),
        "iris": (),
        "wine": (),
    }


def test_a_nearly_numeric_column_of_text_is_remarked_on(empty_project: Settings, tmp_path: Path) -> None:
    mixed = frame(100).assign(age=["{?}" if i % 20 == 0 else str(i) for i in range(100)], code=["A"] * 100)
    (remark,) = data_quality.remarks(datasets.add(csv(tmp_path, mixed), "t", empty_project))
    assert "column 'age' is text" in remark
    assert "not '{?}'" in remark


def test_rows_with_the_same_features_are_remarked_on(empty_project: Settings, tmp_path: Path) -> None:
    rows = frame(60)[["x"]].loc[lambda t: t.index.repeat(3)].assign(y=range(180))
    added = datasets.add(csv(tmp_path, rows), "t", empty_project, target="y")
    (remark,) = data_quality.remarks(added, empty_project)
    assert "of the holdout has the same features as rows of train or validation" in remark
    assert "--group COLUMN" in remark
    grouped = datasets.add(csv(tmp_path, rows.assign(who=rows.index)), "u", empty_project, target="y", group="who")
    assert data_quality.remarks(grouped, empty_project) == []


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["12,50", "1.234,75"], "'12,50' has a comma; write numbers with a point"),
        (["1,5", "2,25"], "has a comma"),
        (["31.12.2026", "01.02.2024"], "'31.12.2026' is no ISO date"),
        (["12/31/2026", "1/2/2024"], "is no ISO date"),
        (["31-12-26", "01-02-24"], "is no ISO date"),
        (["00501", "10001"], "as a number '00501' would be written 501; if it is one, say --kind c=number"),
        (["1E5", "2E7"], "would be written 100000"),
        (["33.333333333333333333", "1.5"], "--kind c=number"),
    ],
)
def test_text_that_looks_like_something_else_is_remarked_on(
    empty_project: Settings, tmp_path: Path, texts: list[str], words: str
) -> None:
    added = datasets.add(csv(tmp_path, frame(60).assign(c=texts * 30)), "t", empty_project, key="id")
    (remark,) = data_quality.remarks(added, empty_project)
    assert "column 'c' is text" in remark
    assert words in remark


def test_a_column_that_was_said_to_be_text_is_not_remarked_on(empty_project: Settings, tmp_path: Path) -> None:
    table = csv(tmp_path, frame(60).assign(zip=["501", "10001"] * 30))
    added = datasets.add(table, "t", empty_project, key="id", kinds={"zip": "text"})
    assert added.columns["zip"] == "text"
    assert added.chosen == ("zip",)
    assert data_quality.remarks(added, empty_project) == []


@pytest.mark.parametrize(("text", "kind"), [("2026-12-31", "time"), ("2026-12-31T10:00Z", "instant")])
def test_dates_that_stay_text_are_remarked_on(empty_project: Settings, tmp_path: Path, text: str, kind: str) -> None:
    for value in ("31.12.2026", text):
        added = datasets.add(csv(tmp_path, frame(60).assign(c=value)), "t", empty_project, key="id")
    assert data_quality.remarks(added, empty_project) == [
        f"column 'c' is text: all values are dates; if it is one, say --kind c={kind}"
    ]


def test_free_text_is_remarked_on_and_repeated_text_and_keys_are_not(empty_project: Settings, tmp_path: Path) -> None:
    table = frame(100).assign(note=[f"called on day {i}" for i in range(100)], city=["Köln", "Ulm"] * 50)
    added = datasets.add(csv(tmp_path, table.assign(who=table["note"])), "t", empty_project, key="who")
    (remark,) = data_quality.remarks(added, empty_project)
    assert remark.startswith("column 'note' holds 100 different texts in 100 rows: free text")
    gaps = table.assign(note=table["note"].where(table.index % 4 > 0))
    (remark,) = data_quality.remarks(datasets.add(csv(tmp_path, gaps), "u", empty_project))
    assert remark.startswith("column 'note' holds 75 different texts in 75 rows that have one: free text")


def test_the_classes_of_the_target_are_counted_and_a_rare_one_is_remarked_on(
    empty_project: Settings, tmp_path: Path
) -> None:
    table = frame(300).assign(fraud=["yes" if i % 15 == 0 else "no" for i in range(300)])
    rare = datasets.add(csv(tmp_path, table), "t", empty_project, target="fraud", key="id")
    shares = data_quality.class_shares(rare)
    assert [*shares] == ["no", "yes"]
    assert shares["yes"] == pytest.approx(1 / 15, abs=0.03)
    (remark,) = data_quality.remarks(rare, empty_project)
    assert "holdout rows are of class 'yes', and promotion wants 20 (min_class_rows)" in remark
    even = table.assign(fraud=["yes", "no"] * 150)
    assert (
        data_quality.remarks(
            datasets.add(csv(tmp_path, even), "u", empty_project, target="fraud", key="id"), empty_project
        )
        == []
    )
    amount = datasets.add(csv(tmp_path, table.assign(fraud=range(300))), "v", empty_project, target="fraud", key="id")
    assert data_quality.class_shares(amount) == {}
