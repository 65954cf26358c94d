"""What a column is, and that no row moves whatever stands in the rows that are added."""

from __future__ import annotations

import csv
import datetime
import decimal
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

from notebooks_lib import datasets, text_values
from notebooks_lib.datasets import (
    canonical_types,
    column_kinds,
    holdout_leakage,
    loader,
    readers,
    run_datasets,
    splits,
    table_hashing,
    version_lookup,
)
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.dataset_store import VersionContent
from notebooks_lib.errors import DatasetError, UnknownNameError, UsageError
from notebooks_lib.settings import Settings

FAST = settings(max_examples=60, deadline=None, database=None)
SPELLINGS = [
    "00501",
    "501",
    "501.0",
    "501.50",
    "-0",
    "-7",
    "+7",
    ".5",
    "5.",
    "1E5",
    "1e5",
    "1e+05",
    "1E+05",
    "1e-7",
    "1.5e-07",
    "0x1F",
    "1_000",
    "12,50",
    "1.234,5",
    "8:05",
    "08:05:00",
    "12345678901234567890",
    "9223372036854775807",
    "-9223372036854775808",
    "9007199254740993",
    "33.333333333333333333",
    "0.30000000000000004",
    "1e400",
    "inf",
    "-inf",
    "nan",
    "NaN",
    "NA",
    "N/A",
    "null",
    "None",
    "TRUE",
    "True",
    "true",
    "False",
    "FALSE",
    "no",
    "2024-02-29",
    "2023-02-29",
    "2024-02-29T10:00",
    "2024-02-29T10:00:00.123456",
    "2024-02-29T10:00:00.123456789",
    "2024-02-29T10:00:00Z",
    "2024-02-29T10:00:00+02:00",
    "2024-02-29T10:00:00-0330",
    "0000-01-01",
    "9999-12-31",
    "2024-W01",
    "202402",
    "31.12.2026",
    "tbd",
    "A1",
    "é",
    "x",
]
NUMERIC = st.text("0123456789.-+eE ", min_size=1, max_size=12)
TEXT = st.one_of(
    st.sampled_from(SPELLINGS),
    st.sampled_from([" 5", "5 ", "2024-02-29 10:00", "", " "]),
    NUMERIC,
    st.floats().map(repr),
    st.integers(-(2**64), 2**64).map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(datetime.UTC)).map(datetime.datetime.isoformat),
    st.text("aé 0", max_size=3),
)


def column(texts: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def folded(path: Path) -> list[list[int]]:
    found: list[list[int]] = table_hashing.folded_digests(readers.read_table(path).table).tolist()
    return found


@FAST
@given(old=st.lists(TEXT, min_size=1, max_size=6), added=st.lists(TEXT, min_size=1, max_size=3))
@example(old=["00007", "00012"], added=["X0041"])
@example(old=["2024-01-01"], added=["tbd"])
@example(old=["0.50", "1.25"], added=["A1"])
@example(old=["NA", "1"], added=["x"])
@example(old=["1", "NaN"], added=["9007199254740993"])
@example(old=["TRUE", "false"], added=["maybe"])
@example(old=["2024-02-29T10:00:00Z"], added=["2024-02-29"])
@example(old=["1"], added=["1.5"])
def test_no_row_moves_whatever_is_added(
    old: list[str], added: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    rows = [["v", "n"], *([text, str(n)] for n, text in enumerate(old))]
    before = folded(write(folder / "1.csv", rows))
    after = folded(write(folder / "2.csv", [*rows, *([text, "-1"] for text in added)]))
    assert after[: len(old)] == before


@FAST
@given(texts=st.lists(st.one_of(TEXT, NUMERIC), min_size=1, max_size=5))
def test_a_number_gives_back_the_text_that_was_read(texts: list[str]) -> None:
    kind = column_kinds.kind_of(column(texts))
    if kind not in column_kinds.NUMBERS:
        return
    for text, value in zip(texts, column_kinds.convert_texts("c", column(texts), kind).to_pylist(), strict=True):
        bare = text.strip()
        if bare in text_values.MISSING:
            assert value is None
        elif bare not in ("inf", "-inf"):
            assert decimal.Decimal(bare) == decimal.Decimal(value) or float(bare) == value
            assert not re.match(r"-?0\d|\+|.*[eE]\d", bare)
            digits = len(bare.lower().partition("e")[0].partition(".")[2])
            again = (f"{value:.{digits}f}", f"{value:.{digits}e}", str(value))
            assert re.sub("e([+-])0", r"e\1", bare.lower()) in [re.sub("e([+-])0", r"e\1", text) for text in again]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["00501", "10001"], "text"),
        (["007", "0007"], "text"),
        (["0x1F", "0x20"], "text"),
        (["1E5", "2E7"], "text"),
        (["3e8"], "text"),
        (["8:05", "17:30"], "text"),
        (["12345678901234567890"], "text"),
        (["1.2345678901234567890"], "text"),
        (["+41791234567"], "text"),
        (["1_000"], "text"),
        (["12,50"], "text"),
        (["31.12.2026"], "text"),
        (["0.5", "1."], "text"),
        (["9007199254740993", ""], "text"),
        (["2024-01-01T00:00:00.123456789"], "text"),
        (["2024-01-01", "2024-01-01T00:00Z"], "text"),
        (["10", "-3"], "integer"),
        (["123456789012345678"], "integer"),
        (["12.50", "7.00", "-0.25"], "number"),
        (["0.1", "0.30000000000000004", "1e-05", "1.5E+20", "inf", repr(2.0**-44)], "number"),
        (["NA", "1"], "integer"),
        (["true", "FALSE", "True"], "boolean"),
        (["2024-02-29", "2024-02-29 10:00"], "time"),
        (["2024-02-29T10:00:00Z", "2024-02-29 10:00+02:00"], "instant"),
        (["NA", ""], "empty"),
    ],
)
def test_the_kind_of_a_column(texts: list[str], kind: str) -> None:
    assert column_kinds.kind_of(column([text or None for text in texts])) == kind


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([2**60 + 1, None]), ["1152921504606846977", None]),
        (pa.array([decimal.Decimal("12345678901234567890")]), ["12345678901234567890"]),
        (pa.array([decimal.Decimal("12.50")]), [12.5]),
        (pa.array(["00501"]), ["00501"]),
    ],
)
def test_parquet_loses_nothing_either(tmp_path: Path, given_: pa.Array, found: list[object]) -> None:
    pq.write_table(pa.table({"c": given_}), tmp_path / "t.parquet")
    assert readers.read_table(tmp_path / "t.parquet").table["c"].to_pylist() == found


@pytest.mark.parametrize("freq", ["M", "Q", "D", "h"])
def test_periods_come_back_as_they_are_written(tmp_path: Path, freq: str) -> None:
    months = pd.Series(pd.period_range("2019-01", periods=4, freq=freq))
    pd.DataFrame({"c": months}).to_parquet(tmp_path / "t.parquet")
    assert readers.read_table(tmp_path / "t.parquet").table["c"].to_pylist() == months.astype(str).tolist()


@pytest.mark.parametrize(
    ("texts", "kind", "found"),
    [
        (["00501", "7"], "text", ["00501", "7"]),
        (["NA", "7"], "text", ["NA", "7"]),
        (["00501", "+7", ".5", "1E2"], "number", [501.0, 7.0, 0.5, 100.0]),
        (["007", "+8"], "int", [7, 8]),
        (["1", "0", ""], "boolean", [True, False, None]),
        (["20240229"], "date", [datetime.datetime(2024, 2, 29)]),
        (["5", "6"], "float", [5.0, 6.0]),
    ],
)
def test_the_user_may_say_what_a_column_is(tmp_path: Path, texts: list[str], kind: str, found: list[object]) -> None:
    file = write(tmp_path / "t.csv", [["c", "n"], *([text, "1"] for text in texts)])
    said = {"c": column_kinds.ALIASES.get(kind, kind)}
    assert readers.read_table(file, chosen=said).table["c"].to_pylist() == found


@pytest.mark.parametrize(("text", "kind"), [("x", "number"), ("1.5", "integer"), ("2", "boolean"), ("tbd", "time")])
def test_a_value_that_is_none_of_the_kind_is_named(tmp_path: Path, text: str, kind: str) -> None:
    file = write(tmp_path / "t.csv", [["c", "n"], ["", "1"], [text, "1"]])
    with pytest.raises(DatasetError, match=rf"column 'c': '{re.escape(text)}' in row 2 is no {kind}$"):
        readers.read_table(file, chosen={"c": kind})


def table(key: str = "{:05d}", rows: int = 150, extra: list[list[str]] | None = None) -> list[list[str]]:
    return [["id", "zip", "y"], *([key.format(n), f"{n % 7:05d}", str(n % 5)] for n in range(rows)), *(extra or [])]


def part_of(ref: str, settings: Settings) -> dict[str, str]:
    opened = loader.open_table(ref, settings)
    names = [str(value) for value in opened.table["id"].to_pylist()]
    return {name: next(p for p in splits.NAMES if opened.masks[p][at]) for at, name in enumerate(names)}


def test_what_was_text_stays_text_in_later_versions(empty_project: Settings, tmp_path: Path) -> None:
    datasets.add(write(tmp_path / "1.csv", table()), "t", empty_project, key="id", kinds={"y": "text"})
    rows = [[key.replace("00", "11", 1), "10001", "5"] for key, _, _ in table()[1:]]
    later = datasets.add(write(tmp_path / "2.csv", [["id", "zip", "y"], *rows]), "t", empty_project)
    assert later.columns == {"id": "text", "zip": "text", "y": "text"}


def test_the_kind_of_what_decides_cannot_change(empty_project: Settings, tmp_path: Path) -> None:
    file = write(tmp_path / "1.csv", table("{}"))
    first = datasets.add(file, "t", empty_project, key="id")
    later = datasets.add(file, "t", empty_project, kinds={"id": "text"})
    assert {str(key): part for key, part in part_of(first.ref, empty_project).items()} == part_of(
        later.ref, empty_project
    )
    with pytest.raises(UsageError, match="kind of 'id': it decides the parts of t as text"):
        datasets.add(file, "t", empty_project, kinds={"id": "number"})
    with pytest.raises(UnknownNameError, match="unknown kind 'txt', did you mean 'text'"):
        datasets.add(file, "t", empty_project, kinds={"zip": "txt"})
    with pytest.raises(UnknownNameError, match="unknown column 'zap'"):
        datasets.add(file, "u", empty_project, kinds={"zap": "text"})


def add_as_before(file: Path, name: str, project: Settings, **roles: str) -> str:
    """A version as the first versions of nbops wrote it: types inferred by Arrow, parts by kinds."""
    old = canonical_types.normalise(arrow_csv.read_csv(file))
    metadata = Metadata(
        fingerprint="",
        rows=len(old),
        columns=canonical_types.kinds(old),
        validation_share=0.2,
        holdout_share=0.3,
        parts=splits.KINDS_DECIDE,
        **roles,  # type: ignore[arg-type]
    )
    metadata = replace(metadata, fingerprint=splits.version_fingerprint(old, table_hashing.Digests.of(old), metadata))
    store = version_lookup.project_store(project)
    number = store.next_version(name)
    assert store.add(name, number, VersionContent(metadata, old))
    return f"{name}@{number}"


@pytest.mark.parametrize("roles", [{"key": "id"}, {"group": "id"}, {}])
def test_a_dataset_of_before_keeps_its_parts_and_refuses_what_would_move_them(
    empty_project: Settings, tmp_path: Path, roles: dict[str, str]
) -> None:
    first = add_as_before(write(tmp_path / "1.csv", table()), "t", empty_project, **roles)
    before = part_of(first, empty_project)
    assert set(before) == {str(n) for n in range(150)}  # it lost the zeros
    assert part_of(first, empty_project) == before
    later = datasets.add(write(tmp_path / "2.csv", table(rows=170)), "t", empty_project)
    assert (later.ref, later.columns["id"]) == ("t@2", "integer")
    after = part_of("t@2", empty_project)
    assert {key: after[key] for key in before} == before
    with pytest.raises(DatasetError, match="column 'id': 'X0041' in row 151 is no integer, and as such it"):
        datasets.add(write(tmp_path / "3.csv", table(extra=[["X0041", "1", "1"]])), "t", empty_project)
    with pytest.raises(UsageError, match="kind of 'id'"):
        datasets.add(tmp_path / "2.csv", "t", empty_project, kinds={"id": "text"})


def test_a_holdout_row_is_known_again_under_another_kind(empty_project: Settings, tmp_path: Path) -> None:
    file = write(tmp_path / "1.csv", table())
    used = datasets.load(add_as_before(file, "old", empty_project, key="id"), empty_project)
    new = datasets.add(file, "new", empty_project, key="id")
    assert (used.columns["zip"], new.columns["zip"]) == ("integer", "text")
    here, there = part_of(new.ref, empty_project), part_of(used.ref, empty_project)
    shared = sum(part == "holdout" and there[str(int(key))] != "holdout" for key, part in here.items())
    assert shared > 10
    assert holdout_leakage.seen_in_datasets(new, [run_datasets.tag_value(used)], empty_project) == shared


def test_the_same_table_as_text_and_as_numbers_has_the_same_rows(empty_project: Settings, tmp_path: Path) -> None:
    rows = table("{}")
    one = datasets.add(write(tmp_path / "1.csv", rows), "one", empty_project)
    pd.read_csv(tmp_path / "1.csv", dtype=str).to_parquet(tmp_path / "2.parquet")
    other = datasets.add(tmp_path / "2.parquet", "other", empty_project)
    assert (one.columns["id"], other.columns["id"]) == ("integer", "text")
    assert part_of(one.ref, empty_project) == part_of(other.ref, empty_project)
    assert holdout_leakage.seen_in_datasets(one, [run_datasets.tag_value(other)], empty_project) == 0


def test_keys_that_differ_by_a_zero_are_two(empty_project: Settings, tmp_path: Path) -> None:
    rows = [["id", "x"], *([f"{n:0{width}d}", "1"] for n in range(60) for width in (3, 4))]
    assert datasets.add(write(tmp_path / "1.csv", rows), "t", empty_project, key="id").rows == 120
    rows += [["007", "1"]]
    with pytest.raises(DatasetError, match="must name each row once, but '007' come"):
        datasets.add(write(tmp_path / "1.csv", rows), "t", empty_project)


def test_a_long_column_of_numbers_is_read_quickly() -> None:
    texts = column([repr(n / 7) for n in range(200_000)])
    assert column_kinds.kind_of(texts) == "number"
    assert column_kinds.convert_texts("c", texts, "number")[3].as_py() == 3 / 7
