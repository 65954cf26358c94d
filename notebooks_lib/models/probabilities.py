"""The probabilities of a classifier, asked for by a parameter of the request; without it the model answers classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notebooks_lib.errors import InputError

PARAM = "predict_method"
"""The parameter, as in `"params": {"predict_method": "predict_proba"}`."""
METHODS = ("predict", "predict_proba")


def offered(estimator: Any) -> bool:
    """Whether an estimator of scikit-learn gives a probability for each of its classes."""
    classes = getattr(estimator, "classes_", None)
    # A list of them, one for each output, is a classifier of several things at once: its answer is another form.
    return callable(getattr(estimator, "predict_proba", None)) and getattr(classes, "ndim", 0) == 1


def wanted(params: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether a request asks for them, and its other parameters. Raises InputError for a method that is none."""
    rest = dict(params)
    method = rest.pop(PARAM, None)
    if method is not None and method not in METHODS:
        raise InputError(f"params: {PARAM} is {str(method)[:60]!r}; expected {' or '.join(METHODS)}")
    return method == "predict_proba", rest


def of(model: Any, data: Any) -> list[dict[str, float]]:
    """For each row the probability of each class by its name, from MLflow's pyfunc model of a classifier."""
    from mlflow.pyfunc import PyFuncModel

    implementation = model._model_impl  # MLflow's own check of the data comes before whatever method it calls
    found: Any = PyFuncModel(model.metadata, implementation, predict_fn="predict_proba").predict(data)
    names = [str(name) for name in implementation.get_raw_model().classes_.tolist()]
    return [dict(zip(names, row, strict=True)) for row in found.tolist()]
