"""What a person should look at in a dataset: a holdout unlike its training rows, columns that do not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from notebooks_lib import datasets
from notebooks_lib.datasets import data_faults
from notebooks_lib.settings import Settings


def test_a_holdout_that_is_unlike_train_is_noticed(empty_project: Settings) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"id": range(400), "x": random.normal(size=400), "kind": random.choice(["a", "b"], size=400)})
    frame["price"] = frame["x"] + 1

    def add(table: pd.DataFrame, name: str) -> datasets.Dataset:
        file = empty_project.root / "t.csv"
        table.to_csv(file, index=False)
        return datasets.add(file, name, empty_project, target="price", key="id")

    data = add(frame, "fine")
    assert data_faults.holdout_faults("fine", empty_project) == ()
    known = {*data.train.frame["id"], *data.validation.frame["id"]}
    held = ~frame["id"].isin(known)
    odd = frame.assign(
        x=frame["x"].where(~held | (frame["id"] % 2 == 0), 99.0),
        kind=frame["kind"].where(~held | (frame["id"] % 3 > 0), "c"),
    )
    add(odd, "odd")
    told = " ".join(data_faults.holdout_faults("odd", empty_project))
    assert "column 'x': " in told
    assert "lies outside what train holds" in told
    assert "column 'kind': " in told
    assert "has values that train has not" in told
    add(frame.assign(x=frame["x"].where(~held)), "gaps")
    assert "column 'x': 100% is missing in the holdout, 0% in train" in data_faults.holdout_faults(
        "gaps", empty_project
    )
    frame.assign(kind=frame["id"] / 8).to_csv(empty_project.root / "t.csv", index=False)
    datasets.add(
        empty_project.root / "t.csv", "fine", empty_project, target="price", key="id", kinds={"kind": "number"}
    )
    assert "column 'kind' was text in fine@1 and is number now" in data_faults.holdout_faults("fine", empty_project)


def test_the_tables_that_ship_are_alike(empty_project: Settings) -> None:
    assert {
        name: data_faults.holdout_faults(name, empty_project) for name in ("breast_cancer", "diabetes", "iris", "wine")
    } == {
        "breast_cancer": (),
        "diabetes": (),
        "iris": (),
        "wine": (),
    }
