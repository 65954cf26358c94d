"""A mini-batch gets the predictions of an endpoint; a row that an endpoint would refuse is refused in its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from notebooks_lib.errors import InputError, ModelError, PredictionError
from notebooks_lib.models.input_schema import Column
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import invocation
from notebooks_lib.serving.batch.batch_scorer import BatchScorer
from tests.serving.batch.conftest import ROWS

TABLE = pa.Table.from_pandas(ROWS)


class Stub:
    """A model that is a function of a data frame."""

    example: Any = None
    params: tuple[Column, ...] = ()

    def __init__(
        self, predict: Callable[[pd.DataFrame], Any], outputs: tuple[Column, ...] = (), columns: str = "x"
    ) -> None:
        self.columns = tuple(Column(name, "double", required=name != "o") for name in columns)
        self.outputs = outputs
        self._predict = predict

    def predict(self, data: Any, params: Any = None) -> Any:
        return self._predict(data)


def scorer(predict: Callable[[pd.DataFrame], Any], *outputs: Column, columns: str = "x") -> BatchScorer:
    return BatchScorer(Stub(predict, outputs, columns))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table(models: dict[str, Path]) -> ServedModel:
    return ServedModel.load(models["table"])


def asked(model: ServedModel, rows: pd.DataFrame) -> Any:
    body = json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split"))}).encode()
    return json.loads(invocation.answer(model, "application/json", body).body)


def test_predictions_are_those_of_the_endpoint(table: ServedModel) -> None:
    scored = BatchScorer(table).score(TABLE)
    assert scored.predictions["prediction"].to_pylist() == asked(table, ROWS)["predictions"]
    assert not scored.refused


@pytest.mark.parametrize(
    ("name", "params"),
    [("classes", {}), ("classes", {"predict_method": "predict_proba"}), ("pair", {}), ("tensor", {})],
)
def test_every_kind_of_answer_becomes_columns(name: str, params: dict[str, str], models: dict[str, Path]) -> None:
    model = ServedModel.load(models[name])
    scored = BatchScorer(model, params).score(TABLE).predictions
    assert (
        scored.column_names
        == {
            "classes": ["prediction.high", "prediction.low"] if params else ["prediction"],
            "pair": ["prediction.0", "prediction.1"],
            "tensor": ["prediction"],
        }[name]
    )
    if name == "classes" and params:
        assert np.allclose(scored["prediction.high"].to_numpy() + scored["prediction.low"].to_numpy(), 1)


def test_a_refused_row_has_the_words_of_the_endpoint_and_the_others_their_predictions(table: ServedModel) -> None:
    texts = pa.table({"age": ["0.5", "old", "", "1"], "bmi": ["1", "2", "3", "4"], "bp": ["0"] * 4})
    scored = BatchScorer(table).score(texts)
    assert list(scored.refused) == [1, 2]
    alone = asked(table, pd.DataFrame({"age": ["old"], "bmi": ["2"], "bp": ["0"]}))["message"]
    assert scored.refused[1] == alone.replace(", row 0", "")
    assert scored.refused[2] == asked(table, pd.DataFrame({"age": [None], "bmi": [3.0], "bp": [0.0]}))["message"]
    good = pd.DataFrame({"age": [0.5, 1.0], "bmi": [1.0, 4.0], "bp": [0.0, 0.0]})
    assert scored.predictions["prediction"].to_pylist()[::3] == asked(table, good)["predictions"]
    assert scored.predictions["prediction"].null_count == 2


def test_a_row_that_makes_the_model_raise_is_found_among_many() -> None:
    sizes: list[int] = []

    def predict(frame: pd.DataFrame) -> list[float]:
        sizes.append(len(frame))
        if (frame["x"] == 137).any():
            raise PredictionError("the model raised ZeroDivisionError: division by zero")
        return (frame["x"] * 2).tolist()

    scored = scorer(predict).score(pa.table({"x": [float(number) for number in range(1000)]}))
    assert scored.refused == {137: "the model raised ZeroDivisionError: division by zero"}
    assert scored.predictions["prediction"].to_pylist()[136:139] == [272.0, None, 276.0]
    assert len(sizes) < 30


def test_rows_with_missing_values_are_tried_apart_first() -> None:
    calls: list[int] = []

    def predict(frame: pd.DataFrame) -> list[float]:
        calls.append(len(frame))
        if frame["x"].isna().any():
            raise InputError("Input X contains NaN.")
        return frame["x"].tolist()

    values = [None if number % 500 == 0 else float(number) for number in range(1000)]
    assert list(scorer(predict).score(pa.table({"x": values})).refused) == [0, 500]
    assert calls == [1000, 998, 2, 1, 1]


@pytest.mark.parametrize("answer", [[1.0], 5.0, {"a": 1}, None, [[1.0, 2.0]]])
def test_a_model_that_gives_no_prediction_for_each_row_is_at_fault(answer: Any) -> None:
    with pytest.raises(PredictionError, match="for 2 rows; batch scoring needs a prediction for each row"):
        scorer(lambda frame: answer).score(pa.table({"x": [1.0, 2.0]}))


@pytest.mark.parametrize(
    ("answers", "declared", "expected"),
    [
        ([1, 2], "", "int64"),
        ([1, 2.5], "", "double"),
        ([1, 2], "double", "double"),
        ([None, None], "double", "double"),
        (["a", "b"], "long", "string"),
        ([{"a": [1]}, {"a": [2]}], "", "string"),
        ([[[1], [2]], [[3], [4]]], "", "string"),
        ([1, "x"], "", "string"),
        ([["a"], ["a", "b"]], "", "string"),
        ([["a", "b"], ["a"]], "", "string"),
        ([[], ["a"]], "", "string"),
        ([["a"], None], "", "string"),
    ],
)
def test_the_type_of_a_prediction_is_that_of_the_signature_if_it_fits(
    answers: list[Any], declared: str, expected: str
) -> None:
    outputs = [Column(None, declared)] if declared else []
    predictions = scorer(lambda frame: answers, *outputs).score(pa.table({"x": [1.0, 2.0]})).predictions
    assert [str(kind) for kind in predictions.schema.types] == [expected]


def test_columns_that_the_model_does_not_take_are_left_alone_unless_one_is_misspelt() -> None:
    columns = scorer(len, columns="abo")
    assert columns.columns_used(["z", "b", "a", "target"]) == ["b", "a"]
    with pytest.raises(InputError, match="missing column 'b'; the model takes a "):
        columns.columns_used(["a", "z"])
    names = BatchScorer(Stub(len, (), ["income", "age", "o"]))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"missing column 'income'; unknown column 'incone', did you mean 'income'\?"):
        names.columns_used(["age", "incone"])


def test_lists_of_different_lengths_are_kept_whole() -> None:
    scored = scorer(lambda frame: [["a"], [], ["a", "b"]]).score(pa.table({"x": [1.0, 2.0, 3.0]}))
    assert scored.predictions.to_pydict() == {"prediction": ['["a"]', "[]", '["a", "b"]']}


def test_a_table_with_no_column_of_the_model_is_refused_even_if_all_are_optional() -> None:
    with pytest.raises(InputError, match="no column of the model is in the table; it takes o"):
        scorer(len, columns="o").columns_used(["a", "b"])


def test_optional_columns_may_be_missing() -> None:
    seen = []
    scorer(lambda frame: seen.append(frame) or [0.0], columns="xo").score(pa.table({"x": [1.0]}))
    assert seen[0]["o"].isna().all()


def test_a_matrix_has_as_many_columns_as_the_model_takes(models: dict[str, Path]) -> None:
    model = BatchScorer(ServedModel.load(models["tensor"]))
    assert model.columns_used(["id", "a"], {"id"}) == ["a"]
    with pytest.raises(InputError, match="has 2 columns to score; the model takes 3"):
        model.score(TABLE.select(["age", "bmi"]))


def test_a_model_without_names_and_params_that_it_does_not_take_are_refused_at_once(table: ServedModel) -> None:
    with pytest.raises(ModelError, match="names no columns"):
        BatchScorer(Stub(len, (), []))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="params: unknown 'depth'; the model takes none"):
        BatchScorer(table, {"depth": 3})
