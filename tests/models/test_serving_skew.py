"""A model is served the values that it was fitted on, or it is refused with the column's name."""

from __future__ import annotations

import decimal
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator

from notebooks_lib.errors import ModelError
from notebooks_lib.models import input_schema, serving_skew


def schema_of(example: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hint on columns of whole numbers
        return infer_signature(example).inputs


class Plain(BaseEstimator):
    """A model that does not mind."""

    def predict(self, X: pd.DataFrame) -> Any:
        return np.zeros(len(X))


class Types(BaseEstimator):
    """A model that answers by all that it can see of a column."""

    def predict(self, X: pd.DataFrame) -> Any:
        return np.array([f"{type(value).__name__} {value} {X['c'].dtype}" for value in X["c"]])


DAYS = pd.date_range("2024", periods=6)


COLUMNS_OF_A_NOTEBOOK: dict[str, tuple[Any, str, str]] = {
    "int64": (np.arange(6), "", ""),
    "int8": (np.arange(6, dtype="int8"), "int8 here and int32 when", ""),
    "uint64": (np.arange(6, dtype="uint64"), "uint64", "uint64"),
    "float32": (np.arange(6, dtype="float32"), "", ""),
    "floats with gaps": ([1.5, np.nan] * 3, "", ""),
    "Int64": (pd.array([1, None] * 3, dtype="Int64"), "Int64 here and float64 when", ""),
    "Float64": (pd.array([1.5, None] * 3, dtype="Float64"), "Float64 here and float64", ""),
    "bool": ([True, False] * 3, "", ""),
    "bools with None": (pd.Series([True, None] * 3, dtype=object), "a served model gets NaN", ""),
    "boolean": (pd.array([True, None] * 3, dtype="boolean"), "boolean here and object", ""),
    "texts": (["a", "b"] * 3, "", ""),
    "texts with NaN": (["a", np.nan] * 3, "", ""),
    "texts with None": (["a", None] * 3, "a served model gets NaN", ""),
    "string": (pd.array(["a", None] * 3, dtype="string"), "string here and object", ""),
    "category": (pd.Categorical(["a", "b"] * 3), "category here and object", ""),
    "category of numbers": (pd.Categorical([1, 2] * 3), "category to int64", "category to int64"),
    "times": (DAYS, "", ""),
    "times in microseconds": (DAYS.astype("datetime64[us]"), r"datetime64\[us\] here and datetime64\[ns\] when", ""),
    "times with a zone": (DAYS.tz_localize("Europe/Berlin"), "Europe/Berlin] here and", ""),
    "times long ago": (np.array(["1500-01-01"] * 6, dtype="datetime64[us]"), "Out of bounds", "Out of bounds"),
    "dates": ([day.date() for day in DAYS], "object here and datetime", ""),
    "periods": (DAYS.to_period("M"), "MLflow's schema has no such type; give its start", "MLflow's schema"),
    "durations": (pd.to_timedelta(range(6), unit="h"), "has no such type; give a number", "has no such type"),
    "intervals": (pd.interval_range(0, 6), "has no such type; give its middle", "has no such type"),
    "complex": (np.arange(6) * 1j, "has no such type", "has no such type"),
    "sparse": (pd.arrays.SparseArray(np.arange(6.0)), "has no such type; give it dense", "has no such type"),
    "mixed": (["a", 1] * 3, "has no such type; give values of one kind", "has no such type"),
    "decimals": ([decimal.Decimal("1.5")] * 6, "has no such type", "has no such type"),
}


@pytest.mark.parametrize("column", COLUMNS_OF_A_NOTEBOOK)
def test_what_would_be_served_otherwise_is_refused_by_name(column: str) -> None:
    values, strict, lenient = COLUMNS_OF_A_NOTEBOOK[column]
    example = pd.DataFrame({"x": np.arange(6.0), "c": values})
    schema = schema_of(example)
    for model, fault in ((Types(), strict), (Plain(), lenient)):
        if fault:
            with pytest.raises(ModelError, match=fault) as caught:
                serving_skew.check_servable(model, example, schema, input_schema.columns_of(schema))
            assert "column 'c'" in str(caught.value) or "column c" in str(caught.value)
        else:
            serving_skew.check_servable(model, example, schema, input_schema.columns_of(schema))


@pytest.mark.parametrize(
    ("values", "way"),
    [
        (pd.date_range("2024-03-30", periods=3, freq="h", tz="Asia/Tokyo"), "tz_convert('UTC').dt.tz_localize(None)"),
        (pd.Series(["a", "", "b"], dtype=object), "empty text of column 'c' is kept"),
    ],
)
def test_the_way_out_of_a_refusal_is_one(values: Any, way: str) -> None:
    class Told:
        def predict(self, X: pd.DataFrame) -> list[int]:
            return [int(str(X["c"].dtype) == str(values.dtype) and each == each) for each in X["c"]]

    example = pd.DataFrame({"x": np.arange(3.0), "c": values})
    schema = schema_of(example)
    with pytest.raises(ModelError, match=re.escape(way)):
        serving_skew.check_servable(Told(), example, schema, input_schema.columns_of(schema))
