"""The parameter `predict_method` of a request: the probabilities of a classifier instead of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notebooks_lib.errors import InputError

METHOD_PARAM = "predict_method"
"""The parameter, as in `"params": {"predict_method": "predict_proba"}`."""


METHODS = ("predict", "predict_proba")


def has_probabilities(estimator: Any) -> bool:
    """Return True if a scikit-learn estimator predicts a probability for each class."""
    classes = getattr(estimator, "classes_", None)
    # A list of classes means several outputs at once, whose probabilities have another form.
    return callable(getattr(estimator, "predict_proba", None)) and getattr(classes, "ndim", 0) == 1


def split_method(params: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Split a request's parameters: whether they ask for probabilities, and the other parameters.

    Raises InputError when the method is not one of METHODS.
    """
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
