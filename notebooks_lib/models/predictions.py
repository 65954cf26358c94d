"""Predictions as JSON, and the probabilities of a classifier where a request asks for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from notebooks_lib.errors import InputError


def encode_predictions(value: Any) -> bytes:
    """Return predictions as JSON: NumPy and pandas types, ISO dates, null for NaN and infinities (JSON has none)."""
    try:
        text = json.dumps(value, default=_simpler, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        text = json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))
    return text.encode()


def dtype_kind(value: Any) -> str:
    """Return NumPy's letter for the type of an array's elements; M are dates."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, no infinities, texts as keys."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _plain(_simpler(value))


def _simpler(value: Any) -> Any:
    """Return a value nearer to JSON as MLflow's encoder makes it, except dates: it would write numbers or "NaT"."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if dtype_kind(value) == "M":
        return value.astype("datetime64[us]").tolist()  # dates; in nanoseconds they would become whole numbers
    if hasattr(value, "toarray"):
        return value.toarray().tolist()
    converted, is_known = NumpyEncoder().try_convert(value)
    return converted if is_known else str(value)


METHOD_PARAM = "predict_method"
"""The parameter, as in `"params": {"predict_method": "predict_proba"}`."""
METHODS = ("predict", "predict_proba")


def has_probabilities(estimator: Any) -> bool:
    """Return True if a scikit-learn estimator predicts a probability for each class."""
    classes = getattr(estimator, "classes_", None)
    # A list of classes means several outputs at once, whose probabilities have another form.
    return callable(getattr(estimator, "predict_proba", None)) and getattr(classes, "ndim", 0) == 1


def split_method(params: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Return True if a request's parameters ask for probabilities, with the other parameters. Raises InputError."""
    rest = dict(params)
    method = rest.pop(METHOD_PARAM, None)
    if method is not None and method not in METHODS:
        raise InputError(f"params: {METHOD_PARAM} is {str(method)[:60]!r}; expected {' or '.join(METHODS)}")
    return method == "predict_proba", rest


def predict_probabilities(model: Any, data: Any) -> list[dict[str, float]]:
    """Return each row's probabilities by class name, from MLflow's pyfunc model of a classifier."""
    from mlflow.pyfunc import PyFuncModel

    implementation = model._model_impl  # MLflow checks the data before it calls any method
    probabilities: Any = PyFuncModel(model.metadata, implementation, predict_fn="predict_proba").predict(data)
    names = [str(name) for name in implementation.get_raw_model().classes_.tolist()]
    return [dict(zip(names, row, strict=True)) for row in probabilities.tolist()]
