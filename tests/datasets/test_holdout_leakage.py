"""Rows that a notebook read by itself are known by the example that its model was logged with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import holdout_leakage, training_rows
from notebooks_lib.settings import Settings


@pytest.fixture
def raw(empty_project: Settings, tmp_path: Path) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"id": range(200), "a": random.normal(size=200).round(4), "b": random.integers(0, 9, 200)})
    table["day"] = pd.date_range("2024-01-01", periods=200).astype(str)
    table["plan"] = np.where(table["b"] > 4, "plus", None)
    table.to_csv(tmp_path / "t.csv", index=False)
    datasets.add(tmp_path / "t.csv", "t", empty_project, key="id")
    return pd.read_csv(tmp_path / "t.csv", parse_dates=["day"]).drop(columns="id")


def seen(example: pd.DataFrame, settings: Settings) -> int | None:
    kept = training_rows.training_rows(example)
    assert kept is not None
    return holdout_leakage.seen_in_example("t@1", (), kept, settings)


def test_the_whole_file_holds_the_holdout_and_a_part_does_not(raw: pd.DataFrame, empty_project: Settings) -> None:
    data = datasets.load("t@1", empty_project)
    assert seen(raw, empty_project) == data.rows_held_out
    assert seen(raw.sample(frac=1, random_state=0).astype({"b": "float32"}), empty_project) == data.rows_held_out
    assert 0 < (seen(raw.sample(100, random_state=1), empty_project) or 0) < data.rows_held_out
    assert seen(data.train.X, empty_project) == 0
    assert seen(data.validation.X.assign(plan=lambda X: X["plan"].astype("category")), empty_project) == 0


def test_rows_of_elsewhere_are_unknown_and_other_columns_say_nothing(
    raw: pd.DataFrame, empty_project: Settings
) -> None:
    assert seen(raw.assign(a=raw["a"] + 100), empty_project) is None
    assert seen(raw.assign(more=1), empty_project) == 0
    assert training_rows.training_rows(raw.to_numpy()) is None
    assert training_rows.training_rows(raw.assign(a=[[1]] * 200)) is None
