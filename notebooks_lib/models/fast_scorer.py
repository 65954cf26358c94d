"""Predictions for plain numbers without MLflow and pandas. It refuses nothing: `ServedModel` takes the rest.

It leaves other forms, texts, missing values and unknown models to `ServedModel`, which predicts or says why not.
What it takes, it predicts to the last bit as the scorer does: the estimator gets the same numbers in the same memory
order.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib.models.input_schema import Column, columns_of_json

if TYPE_CHECKING:
    import numpy as np

_TYPES = ("double", "long")
_EXACT = 2**53

# Estimators that turn a table into an array of numbers first of all. Not included: those that contain others, read
# column names, or pass the table to users' code.
# fmt: off
_ESTIMATORS = frozenset((
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "GammaRegressor", "HuberRegressor", "Lars",
    "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVC",
    "LinearSVR", "LogisticRegression", "LogisticRegressionCV", "PassiveAggressiveClassifier",
    "PassiveAggressiveRegressor", "Perceptron", "PoissonRegressor", "QuantileRegressor", "Ridge", "RidgeCV",
    "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier", "SGDRegressor", "TheilSenRegressor", "TweedieRegressor",
    "HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "GradientBoostingClassifier",
    "GradientBoostingRegressor", "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier",
    "ExtraTreesRegressor", "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier",
    "ExtraTreeRegressor", "SVC", "SVR", "NuSVC", "NuSVR", "KNeighborsClassifier", "KNeighborsRegressor", "GaussianNB",
    "MLPClassifier", "MLPRegressor", "LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis", "DummyClassifier",
    "DummyRegressor", "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer",
    "PolynomialFeatures", "PowerTransformer", "QuantileTransformer", "SplineTransformer", "KBinsDiscretizer",
    "SimpleImputer", "PCA",
))
# fmt: on


@dataclass(frozen=True)
class FastScorer:
    """A scikit-learn estimator with its columns: predicts requests of plain numbers without MLflow or pandas."""

    estimator: Any
    names: list[str]
    integers: frozenset[int]
    """Positions of the columns that take whole numbers only."""

    def answer(self, payload: Mapping[str, Any]) -> Any:
        """Return the predictions as plain values; None for a request that `ServedModel` must answer."""
        try:
            rows = self._rows(payload)
            return None if rows is None else self.estimator.predict(rows).tolist()
        except Exception:  # noqa: BLE001 - the scorer says what is wrong
            return None

    def _rows(self, payload: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
        """Return the rows of a request as the estimator would get them from a table; None for anything but numbers."""
        import numpy as np

        if len(payload) != 1:
            return None
        listed = self._listed(*next(iter(payload.items())))
        if not listed:
            return None
        if self.integers and not all(_exact(row[place]) for row in listed for place in self.integers):
            return None
        array = np.array(listed)
        if array.ndim != 2 or array.shape[1] != len(self.names) or array.dtype.kind not in "fib":
            return None
        dtype = np.int64 if len(self.integers) == len(self.names) else np.float64
        # A table keeps its columns together; in another memory order sums over rows would differ in the last bit.
        return np.asfortranarray(array, dtype=dtype)

    def _listed(self, key: str, value: Any) -> Sequence[Sequence[Any]] | None:
        """Return the rows of a request format, their values in the model's order."""
        names = self.names
        if type(value) is list:
            if key == "input_data" and value and type(value[0]) is list:
                return value
            if key in ("dataframe_records", "input_data") and all(len(row) == len(names) for row in value):
                return [[row[name] for name in names] for row in value]
            return None
        if key not in ("dataframe_split", "input_data") or value.keys() != {"columns", "data"}:
            return None
        columns, data = value["columns"], value["data"]
        if columns == names or type(data) is not list:
            return data if type(data) is list else None
        if sorted(columns) != sorted(names) or not all(len(row) == len(names) for row in data):
            return None
        at = {name: place for place, name in enumerate(columns)}
        places = [at[name] for name in names]
        return [[row[place] for place in places] for row in data]


def _exact(value: Any) -> bool:
    """Return whether a value is a whole number that every numeric type holds exactly."""
    return type(value) is int and -_EXACT <= value <= _EXACT


def fast_scorer_for(estimator: Any, columns: Sequence[Column]) -> FastScorer | None:
    """Return a fast scorer for `estimator`; None if it cannot predict exactly as MLflow does."""
    names = [column.name for column in columns]
    if not names or None in names or not all(_is_plain_number(column) for column in columns):
        return None
    nameless = _without_names(estimator)
    if nameless is None or list(getattr(estimator, "feature_names_in_", names)) != names:
        return None
    integers = frozenset(place for place, column in enumerate(columns) if column.type == "long")
    return FastScorer(nameless, [str(name) for name in names], integers)


def _is_plain_number(column: Column) -> bool:
    return column.type in _TYPES and column.required and column.shape is None


def _without_names(estimator: Any) -> Any:
    """Return a copy, as deep as needed, that expects no column names; None for an unknown estimator."""
    kind = type(estimator)
    if not kind.__module__.startswith("sklearn.") or hasattr(estimator, "_sklearn_output_config"):
        return None
    if kind.__name__ == "Pipeline":
        steps = [
            (name, step if step in (None, "passthrough") else _without_names(step)) for name, step in estimator.steps
        ]
        if any(step is None for _, step in steps):
            return None
        bare = copy.copy(estimator)
        bare.steps = steps
        return bare
    if kind.__name__ not in _ESTIMATORS or getattr(estimator, "_preprocessor", None) is not None:
        return None  # a _preprocessor reads categorical columns by name
    bare = copy.copy(estimator)
    vars(bare).pop("feature_names_in_", None)
    return bare


@dataclass(frozen=True)
class SkopsModel:
    """A scikit-learn model saved with skops, without code of its own, so that it can be loaded without MLflow."""

    estimator: Any
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    example: dict[str, Any] | None


def load_skops_model(folder: Path) -> SkopsModel | None:
    """Return the model in `folder`, equal to what MLflow would load; None when only MLflow can load it."""
    try:
        return _load(folder)
    except Exception:  # noqa: BLE001 - MLflow says what is wrong
        return None


def _load(folder: Path) -> SkopsModel | None:
    import yaml

    text = (folder / "MLmodel").read_text("utf-8")
    if "serialization_format: skops" not in text:
        return None
    meta = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    ours, theirs = meta["flavors"]["sklearn"], meta["flavors"]["python_function"]
    keys = {"env", "loader_module", "model_path", "predict_fn", "python_version"}
    if theirs["loader_module"] != "mlflow.sklearn" or theirs.get("predict_fn", "predict") != "predict":
        return None
    if theirs.keys() - keys or ours.get("code") or ours["serialization_format"] != "skops":
        return None
    signature = meta["signature"]
    if signature.get("params") or meta.get("is_signature_from_type_hint") or meta.get("type_hint_from_example"):
        return None
    inputs = columns_of_json(signature["inputs"])
    if not all(column.type in _TYPES for column in inputs):
        return None
    import skops.io

    estimator = skops.io.load(folder / theirs["model_path"], trusted=ours.get("skops_trusted_types"))
    example = logged_example(folder, meta.get("saved_input_example_info"))
    return SkopsModel(estimator, inputs, columns_of_json(signature.get("outputs") or "[]"), example)


def logged_example(folder: Path, info: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the request that was logged as a model's example; None when there is none.

    `info` is the entry about the example in the MLmodel file. Raises OSError or ValueError when the example's file is
    missing or damaged.
    """
    name = (info or {}).get("serving_input_path")
    request = json.loads((folder / str(name)).read_text("utf-8")) if name else None
    return request if isinstance(request, dict) else None
