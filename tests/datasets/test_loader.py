"""A dataset is the same rows in the same parts everywhere; the holdout is promotion's alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import notebooks_lib
from notebooks_lib import datasets
from notebooks_lib.datasets import loader
from notebooks_lib.errors import HoldoutError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings


def make(settings: Settings, name: str = "sales", rows: int = 60, **options: str) -> datasets.Dataset:
    return datasets.add(write(settings, rows), name, settings, **options)


def write(settings: Settings, rows: int, name: str = "sales.csv") -> Path:
    file = settings.root / name
    frame = pd.DataFrame(
        {"id": range(rows), "shop": [i // 3 for i in range(rows)], "size": [i / 7 for i in range(rows)]}
    )
    frame.assign(price=frame["size"] * 2).to_csv(file, index=False)
    return file


def test_a_part_gives_features_and_target_apart(empty_project: Settings) -> None:
    sales = make(empty_project, target="price", key="id", group="shop")
    for part in (sales.train, sales.validation):
        assert list(part.X.columns) == ["size"]
        assert part.y is not None
        assert part.y.name == "price"
        assert len(part) == len(part.X) == len(part.y) == len(part.frame) > 0
        assert list(part.frame.columns) == ["id", "shop", "size", "price"] == list(sales.columns)
    assert make(empty_project, "no-target").train.y is None


def test_the_three_parts_are_the_whole_and_share_no_row(empty_project: Settings) -> None:
    sales = make(empty_project, key="id", rows=200)
    held_out = loader.open_holdout("sales", empty_project, reader="test")
    ids = [set(part.frame["id"]) for part in (sales.train, sales.validation, held_out)]
    assert sum(map(len, ids)) == len(set.union(*ids)) == sales.rows == 200
    assert len(held_out) == sales.rows_held_out


def test_rows_of_one_group_stay_together(empty_project: Settings) -> None:
    sales = make(empty_project, group="shop", rows=300)
    assert not set(sales.train.frame["shop"]) & set(sales.validation.frame["shop"])
    assert sales.train.frame["shop"].value_counts().eq(3).all()


def test_the_holdout_is_refused_with_the_reason(empty_project: Settings) -> None:
    iris = datasets.load("iris", empty_project)
    with pytest.raises(HoldoutError, match=r"iris@1: the holdout \(54 rows\) is read by promotion only"):
        _ = iris.holdout
    assert issubclass(HoldoutError, PermissionError)


def test_each_reading_of_the_holdout_is_written_down(empty_project: Settings) -> None:
    for reader in ("promote sales", "again"):
        loader.open_holdout("iris@1", empty_project, reader=reader)
    lines = (empty_project.layout.state / "holdout.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["reader"] for line in lines] == ["promote sales", "again"]
    assert {json.loads(line)["dataset"] for line in lines} == {"iris@1"}


def test_only_promotion_opens_the_holdout() -> None:
    library = Path(notebooks_lib.__file__).parent
    rules = (library / "notebooks").glob("*_rules.py")  # they name what others must not call
    allowed = (library / "promotion", library / "datasets", *rules)
    using = []
    for file in library.rglob("*.py"):
        if not any(file.is_relative_to(folder) for folder in allowed):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                names = [getattr(node, field, None) for field in ("id", "attr", "name", "value")]
                if {"open_holdout", "holdout_use", "open_table", "VersionContent"} & {*names}:
                    using.append(f"{file}:{node.lineno}")  # type: ignore[attr-defined]
    using += [
        str(notebook)
        for notebook in (library.parent / "experimentation").rglob("*.ipynb")
        if {"open_holdout", "holdout_use("} & {*re.findall(r"open_holdout|holdout_use\(", notebook.read_text("utf-8"))}
    ]
    assert using == []


def test_a_dataset_shows_its_parts_and_fingerprint(empty_project: Settings) -> None:
    iris = datasets.load("iris", empty_project)
    for shown in (repr(iris), iris._repr_html_()):
        for fact in ("iris@1", "73 rows", "23 rows", "54 rows", iris.fingerprint[:12]):
            assert fact in shown
    assert repr(iris.train) == "<train: 73 rows, 4 features -> target>"


def test_unknown_names_and_versions_are_answered_with_the_known_ones(empty_project: Settings) -> None:
    make(empty_project)
    with pytest.raises(UnknownNameError, match="did you mean 'sales'"):
        datasets.load("salse", empty_project)
    with pytest.raises(UnknownNameError, match=r"version of dataset 'sales' '3' \(known: 1\)"):
        datasets.load("sales@3", empty_project)
    for wrong in ("sales@x", "sales@", "Sales", "", "../sales", "sales@-1"):
        with pytest.raises(UsageError):
            datasets.load(wrong, empty_project)


def test_the_catalog_lists_the_projects_own_first_and_hides_what_they_shadow(empty_project: Settings) -> None:
    make(empty_project)
    make(empty_project, rows=70)
    (empty_project.data_folder / "sales").rename(empty_project.data_folder / "wine")
    entries = datasets.catalog(empty_project)
    assert (entries[0].name, entries[0].versions, entries[0].rows, entries[0].source) == (
        "wine",
        (1, 2),
        70,
        "data/wine",
    )
    assert [entry.name for entry in entries].count("wine") == 1
    assert datasets.load("wine", empty_project).columns == {
        "id": "integer",
        "shop": "integer",
        "size": "number",
        "price": "number",
    }


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, notebooks_lib.datasets, notebooks_lib.cli.data;"
        "print({'pandas', 'numpy', 'pyarrow', 'sklearn', 'mlflow'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
