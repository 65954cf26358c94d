"""A model is given the same values wherever it runs: in the notebook, at promotion, from each format of a request."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ColSpec, Schema
from sklearn.base import BaseEstimator

from notebooks_lib import datasets
from notebooks_lib.errors import InputError, ModelError
from notebooks_lib.models import input_schema, serving_skew
from notebooks_lib.models.input_schema import Column
from notebooks_lib.serving import request_formats
from notebooks_lib.settings import Settings

FAST = settings(max_examples=20, deadline=None, database=None)
COLUMNS = (
    Column("real", "double"),
    Column("gap", "double", required=False),
    Column("whole", "long"),
    Column("count", "long", required=False),
    Column("flag", "boolean"),
    Column("vip", "boolean", required=False),
    Column("word", "string", required=False),
    Column("at", "datetime", required=False),
)
TIMES = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(datetime.datetime.isoformat)
ROW = st.fixed_dictionaries(
    {
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "gap": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "whole": st.integers(-(2**63), 2**63 - 1),
        "count": st.none() | st.integers(-(2**53), 2**53),
        "flag": st.booleans(),
        "vip": st.none() | st.booleans(),
        "word": st.none() | st.sampled_from(["NA", "None", "null", "nan", "007", " x", "1e5", "a,b", "é", ""]),
        "at": st.none() | TIMES | TIMES.map(lambda text: f"{text}Z") | TIMES.map(lambda text: f"{text}+02:00"),
    }
)
NAMES = [str(column.name) for column in COLUMNS]


def requests(rows: list[dict[str, Any]]) -> dict[str, Any]:
    by_column = {name: [row[name] for row in rows] for name in NAMES}
    return {
        "dataframe_records": rows,
        "dataframe_split": {"columns": NAMES, "data": [[row[name] for name in NAMES] for row in rows]},
        "instances": rows,
        "inputs": by_column,
        "input_data": {"data": [[row[name] for name in NAMES] for row in rows]},
    }


def read(key: str, value: Any, columns: tuple[Column, ...] = COLUMNS) -> pd.DataFrame:
    request = request_formats.read_request(json.dumps({key: value}).encode(), columns)
    found = input_schema.from_payload(request.payload, columns)
    assert found is not None
    return found


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for name in one:
        assert [type(value) for value in one[name]] == [type(value) for value in other[name]]


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_every_format_gives_the_same_table(rows: list[dict[str, Any]]) -> None:
    first, *others = [read(key, value)[NAMES] for key, value in requests(rows).items()]
    for other in (*others, input_schema.from_csv(as_csv(rows), COLUMNS)[NAMES]):
        same(first, other)
    one = [read("dataframe_records", [row])[NAMES] for row in rows]  # the types do not depend on the other rows
    assert all(frame.dtypes.equals(first.dtypes) for frame in one)


@FAST
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_a_table_of_a_notebook_is_served_as_a_request_is(rows: list[dict[str, Any]]) -> None:
    typed = {"gap": "float64", "count": "Int64", "vip": "boolean", "word": object}
    here = pd.DataFrame(rows).astype(typed)
    moments = [pd.NaT if at is None else pd.to_datetime(at, utc=True, format="ISO8601") for at in here["at"]]
    here["at"] = pd.Series(moments, dtype="datetime64[us, UTC]")
    same(serving_skew.as_served(here, COLUMNS)[NAMES], read("dataframe_records", rows)[NAMES])


@pytest.mark.parametrize("word", ["NA", "nan", "NULL", "n/a", "#N/A", "", " "])
def test_words_for_missing_are_missing_among_numbers_in_each_format(word: str) -> None:
    columns = (Column("x", "double", required=False), Column("t", "string", required=False))
    found = [input_schema.from_csv(f"x,t\n{word},a\n", columns), read("instances", [{"x": word, "t": "a"}], columns)]
    assert all(math.isnan(frame["x"][0]) for frame in found)


@pytest.mark.parametrize("index", [[5, 3], [1, 0], [7, 7], ["b", "a"]])
def test_an_index_names_rows_and_moves_no_value(index: list[Any]) -> None:
    split = {"columns": ["real", "word"], "index": index, "data": [[1.5, "a"], [2.5, None]]}
    found = read("dataframe_split", split, (Column("real", "double"), Column("word", "string", required=False)))
    assert (list(found.index), list(found["real"])) == (index, [1.5, 2.5])
    assert found["word"].iloc[0] == "a"


@pytest.mark.parametrize("left_out", ["gap", "count", "vip", "word", "at"])
def test_an_optional_column_may_be_left_out(left_out: str) -> None:
    row = {"real": 1.5, "gap": None, "whole": 2, "count": 3, "flag": True, "vip": None, "word": "a", "at": None}
    some = {name: value for name, value in row.items() if name != left_out}
    same(read("instances", [some])[NAMES], read("instances", [some | {left_out: None}])[NAMES])


@pytest.mark.parametrize(
    ("kind", "item", "expected"),
    [
        ("long", "1.5", "a whole number"),
        ("long", "", "a whole number"),
        ("long", "99999999999999999999", "a whole number"),
        ("integer", str(2**31), "a whole number"),
        ("double", "1,5", "a number"),
        ("double", "0x1F", "a number"),
        ("double", "1_000", "a number"),
        ("double", "\u0661\u0662", "a number"),
        ("long", "1_000", "a whole number"),
        ("long", "\uff11\uff12", "a whole number"),
        ("boolean", "yes", "true or false"),
        ("boolean", "", "true or false"),
        ("datetime", "31.12.2026", "a time such as"),
        ("datetime", "now", "a time such as"),
        ("datetime", "today", "a time such as"),
        ("datetime", "tbd", "a time such as"),
    ],
)
def test_a_value_that_does_not_fit_is_named(kind: str, item: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"column 'c', row 1: found '{item}'; expected {expected}"):
        input_schema.from_csv(f'c,n\n{GOOD[kind]},1\n"{item}",1\n', (Column("c", kind), Column("n", "long")))


GOOD = {"long": "1", "integer": "1", "double": "1", "boolean": "true", "datetime": "2024-01-01"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the body is empty"),
        ("a,a\n1,2\n", "column 'a' appears twice"),
        ("a,n\n1\n", "row 0 has 1 values; expected 2"),
        ('a,n\n"1,2\n', "text/csv: unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        input_schema.from_csv(text, (Column("a", "double"), Column("n", "long")))


def schema_of(example: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hint on columns of whole numbers
        return infer_signature(example).inputs


class Plain(BaseEstimator):
    """A model that does not mind."""

    def predict(self, X: pd.DataFrame) -> Any:
        return np.zeros(len(X))


def test_columns_named_by_numbers_are_served_or_refused_by_name() -> None:
    """A table made of an array has columns 0, 1, 2. Of 2, 0, 1 MLflow's schema loses 0 in silence."""
    for names, fault in ([0, 1, 2], ""), ([2, 0, 1], "column 0 is lost in MLflow's schema: name columns by texts"):
        example = pd.DataFrame(np.arange(9.0).reshape(3, 3), columns=names)
        schema = schema_of(example)
        with pytest.raises(ModelError, match=fault) if fault else contextlib.nullcontext():
            serving_skew.check_servable(Plain(), example, schema, input_schema.columns_of(schema))
    with pytest.raises(InputError, match="unknown columns '0', '1'"):
        read("dataframe_records", [{"0": 1, "1": 2}], (Column(0, "double"), Column(1, "double")))  # type: ignore[arg-type]


class Missing:
    """A model that says which values are missing."""

    def predict(self, table: pd.DataFrame, params: object = None) -> list[bool]:
        return table["count"].isna().tolist()


def test_a_loaded_model_takes_an_optional_whole_number_that_is_missing() -> None:
    signature = ModelSignature(Schema([ColSpec("long", "count", required=False)]))
    model = PyFuncModel(Model(signature=signature), Missing())
    rows = pd.DataFrame({"count": [1.0, None]})
    with pytest.raises(MlflowException):
        model.predict(rows)
    assert input_schema.accept_missing_values(model).predict(rows) == [False, True]


def test_a_dataset_hands_out_what_a_served_model_gets(empty_project: Settings, tmp_path: Path) -> None:
    rows = "".join(
        f"{n},{n % 7}.5,{'' if n % 5 else 'NA'},{'' if n % 3 else 'true'},2024-01-{n % 28 + 1:02d},"
        f"2024-01-{n % 28 + 1:02d}T10:00:00+02:00,{n % 2}\n"
        for n in range(80)
    )
    (tmp_path / "t.csv").write_text(f"id,real,word,flag,day,at,y\n{rows}")
    X = datasets.add(tmp_path / "t.csv", "t", empty_project, target="y", key="id").train.X
    schema = schema_of(X)
    columns = input_schema.columns_of(schema)
    serving_skew.check_servable(_Every(), X, schema, columns)
    records = json.loads(X.to_json(orient="records", date_format="iso"))
    same(read("instances", records, columns)[list(X)].reset_index(drop=True), X.reset_index(drop=True))


class _Every(BaseEstimator):
    def predict(self, X: pd.DataFrame) -> Any:
        return np.array([str([(type(value).__name__, str(value)) for value in row]) for row in X.to_numpy(object)])


@pytest.mark.parametrize(
    "texts",
    [
        [
            "2024-01-01",
            "",
            "2024-01-01T10:00:00",
            " 2024-06-01 ",
            "NA",
            "2024-02-29 23:59:59.123456789",
            "2024-01-01T10:00",
        ],
        ["", "NA"],
        [],
    ],
)
def test_times_are_read_together_as_they_are_one_by_one(texts: list[str]) -> None:
    together = input_schema._moments(texts)
    assert together is not None
    single = [input_schema._moment(text) for text in texts]
    alone = pd.Series([pd.NaT if each is None else each.tz_localize(None) for each in single], dtype="datetime64[ns]")
    pd.testing.assert_series_equal(together, alone)


def test_times_with_a_zone_are_read_one_by_one() -> None:
    assert input_schema._moments(["2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00"]) is None


@pytest.mark.parametrize("wrong", ["now", "31.12.2026", "1500-01-01", "2024-13-01", 5, True, ["2024-01-01"], {}])
def test_among_many_times_the_wrong_one_is_named(wrong: Any) -> None:
    rows = {"at": ["2024-01-01"] * 3 + [wrong]}
    with pytest.raises(InputError, match="column 'at', row 3"):
        input_schema.from_payload({"inputs": rows}, [Column("at", "datetime")])
