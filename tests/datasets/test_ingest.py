"""A version is added whole or not at all, once for each content, and never moves a row that was there before."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import loader
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Data
from tests.datasets.tables import csv, frame, visible


def train_ids(dataset: datasets.Dataset) -> set[object]:
    return {round(float(value), 9) for value in dataset.train.frame["x"]}


def test_the_same_content_is_the_same_version_in_any_order_and_format(empty_project: Settings, tmp_path: Path) -> None:
    table = frame(50)
    first = datasets.add(csv(tmp_path, table), "t", empty_project, target="y")
    table.sample(frac=1, random_state=1)[["y", "x", "id"]].to_parquet(tmp_path / "t.parquet", index=False)
    again = datasets.add(tmp_path / "t.parquet", "t", empty_project)
    assert (again.ref, again.fingerprint, again.target) == ("t@1", first.fingerprint, "y")
    assert visible(empty_project) == ["data/t", "data/t/1", "data/t/1/dataset.toml", "data/t/1/table.parquet"]


@pytest.mark.parametrize("roles", [{}, {"key": "id"}, {"group": "id"}])
def test_a_second_version_keeps_each_row_in_its_part(
    empty_project: Settings, tmp_path: Path, roles: dict[str, str]
) -> None:
    first = datasets.add(csv(tmp_path, frame(80)), "t", empty_project, **roles)
    other = empty_project.model_copy(update={"data": Data(validation_share=0.4, holdout_share=0.4)})
    more = pd.concat([frame(40, seed=1).assign(id=lambda t: t["id"] + 1000), frame(80)])
    second = datasets.add(csv(tmp_path, more), "t", other)
    shared = {round(float(value), 9) for value in frame(80)["x"]}
    assert second.ref == "t@2"
    assert train_ids(second) & shared == train_ids(first)
    assert train_ids(datasets.load("t@1", empty_project)) == train_ids(first)


def test_a_key_column_that_becomes_text_or_float_moves_nothing(empty_project: Settings, tmp_path: Path) -> None:
    first = datasets.add(csv(tmp_path, frame(60)), "t", empty_project, key="id")
    for key in ("A7", 1000.5):
        more = pd.concat([frame(60).astype({"id": object}), pd.DataFrame({"id": [key], "x": [0.0], "y": [0.0]})])
        later = datasets.add(csv(tmp_path, more), "t", empty_project)
        assert train_ids(later) - {0.0} == train_ids(first)


def test_what_is_left_out_is_as_in_the_version_before(empty_project: Settings, tmp_path: Path) -> None:
    datasets.add(csv(tmp_path, frame(60)), "t", empty_project, target="y", key="id", description="one row is a sale")
    later = datasets.add(csv(tmp_path, frame(70)), "t", empty_project)
    assert (later.target, later.key, later.description) == ("y", "id", "one row is a sale")
    assert datasets.add(csv(tmp_path, frame(70)), "t", empty_project, target="x").ref == "t@3"
    for role in ({"key": "x"}, {"group": "x"}):
        with pytest.raises(UsageError, match="rows must not change sides"):
            datasets.add(csv(tmp_path, frame(80)), "t", empty_project, **role)


def test_a_new_name_is_split_by_the_shares_in_force_and_keeps_them(empty_project: Settings, tmp_path: Path) -> None:
    other = empty_project.model_copy(update={"data": Data(validation_share=0.1, holdout_share=0.1)})
    added = datasets.add(csv(tmp_path, frame(1000)), "t", other)
    assert [round(part / 1000, 1) for part in (len(added.validation), added.rows_held_out)] == [0.1, 0.1]
    assert len(datasets.load("t", empty_project).train) == len(added.train)


def test_a_name_of_scikit_learns_is_refused(empty_project: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scikit-learn has a table of that name, which is iris@1 everywhere"):
        datasets.add(csv(tmp_path, frame(60)), "iris", empty_project)


@pytest.mark.parametrize("name", ["Sales", "a b", "", "../x", "a.b", "é", "x" * 65])
def test_a_name_is_lower_case_letters_digits_and_marks(empty_project: Settings, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="use lower-case letters"):
        datasets.add(csv(tmp_path, frame(60)), name, empty_project)


@pytest.mark.parametrize(
    ("table", "roles", "reason"),
    [
        (frame(60), {"target": "Y"}, "unknown target column 'Y', did you mean 'y'?"),
        (frame(60), {"key": "idd"}, "unknown key column 'idd', did you mean 'id'?"),
        (frame(60), {"group": "shop"}, "unknown group column 'shop' (known: id, x, y)"),
        (frame(60), {"target": "y", "key": "y"}, "'y' cannot be the target and the key"),
        (frame(60)[["y"]], {"target": "y"}, "no column is left as a feature"),
        (
            frame(60).assign(id=[None, *range(59)]),
            {"key": "id"},
            "key 'id' is missing in 1 row(s), first in row 1; fill",
        ),
        (frame(60).assign(y=[*range(58), None, None]), {"target": "y"}, "missing in 2 row(s), first in row 59"),
        (
            frame(60).assign(id=[7, 7.0, 9, 9, *range(100, 156)]),
            {"key": "id"},
            "but '7.0', '9.0' come(s) up more than once",
        ),
        (frame(2), {}, "a dataset needs more rows"),
        (frame(60).assign(id=1), {"group": "id"}, "or more different values of id"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(
    empty_project: Settings, tmp_path: Path, table: pd.DataFrame, roles: dict[str, str], reason: str
) -> None:
    with pytest.raises((UsageError, DatasetError)) as caught:
        datasets.add(csv(tmp_path, table), "t", empty_project, **roles)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not empty_project.data_folder.exists()


@pytest.mark.parametrize("text", ['"n5', '"20" pipe', 'n5\n"x"y'])
def test_a_quotation_mark_that_encloses_no_whole_field_is_refused(
    empty_project: Settings, tmp_path: Path, text: str
) -> None:
    """Arrow joins what follows it to one text, up to the next mark: rows would be missing in silence."""
    lines = [f'"n{row}",{row}.5' for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["name,x", *lines[:5], f"{text},5.5", *lines[6:]]))
    with pytest.raises(DatasetError, match=r"t\.csv: line \d+: a quotation mark that does not enclose a whole field"):
        datasets.add(tmp_path / "t.csv", "t", empty_project)
    lines[5] = '"20"" pipe, a line\nand a ""word""",5.5'
    lines[6] = 'plain 20" pipe,6.5'
    (tmp_path / "t.csv").write_text("\n".join(["name,x", *lines]))
    assert datasets.add(tmp_path / "t.csv", "t", empty_project).rows == 60


def test_a_day_beyond_nanoseconds_gives_a_column_one_type_in_all_parts(empty_project: Settings, tmp_path: Path) -> None:
    """9999-12-31 stands for "valid until further notice"; which part its row falls into must not decide."""
    for number, (last, dtype) in enumerate([("2024-12-31", "datetime64[ns]"), ("9999-12-31", "datetime64[us]")], 1):
        table = frame(80).assign(until=[last, *["2024-05-01"] * 79])
        dataset = datasets.add(csv(tmp_path, table), "t", empty_project, key="id")
        held = loader.open_holdout(f"t@{number}", empty_project, reader="test")
        assert {str(part.frame["until"].dtype) for part in (dataset.train, dataset.validation, held)} == {dtype}


def test_an_unknown_column_is_an_unknown_name(empty_project: Settings, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        datasets.add(csv(tmp_path, frame(60)), "t", empty_project, target="z")


def test_the_record_holds_what_was_said_however_it_is_spelt(empty_project: Settings, tmp_path: Path) -> None:
    said = 'a "quoted" \\ line\nand 中 😀 \x7f'
    odd = frame(60).rename(columns={"x": 'x "= #é'})
    datasets.add(csv(tmp_path, odd, "näme.csv"), "t", empty_project, description=said)
    found = datasets.load("t", empty_project)
    assert found.description == said
    assert list(found.columns) == ["id", 'x "= #é', "y"]
    assert found.source == "näme.csv"


def test_adding_at_once_loses_nothing_and_shares_no_number(empty_project: Settings, tmp_path: Path) -> None:
    files = [csv(tmp_path, frame(60, seed=i // 2), f"{i}.csv") for i in range(12)]  # each content comes twice
    start, refs = threading.Barrier(len(files)), []

    def work(file: Path) -> None:
        start.wait()
        refs.append(datasets.add(file, "t", empty_project).ref)

    threads = [threading.Thread(target=work, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refs) == sorted([f"t@{number}" for number in range(1, 7)] * 2)
    assert sorted(path.name for path in (empty_project.data_folder / "t").iterdir()) == list("123456")
    assert len({datasets.load(ref, empty_project).fingerprint for ref in refs}) == 6


def days(count: int, start: str = "2024-01-01") -> pd.DataFrame:
    return pd.DataFrame({"day": pd.date_range(start, periods=count).astype(str), "x": range(count), "y": range(count)})


def test_with_a_time_the_holdout_is_what_comes_last_and_stays_so(empty_project: Settings, tmp_path: Path) -> None:
    first = datasets.add(csv(tmp_path, days(100).sample(frac=1, random_state=0)), "t", empty_project, time="day")
    assert (len(first.train), len(first.validation), first.rows_held_out) == (50, 20, 30)
    assert first.train.frame["day"].max() < first.validation.frame["day"].min()
    later = datasets.add(csv(tmp_path, days(140)), "t", empty_project)
    assert (len(later.train), len(later.validation), later.rows_held_out) == (50, 20, 70)
    assert later.validation.frame["day"].max() < pd.Timestamp("2024-03-12")
    with pytest.raises(UsageError, match="time 'x': earlier versions are split by day"):
        datasets.add(csv(tmp_path, days(150)), "t", empty_project, time="x")


@pytest.mark.parametrize(
    ("change", "roles", "reason"),
    [
        ({"day": "tbd"}, {}, "time 'day' is text; it takes numbers or ISO dates"),
        ({"day": [None, *days(59)["day"]]}, {}, "time 'day' is missing in 1 row"),
        ({}, {"group": "x"}, "parts are dealt by time 'day' or by group 'x', not by both"),
        ({}, {"target": "day"}, "cannot be the target and the time"),
        ({"day": "2024-01-01"}, {}, "no rows fall into train and validation"),
    ],
)
def test_a_time_that_deals_no_parts_is_refused(
    empty_project: Settings, tmp_path: Path, change: dict[str, object], roles: dict[str, str], reason: str
) -> None:
    with pytest.raises((UsageError, DatasetError), match=reason):
        datasets.add(csv(tmp_path, days(60).assign(**change)), "t", empty_project, time="day", **roles)


@pytest.mark.parametrize(
    ("before", "after", "odd"),
    [
        (range(60), pd.date_range("2024-01-01", periods=60).astype(str), "number and is time, as '2024-01-01'"),
        (pd.date_range("2024-01-01", periods=60).astype(str), range(60), "time and is number, as '0'"),
        (
            pd.date_range("2024-01-01", periods=60).astype(str),
            (f"{day:%Y-%m-%d}T00:30:00+02:00" for day in pd.date_range("2024-01-01", periods=60)),
            "time and is instant, as '2024-01-01T00:30:00+02:00'",
        ),
        (range(1960, 2020), [*map(str, range(1960, 2020)), "2025-01-01"], "number and is text, as '2025-01-01'"),
    ],
)
def test_a_time_keeps_its_kind_because_the_parts_begin_at_one(
    empty_project: Settings, tmp_path: Path, before: Iterable[object], after: Iterable[object], odd: str
) -> None:
    for version, times in enumerate((before, after)):
        table = pd.DataFrame({"at": list(times)}).assign(x=lambda t: t.index)
        file = csv(tmp_path, table)
        if not version:
            datasets.add(file, "t", empty_project, time="at")
    with pytest.raises(DatasetError, match=f"time 'at' was {re.escape(odd)}"):
        datasets.add(file, "t", empty_project)
