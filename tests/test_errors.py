"""The reason is found wherever a library puts it: on errors that the libraries themselves raise."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from notebooks_lib.errors import NbopsError, ParameterError, nearest, reason

WIDTH = pd.DataFrame({"width": [1.5, 2.5]})
FITTED = Ridge().fit(pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 2, 1]}), [1, 2, 3])


def of(act: Callable[[], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as caught:
            act()
    return reason(caught.value)


def enforce(fitted: pd.DataFrame, asked: pd.DataFrame) -> None:
    from mlflow.models import Model, infer_signature
    from mlflow.pyfunc import PyFuncModel

    meta = Model(signature=infer_signature(fitted))
    meta.add_flavor("python_function", loader_module="none")
    PyFuncModel(meta, FITTED).predict(asked)


def parse(text: str, kind: pa.DataType | None = None) -> None:
    options = csv.ConvertOptions(column_types={"a": kind} if kind else {})
    csv.read_csv(io.BytesIO(text.encode()), convert_options=options)


def ask_nothing() -> None:
    import sqlalchemy

    with sqlalchemy.create_engine("sqlite://").connect() as database:
        database.execute(sqlalchemy.text("select * from nowhere"))


DATES = pd.DataFrame({"day": pd.to_datetime(["2024-01-01"])})
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "MLflow, another width": (
        lambda: enforce(WIDTH.astype("float32"), WIDTH),
        "Incompatible input types for column width. Can not safely convert float64 to float32.",
    ),
    "MLflow, many rows": (
        lambda: enforce(WIDTH.astype("int64"), pd.concat([WIDTH] * 500)),
        "Incompatible input types for column width. Can not safely convert",
    ),
    "MLflow, a column is missing": (
        lambda: enforce(WIDTH.assign(depth=1.0), WIDTH),
        "Model is missing inputs ['depth'].",
    ),
    "MLflow, a zone": (
        lambda: enforce(DATES, DATES.assign(day=DATES["day"].dt.tz_localize("UTC"))),
        "only contains timezone-naive datetime objects",
    ),
    "scikit-learn, other names": (
        lambda: FITTED.predict(pd.DataFrame({"a": [1.0], "c": [2.0]})),
        "unseen at fit time: - c Feature names seen at fit time, yet now missing: - b",
    ),
    "scikit-learn, other number": (lambda: FITTED.predict(np.ones((2, 5))), "X has 5 features, but Ridge is expecting"),
    "scikit-learn, missing": (
        lambda: FITTED.predict(pd.DataFrame({"a": [np.nan], "b": [1.0]})),
        "Input X contains NaN.",
    ),
    "scikit-learn, fits that failed": (
        lambda: cross_val_score(Ridge(), np.array([["a"]] * 10, dtype=object), range(10), cv=2),
        "ValueError: could not convert string to float: 'a'",
    ),
    "scikit-learn, one dimension": (
        lambda: FITTED.predict([1, 2]),
        "Expected 2D array, got 1D array instead: array=[1 2]",
    ),
    "pandas, a longer line": (
        lambda: pd.read_csv(io.StringIO("a,b\n1,2\n1,2,3,4\n")),
        "Error tokenizing data. C error: Expected 2 fields in line 3, saw 4",
    ),
    "pandas, no date": (
        lambda: pd.to_datetime(["2024-01-01", "tbd"]),
        'time data "tbd" doesn\'t match format "%Y-%m-%d", at position 1.',
    ),
    "pandas, no number": (lambda: pd.to_numeric(pd.Series(["a"])), 'Unable to parse string "a" at position 0'),
    "pandas, no column": (lambda: WIDTH[["nope"]], "None of [Index(['nope'], dtype='object')] are in the [columns]"),
    "pyarrow, a longer line": (lambda: parse("a,b\n1,2\n1,2,3\n"), "Expected 2 columns, got 3: 1,2,3"),
    "pyarrow, no number": (
        lambda: parse("a,b\nx,2\n", pa.int64()),
        "In CSV column #0: CSV conversion error to int64: invalid value 'x'",
    ),
    "pyarrow, a mixed column": (
        lambda: pa.Table.from_pandas(pd.DataFrame({"a": [1, "x"]})),
        "Could not convert 'x' with type str: tried to convert to int64; Conversion failed for column a with type object",
    ),
    "pyarrow, no Parquet": (
        lambda: parquet.read_table(io.BytesIO(b"nothing of it")),
        "Either the file is corrupted or this is not a parquet file.",
    ),
    "SQLAlchemy": (ask_nothing, "(sqlite3.OperationalError) no such table: nowhere"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_of_other_libraries_is_found(case: str) -> None:
    act, expected = CASES[case]

    found = of(act)

    assert expected in found
    assert "\n" not in found
    assert len(found) <= 400
    assert "[SQL" not in found
    assert "passing `format`" not in found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), "ValueError"),
        (ValueError("\n \n"), "ValueError"),
        (NbopsError("a: b]'. Error: c\n  - d"), "a: b]'. Error: c - d"),
        (ParameterError("n.ipynb", ["one", "two"]), "n.ipynb: 2 parameter problem(s) - one - two"),
        (RuntimeError("\x1b[31mred\x1b[0m\n^^^\n"), "red"),
        (RuntimeError("x" * 900 + "\nit is the last line that says why"), "… it is the last line that says why"),
        (RuntimeError("(Caused by " + "y" * 900 + ": connection refused)"), "connection refused)"),
        (
            RuntimeError('Traceback (most recent call last)\n  File "a", line 1\nKeyError: 3\n  below'),
            "KeyError: 3 below",
        ),
        (
            ImportError("IMPORTANT: READ THIS\n\nOriginal error was: libfoo.so: no such file\n"),
            "libfoo.so: no such file",
        ),
    ],
)
def test_any_message_becomes_one_line(error: Exception, expected: str) -> None:
    found = reason(error)

    assert found == expected or (len(str(error)) > 400 and found.endswith(expected))
    assert len(found) <= 401


@pytest.mark.parametrize("text", ["x\n" + " " * 200_000 + "y", "x\n" + "-" * 200_000 + "y", "a" * 5_000_000])
def test_the_reason_in_a_long_text_is_found_soon(text: str) -> None:
    began = time.process_time()
    assert len(reason(ValueError(text))) <= 402
    assert time.process_time() - began < 2


def test_a_name_of_megabytes_is_compared_with_none() -> None:
    began = time.process_time()
    assert nearest("inputs" * 1_000_000, ["inputs", "instances"]) is None
    assert nearest("imputs", ["inputs", "instances"]) == "inputs"
    assert time.process_time() - began < 1
