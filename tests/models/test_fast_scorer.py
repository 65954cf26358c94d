"""What is answered the quick way is, to the last bit, what MLflow's way answers; and what is not plain goes MLflow's way."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks_lib.errors import ModelError
from notebooks_lib.models import fast_scorer
from notebooks_lib.models.input_schema import Column
from notebooks_lib.models.prediction_json import encode_predictions
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import model_loading, request_formats

RANDOM = np.random.default_rng(0)
ROWS = 60
DOUBLES = pd.DataFrame(RANDOM.normal(size=(ROWS, 4)) * [1, 1e3, 1e-3, 1], columns=list("abcd"))
WHOLE = pd.DataFrame(RANDOM.integers(-50, 50, size=(ROWS, 3)), columns=list("abc"))
MIXED = pd.DataFrame(
    {"x": RANDOM.normal(size=ROWS), "n": RANDOM.integers(0, 2**40, ROWS), "y": RANDOM.normal(size=ROWS)}
)
TABLES = {"doubles": DOUBLES, "whole": WHOLE, "mixed": MIXED}


def models() -> dict[str, Any]:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler
    from sklearn.svm import SVR
    from sklearn.tree import DecisionTreeClassifier

    return {
        "ridge": make_pipeline(StandardScaler(), Ridge()),
        "linear": LinearRegression(),
        "squares": make_pipeline(PolynomialFeatures(2), StandardScaler(), PCA(3), Ridge()),
        "boosting": HistGradientBoostingRegressor(max_iter=3),
        "boosted classes": HistGradientBoostingClassifier(max_iter=2),
        "forest": RandomForestRegressor(5, random_state=0),
        "tree": DecisionTreeClassifier(max_depth=4),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "neighbours": KNeighborsRegressor(),
        "vectors": make_pipeline(StandardScaler(), SVR()),
    }


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of OpenMP that wait for each other would take most of the time on a busy machine."""
    import sklearn.ensemble  # noqa: F401 - what is limited must be there
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def served() -> dict[tuple[str, str], ServedModel]:
    """By model and table: fitted, with MLflow's way and the quick way through it."""
    from mlflow.models import Model, infer_signature
    from mlflow.pyfunc import PyFuncModel
    from mlflow.sklearn import _SklearnModelWrapper

    found = {}
    for name in models():
        for kind, table in TABLES.items():
            model, y = models()[name], table.iloc[:, 0] + table.iloc[:, -1] ** 2 / table.iloc[:, -1].abs().max()
            if name in ("boosted classes", "tree", "logistic"):
                y = np.where(y > y.median(), "high", "low")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's hint on integer columns
                model.fit(table, y)
                signature = infer_signature(table, model.predict(table))
            flavor = {"python_function": {"loader_module": "mlflow.sklearn", "predict_fn": "predict"}}
            meta = Model(flavors=flavor, signature=signature)
            found[name, kind] = ServedModel(PyFuncModel(meta, _SklearnModelWrapper(model)))
    return found


def ordinary(model: ServedModel, payload: Any) -> bytes:
    return encode_predictions(
        model.predict(model.parse(request_formats.read_request(json.dumps(payload).encode(), model.columns).payload))
    )


def requests(table: pd.DataFrame) -> list[dict[str, Any]]:
    split = {"columns": list(table.columns), "data": table.to_numpy(dtype=object).tolist()}
    turned = table[table.columns[::-1]]
    return [
        {"dataframe_split": split},
        {"dataframe_split": {"columns": list(turned.columns), "data": turned.to_numpy(dtype=object).tolist()}},
        {"dataframe_records": turned.to_dict(orient="records")},
    ]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", models())
def test_the_quick_way_is_equal_to_the_last_bit(name: str, kind: str, served: Any) -> None:
    model = served[name, kind]
    for rows in (1, 7, ROWS):
        for request in requests(TABLES[kind].iloc[:rows]):
            quickly = model.answer_quickly(json.loads(json.dumps(request)))
            assert quickly is not None
            assert encode_predictions(quickly) == ordinary(model, request)
    by_azure = model.answer_quickly({"input_data": requests(TABLES[kind])[0]["dataframe_split"]["data"]})
    assert encode_predictions(by_azure) == ordinary(model, requests(TABLES[kind])[0])


NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70) | st.booleans() | st.just(-0.0)
)
CELLS = NUMBERS | st.sampled_from([None, "1.5", "x", [1], {}, float("nan"), float("inf")])


@given(
    data=st.data(), kind=st.sampled_from(list(TABLES)), name=st.sampled_from(["ridge", "boosting", "forest", "tree"])
)
@settings(max_examples=150, deadline=None)
def test_any_cells_are_answered_equally_or_not_at_all(data: Any, kind: str, name: str, served: Any) -> None:
    model, columns = served[name, kind], list(TABLES[kind].columns)
    names = data.draw(st.permutations(columns) | st.just([*columns[:-1], "z"]))
    cells = data.draw(st.sampled_from([NUMBERS, CELLS, st.integers(-9, 9), st.floats(-9, 9)]))
    rows = data.draw(st.lists(st.lists(cells, min_size=len(names), max_size=len(names)), min_size=1, max_size=4))
    for request in (
        {"dataframe_split": {"columns": names, "data": rows}},
        {"dataframe_records": [dict(zip(names, row, strict=True)) for row in rows]},
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overflows in a model's arithmetic
            quickly = model.answer_quickly(request)
            if quickly is not None:
                assert encode_predictions(quickly) == ordinary(model, request)


def test_a_model_that_does_not_answer_its_example_alike_loses_the_quick_way(served: Any) -> None:
    known = served["linear", "doubles"]
    model = ServedModel(known._model)
    model.example = requests(DOUBLES.iloc[:1])[0]
    model.complete()
    assert model.answer_quickly(model.example) is not None
    assert model._fast is not None
    model._fast = dataclasses.replace(model._fast, estimator=served["tree", "doubles"]._fast.estimator)
    model.complete()
    assert model.answer_quickly(model.example) is None


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"dataframe_split": {"columns": list("abcd"), "data": []}},
        {"dataframe_split": {"columns": list("abcd"), "data": [[1, 2, 3]]}},
        {"dataframe_split": {"columns": list("abcd"), "data": [[1, 2, 3, 4], [1, 2, 3]]}},
        {"dataframe_split": {"columns": list("abca"), "data": [[1, 2, 3, 4]]}},
        {"dataframe_split": {"columns": list("abcd"), "index": [0], "data": [[1, 2, 3, 4]]}},
        {"dataframe_split": {"columns": list("abcd"), "data": [[1, 2, 3, "4"]]}},
        {"dataframe_split": {"columns": list("abcd"), "data": [[1, 2, 3, None]]}},
        {"dataframe_split": {"columns": list("abcd"), "data": {"a": 1}}},
        {"dataframe_split": None},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}]},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3}]},
        {"dataframe_records": ["abcd"]},
        {"inputs": {"a": [1], "b": [2], "c": [3], "d": [4]}},
        {"input_data": [1, 2, 3, 4]},
        {"input_data": [[1, 2, 3, 4]], "params": {}},
    ],
)
def test_what_is_not_plain_is_left_to_mlflow(payload: Any, served: Any) -> None:
    assert served["ridge", "doubles"].answer_quickly(payload) is None


def test_a_model_that_looks_at_the_table_itself_is_left_to_mlflow() -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    class Own(Ridge):
        pass

    columns = [Column(name, "double") for name in "abcd"]
    y = DOUBLES["a"]
    fitted = Ridge().fit(DOUBLES, y)
    assert fast_scorer.fast_scorer_for(fitted, columns) is not None
    assert list(fitted.feature_names_in_) == list("abcd")  # the model itself is left as it was
    assert fast_scorer.fast_scorer_for(fitted, [Column("a", "string"), *columns[1:]]) is None
    assert fast_scorer.fast_scorer_for(fitted, [Column("a", "double", required=False), *columns[1:]]) is None
    assert fast_scorer.fast_scorer_for(fitted, [Column(None, "double")] * 4) is None
    assert fast_scorer.fast_scorer_for(fitted, columns[::-1]) is None  # the signature has another order than the model
    for other in (
        Own(),
        VotingRegressor([("r", Ridge())]),
        make_pipeline(make_column_transformer((StandardScaler(), ["a"])), Ridge()),
        make_pipeline(FunctionTransformer(lambda table: table[["a"]]), Ridge()),
        make_pipeline(StandardScaler().set_output(transform="pandas"), Ridge()),
        HistGradientBoostingRegressor(max_iter=2, categorical_features=["a"]),
    ):
        table = DOUBLES.assign(a=(DOUBLES["a"] > 0).astype(float))
        assert fast_scorer.fast_scorer_for(other.fit(table, y), columns) is None, other


FIRST_LOAD = """
import sys
from pathlib import Path
from notebooks_lib.models import model_files
from notebooks_lib.serving.endpoint import DeploymentDetail
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.hot_reload import HotReloader
from notebooks_lib.serving.slots import Slots

root = Path(sys.argv[1])
(root / "models").mkdir()
(root / "model").rename(root / "models" / "1")
slot = SlotState("1", "1", since="", detail=DeploymentDetail("sample"), sha256=model_files.read_model_files(root / "models" / "1").sha256)
HotReloader(root, Slots()).load_first(EndpointState("sample", "", 0, {"blue": slot}, {"blue": 100}), {"blue"})
(root / "models" / "1").rename(root / "model")
sys.exit("mlflow" in sys.modules)
"""


def test_a_model_of_skops_is_loaded_without_mlflow_and_is_the_same_model(tmp_path: Path) -> None:
    import subprocess
    import sys

    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model = models()["ridge"].fit(DOUBLES, DOUBLES["a"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            str(tmp_path / "model"),
            signature=infer_signature(DOUBLES, model.predict(DOUBLES)),
            input_example=DOUBLES.iloc[:3],
            pip_requirements=[],
            serialization_format="skops",
        )
    ours = ServedModel.load(tmp_path / "model")
    theirs = ServedModel(mlflow.pyfunc.load_model(str(tmp_path / "model")))
    assert (ours.columns, ours.outputs, ours.params) == (theirs.columns, theirs.outputs, theirs.params)
    assert ours.example is not None
    for request in (ours.example, {"inputs": DOUBLES.iloc[:2].to_dict(orient="list")}):
        assert ordinary(ours, request) == ordinary(theirs, request)
    assert subprocess.run([sys.executable, "-c", FIRST_LOAD, str(tmp_path)], check=False, timeout=60).returncode == 0
    (tmp_path / "model" / "model.skops").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        ServedModel.load(tmp_path / "model")


def test_a_model_with_a_type_hint_reads_times_in_json_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `mlflow models serve`."""
    import mlflow

    class Months(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, model_input: list[datetime.datetime]) -> list[int]:
            return [time.month for time in model_input]

    mlflow.pyfunc.save_model(tmp_path / "months", python_model=Months(), pip_requirements=[])
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with warnings.catch_warnings():
        model_loading.prepare_process()
        served = ServedModel.load(tmp_path / "months")
    assert served.predict(served.parse({"inputs": ["2026-03-01T00:00:00"]})) == [3]
