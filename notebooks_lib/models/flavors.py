"""Save a fitted model into a folder with the MLflow flavour that fits it. It neither uploads nor loads."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors
from notebooks_lib.log_levels import quiet_loggers
from notebooks_lib.models import requirements, trusted_flavors

if TYPE_CHECKING:
    from mlflow.models import Model

FLAVORS = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "pytorch",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "statsmodels": "statsmodels",
    "prophet": "prophet",
    "pmdarima": "pmdarima",
    "spacy": "spacy",
    "onnx": "onnx",
    "transformers": "transformers",
    "sentence_transformers": "sentence_transformers",
}
"""Library of a model's class, or of the nearest of its base classes -> MLflow's flavour."""

EXAMPLE_ROWS = 5
"""Rows of the example that are kept with the model; the signature is read from all of them."""

_ALWAYS = ("mlflow", "numpy", "pandas")
_NEEDED_BY = {"skops": ("skops", "scikit-learn", "scipy"), "cloudpickle": ("cloudpickle",)}
"""Format of a saved model -> packages that load it."""
_NOISY = (
    "mlflow.sklearn",
    "mlflow.utils.environment",
    "mlflow.pyfunc",
    "mlflow.models.model",
    "mlflow.types.type_hints",
)
"""Loggers of MLflow that warn of what is settled here: cloudpickle instead of skops, pip's version, type hints."""


def flavor_of(model: Any) -> str:
    """Return MLflow's flavour for a model: that of its class or base classes, else "pyfunc" if it has `predict`.

    Raises ModelError, listing the flavours, when there is none.
    """
    for base in type(model).__mro__:
        if base.__module__.startswith("mlflow.pyfunc"):
            return "pyfunc"
        top = base.__module__.partition(".")[0]
        if top in FLAVORS:
            return FLAVORS[top]
    if callable(getattr(model, "predict", None)):
        return "pyfunc"
    raise errors.ModelError(
        f"{_name(model)} is no kind of model that can be logged: it has no `predict` and is of none of"
        f" {', '.join(sorted(FLAVORS))}; give it a `predict`, or say flavor="
    )


def save(model: Any, folder: Path, *, flavor: str | None, example: Any, lock: Path, meta: Model) -> str:
    """Save `model` in `folder` with signature, example and pinned requirements; return the format it is kept in.

    The format is "skops" or "cloudpickle" for scikit-learn and Python models, else the flavour's name. A `flavor` of
    None is derived from the model's class. Requirements are pinned as in the lock file `lock`; `meta` is MLflow's
    object for the model's MLmodel file. Classes from a project's own files are stored with the model, so that it loads
    where these files are not. Raises ModelError when the model cannot be saved.
    """
    flavor = flavor or flavor_of(model)
    modules = _modules(model)
    with quiet():
        module = _flavor_module(flavor)
        few = _head(example)
        options: dict[str, Any] = {"mlflow_model": meta, "input_example": few}
        form = "cloudpickle" if flavor == "pyfunc" else flavor
        if flavor == "sklearn":
            form, format_options = _sklearn_format(model)
            options |= format_options | {"signature": _signature(model, example, few)}
        needed = {*_ALWAYS, *requirements.distributions_of(modules), *_NEEDED_BY.get(form, ())}
        options["pip_requirements"] = requirements.pinned_requirements(needed, lock)
        with _own_classes_inside(modules), _as_model_error(f"{_name(model)} cannot be saved as {flavor}", flavor):
            if flavor == "pyfunc":
                module.save_model(path=str(folder), python_model=_as_python_model(model), **options)
            else:
                module.save_model(model, str(folder), **options)
    if meta.signature is None:
        raise errors.ModelError(
            f"{_name(model)} does not predict its example ({type(example).__name__}), so its inputs and outputs are"
            " unknown: give rows as they come to `predict`"
        )
    return form


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress MLflow's warnings about how a model is saved or loaded, within the block."""
    with quiet_loggers(*_NOISY, level=logging.ERROR), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer column")
        warnings.filterwarnings("ignore", message=".*[Tt]ype hint")
        yield


@contextmanager
def _as_model_error(failure: str, flavor: str) -> Iterator[None]:
    """Turn whatever a flavour raises into a ModelError: each has errors of its own."""
    try:
        yield
    except errors.NbopsError:
        raise
    except ModuleNotFoundError as error:
        raise errors.ModelError(f"flavor {flavor!r} needs the package {error.name!r}: install it") from error
    except Exception as error:
        raise errors.ModelError(f"{failure}: {type(error).__name__}: {errors.reason(error)}") from error


def _flavor_module(flavor: str) -> Any:
    flavors = sorted({*FLAVORS.values(), "pyfunc"})
    try:
        module = importlib.import_module(f"mlflow.{flavor}")
    except ModuleNotFoundError as error:
        if error.name == f"mlflow.{flavor}":
            raise errors.ModelError(errors.unknown("flavor", flavor, flavors)) from error
        raise errors.ModelError(f"flavor {flavor!r} needs the package {error.name!r}: install it") from error
    if not hasattr(module, "save_model"):
        raise errors.ModelError(errors.unknown("flavor", flavor, flavors))
    return module


def _modules(model: Any) -> set[str]:
    try:
        return requirements.modules_of(model)
    except Exception:  # noqa: BLE001 - what pickle cannot walk, its flavour may still hold (TensorFlow, ONNX)
        return {base.__module__ for base in type(model).__mro__}


def _sklearn_format(model: Any) -> tuple[str, dict[str, Any]]:
    """Return skops if all types are those of estimators and the model loads again; else cloudpickle."""
    import skops.io

    if not callable(getattr(model, "predict", None)):
        raise errors.ModelError(f"{_name(model)} has no `predict`: log the whole Pipeline that ends in a model")
    try:
        data = skops.io.dumps(model)
        unknown = skops.io.get_untrusted_types(data=data)
        if all(map(trusted_flavors.is_data_type, unknown)):
            skops.io.loads(data, trusted=unknown)
            return "skops", {"serialization_format": "skops", "skops_trusted_types": unknown or None}
    except Exception as error:  # noqa: BLE001 - skops has no common error; cloudpickle is the answer to all
        logging.getLogger(__name__).debug("skops cannot hold %s: %s", _name(model), error)
    return "cloudpickle", {"serialization_format": "cloudpickle"}


def _signature(model: Any, example: Any, few: Any) -> Any:
    import pandas as pd
    from mlflow.models import ModelSignature, infer_signature

    try:
        predicted = model.predict(few)
        if hasattr(few, "iloc") and getattr(predicted, "ndim", 0) == 1:
            predicted = pd.Series(predicted)  # one value a row is a column, not a tensor
        outputs = infer_signature(few, predicted).outputs
        return ModelSignature(inputs=infer_signature(example).inputs, outputs=outputs)
    except Exception as error:
        raise errors.ModelError(
            f"{_name(model)} does not predict its example: {type(error).__name__}: {errors.reason(error)}"
        ) from error


def _head(example: Any) -> Any:
    if hasattr(example, "iloc"):
        return example.iloc[:EXAMPLE_ROWS]
    return example[:EXAMPLE_ROWS] if hasattr(example, "shape") and getattr(example, "ndim", 0) > 1 else example


def _as_python_model(model: Any) -> Any:
    import pandas as pd
    from mlflow.pyfunc.model import PythonModel

    if isinstance(model, PythonModel):
        return model

    # A class inside a function is pickled by value: the model loads where nbops is not installed.
    class Predictor(PythonModel):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return self.inner.predict(model_input)

        # MLflow reads this type hint when the class is created, and warns without one.
        predict.__annotations__["model_input"] = pd.DataFrame

    return Predictor(model)


@contextmanager
def _own_classes_inside(modules: set[str]) -> Iterator[None]:
    """Let cloudpickle store classes of a project's own files with the model instead of naming them."""
    import sys

    import cloudpickle

    own = [sys.modules[top] for top in {name.partition(".")[0] for name in modules} if requirements.is_own(top)]
    already = cloudpickle.list_registry_pickle_by_value()
    ours = [module for module in own if module.__name__ not in already]
    for module in ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in ours:
            cloudpickle.unregister_pickle_by_value(module)


def _name(model: Any) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"
