"""Rows are known again under other columns when the tables share them, and never because they look alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from notebooks_lib.datasets import canonical_types, row_matching

ROWS = 300
NUMBERS = np.arange(ROWS)
HOURS = pd.date_range("2024-01-01", periods=ROWS, freq="h")


def met(one: pd.DataFrame, other: pd.DataFrame) -> tuple[int, int]:
    """How many of the first's holdout rows are among the second's others; and how many there are."""
    random = np.random.default_rng(1)
    asked, among = random.random(len(one)) < 0.3, random.random(len(other)) < 0.7
    tables = [canonical_types.normalise(pa.Table.from_pandas(frame, preserve_index=False)) for frame in (one, other)]
    return int(row_matching.recognise_rows(tables[0], asked, tables[1], among).sum()), int(asked.sum())


def houses(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rooms, roof = random.normal(size=(2, rows)).clip(-1.5, 1.5)
    price = 3 * rooms + roof**2 + 0.1 * random.normal(size=rows)
    return pd.DataFrame({"house": [f"h{i}" for i in range(rows)], "rooms": rooms, "roof": roof, "price": price})


def people(seed: int, rows: int = ROWS, **columns: object) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    drawn = {"age": random.integers(18, 88, rows), "sex": random.choice(["f", "m"], rows)}
    return pd.DataFrame({**drawn, "region": random.integers(0, 16, rows), "churn": random.integers(0, 2, rows)}).assign(
        **columns
    )


def six_digits(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


EXPORTS = {
    "renamed and added": lambda frame: frame,
    "in another order": lambda frame: frame.sample(frac=1.0, random_state=2),
    "one column dropped": lambda frame: frame.drop(columns="roof"),
    "four decimals": lambda frame: frame.round(4),
    "two decimals": lambda frame: frame.round(2),
    "six digits": lambda frame: frame.map(six_digits),
    "32 bits": lambda frame: frame.astype(dict.fromkeys(["rooms", "roof", "price"], "float32")),
    "numbered anew": lambda frame: frame.assign(place=NUMBERS[::-1]),
    "some rows twice": lambda frame: pd.concat([frame, frame.head(ROWS // 4)]),
    "a row for each storey": lambda frame: frame.loc[frame.index.repeat(2)].assign(storey=[0, 1] * len(frame)),
    "half, and as many others": lambda frame: pd.concat([frame.head(ROWS // 2), houses(9, ROWS // 2)]),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_rows_of_a_new_export_are_known_again(export):
    known, asked = met(houses().assign(place=NUMBERS), export(houses()).rename(columns={"house": "home"}).assign(age=3))
    assert 0.3 * asked < known < asked


def test_missing_values_constant_columns_and_whole_numbers_are_no_obstacle():
    frame = houses().assign(rooms=lambda table: table.rooms.where(NUMBERS % 5 > 0), town="Ulm", floor=NUMBERS % 4)
    known, asked = met(frame, frame.rename(columns={"house": "home"}).assign(age=3, floor=frame.floor.astype(float)))
    assert 0.5 * asked < known < asked


def test_a_derived_table_with_few_coarse_columns_is_known_by_its_numbers():
    mine = people(1, id=NUMBERS)
    few = mine[["id", "sex", "churn"]]
    assert met(mine, few)[0] > 50
    assert met(mine, people(2, id=NUMBERS)[["id", "sex", "churn"]])[0] == 0


def laid_out(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"shop": NUMBERS % 10, "day": NUMBERS // 10}).assign(**columns)


STRANGERS = {
    "coarse columns": (people(1, x=1), people(2, y=1)),
    "coarse columns, derived": (people(1), people(2, y=1)),
    "few coarse columns": (people(1)[["age", "sex"]].assign(x=1), people(2)[["age", "sex"]].assign(y=1)),
    "both numbered": (people(1, 3000, id=range(3000), x=1), people(2, 3000, id=range(3000), y=1)),
    "both numbered in text and time": (
        people(1, code=[f"A-{n:04}" for n in NUMBERS], at=HOURS, x=1).sort_values("churn"),
        people(2, code=[f"A-{n:04}" for n in NUMBERS], at=HOURS, y=1).sort_values("churn"),
    ),
    "one label after the other, numbered": (
        pd.DataFrame({"id": NUMBERS, "t": NUMBERS * 0.01, "label": NUMBERS // 100, "x": houses(1).price}),
        pd.DataFrame({"id": NUMBERS, "t": NUMBERS * 0.01, "label": NUMBERS // 100, "y": houses(2).price}),
    ),
    "one grid": (laid_out(x=houses(1).price), laid_out(y=houses(2).price)),
    "measured": (houses(1).assign(x=1), houses(2).assign(y=1)),
    "measured roughly": (houses(1).round(1).assign(x=1), houses(2).round(1).assign(y=1)),
    "nothing common": (houses(1)[["rooms"]], houses(2)[["price"]]),
    "nothing common in one row": (houses(1)[["rooms"]].head(1), houses(2)[["price"]].head(1)),
    "the same table but for a column written anew": (houses().assign(on=1, x=1), houses().assign(on=2, y=1)),
    "one row": (houses().head(1).assign(x=1), houses().head(1).assign(y=1)),
    "all missing": (houses().assign(rooms=None, roof=None, price=None, x=1), houses().assign(rooms=None, y=1)),
}


@pytest.mark.parametrize(("one", "other"), STRANGERS.values(), ids=STRANGERS)
def test_different_rows_are_never_taken_for_the_same(one, other):
    assert met(one, other)[0] == 0
    assert met(other, one)[0] == 0


def test_a_few_that_agree_by_chance_are_nobody_known():
    """In some of these pairs of tables no two rows of one are alike, but one of each are."""
    for seed in range(0, 40, 2):
        one, other = (houses(each).round({"rooms": 1, "roof": 1, "price": 2}) for each in (seed, seed + 1))
        assert met(one.assign(x=1), other.assign(y=1))[0] == 0, seed


def seen(one: pd.DataFrame, held: np.ndarray, other: pd.DataFrame, other_held: np.ndarray) -> tuple[int, int]:
    """How many of the first's holdout rows are among the second's others, and among its holdout rows."""
    tables = [
        canonical_types.normalise(pa.Table.from_pandas(frame, preserve_index=False))
        for frame in (one.assign(x=1), other.assign(y=1))
    ]
    found = [row_matching.recognise_rows(tables[0], held, tables[1], among) for among in (~other_held, other_held)]
    return int(found[0].sum()), int(found[1].sum())


def test_a_twin_in_another_part_does_not_make_a_row_seen():
    """A new export whose parts are as before has no holdout row among its others, though rows are often alike."""
    frame = houses(rows=600)
    frame = pd.concat([frame, *[frame.head(40)] * 10])
    held = np.random.default_rng(3).random(len(frame)) < 0.3
    there, asked = seen(frame, held, frame, held)
    assert there == 0
    assert asked > 150


def test_where_tables_share_some_rows_the_others_do_not_meet_by_chance():
    frame = houses(rows=3000).round({"rooms": 1, "roof": 1, "price": 2})
    held = np.random.default_rng(3).random(len(frame)) < 0.3
    there, asked = seen(frame[:2000], held[:2000], frame[1000:], held[1000:])
    assert there == 0
    assert asked > 200
