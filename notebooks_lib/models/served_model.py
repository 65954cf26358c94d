"""A model as a server sees it: columns, parsing of requests, predictions. It needs only the model's folder.

`input_schema` reads the values; MLflow enforces the schema.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from notebooks_lib.errors import InputError, ModelError, PredictionError, reason
from notebooks_lib.models import fast_scorer, input_schema, model_folder
from notebooks_lib.models.input_schema import Column, columns_of, type_name
from notebooks_lib.models.predict_method import (
    METHOD_PARAM,
    has_probabilities,
    predict_probabilities,
    split_method,
)
from notebooks_lib.models.prediction_json import dtype_kind, encode_predictions

_importing, _imported = threading.Lock(), threading.Event()
_NOT_THE_MODEL = ("Failed to enforce schema", "Invalid parameters found", "Parameters must be", "Parameters schema")


class ServedModel:
    """A model loaded from its folder, ready to predict. It is thread-safe if the model's `predict` is."""

    def __init__(self, model: Any) -> None:
        signature = model.metadata.signature
        self.columns = columns_of(model.metadata.get_input_schema())
        self.outputs = columns_of(signature.outputs if signature else None)
        params = model.metadata.get_params_schema()
        self.example: dict[str, Any] | None = None
        """A request that the model answers, in one of MLflow's request formats; None when it was logged without."""
        self._pyfunc: Any = input_schema.accept_missing_values(model)
        self._make: Callable[[], Any] | None = None
        self._making = threading.Lock()
        estimator = getattr(model, "get_raw_model", lambda: None)() if _is_sklearn(model) else None
        self._fast = fast_scorer.fast_scorer_for(estimator, self.columns) if estimator is not None else None
        own = tuple(Column(p.name, type_name(p.dtype), required=False) for p in params) if params else ()
        self._offer(estimator, own)

    @classmethod
    def load(cls, folder: Path) -> ServedModel:
        """Load the model in `folder`, and let it predict its example before it is returned.

        Raises ModelError when it is not an MLflow model, cannot be loaded here, or fails to predict.
        """
        if not (folder / "MLmodel").is_file():
            raise ModelError(f"{folder}: holds no MLmodel file; expected the folder of an MLflow model")
        model_folder.check_folder(folder)
        plain = fast_scorer.load_skops_model(folder)
        served = cls._of_plain(plain, folder) if plain is not None else cls._by_mlflow(folder)
        served._choose_example(plain.example if plain is not None else _logged_example(folder, served._model), folder)
        return served

    @classmethod
    def _by_mlflow(cls, folder: Path) -> ServedModel:
        _import_mlflow()
        import mlflow.pyfunc

        try:
            # This skips a scan of all installed distributions, which takes longer than loading the model.
            return cls(mlflow.pyfunc.load_model(str(folder), suppress_warnings=True))
        except Exception as error:  # a flavour may raise anything
            raise ModelError(f"{folder}: the model cannot be loaded: {reason(error)}") from error

    @classmethod
    def _of_plain(cls, plain: fast_scorer.SkopsModel, folder: Path) -> ServedModel:
        """Return the same model without MLflow, whose import takes longer than all the rest; see `complete`."""
        served = cls.__new__(cls)
        served.columns, served.outputs = plain.inputs, plain.outputs
        served._offer(plain.estimator, ())
        served.example = None
        served._pyfunc = None
        served._make = lambda: _pyfunc(folder, plain.estimator)
        served._making = threading.Lock()
        served._fast = fast_scorer.fast_scorer_for(plain.estimator, plain.inputs)
        return served

    def _offer(self, estimator: Any, own: tuple[Column, ...]) -> None:
        """Offer the parameters of the model, and the one that asks a classifier for probabilities."""
        names = {param.name for param in own}
        self._has_probabilities = METHOD_PARAM not in names and has_probabilities(estimator)
        by_method = (Column(METHOD_PARAM, "string", required=False),) if self._has_probabilities else ()
        self.params = (*own, *by_method)

    def complete(self) -> None:
        """Import MLflow before the first request needs it.

        The example is predicted by MLflow and by the fast scorer; if the predictions differ, the fast scorer is not
        used any more.
        """
        if self.example is None:
            _ = self._model
            return
        answer = self._answer(self.example)
        quickly = self.answer_quickly(self.example)
        if quickly is not None and encode_predictions(quickly) != encode_predictions(_as_json(answer)):
            self._fast = None

    @property
    def quick(self) -> bool:
        """True if the model can answer requests of plain numbers without MLflow."""
        return self._fast is not None

    def answer_quickly(self, payload: Mapping[str, Any]) -> Any:
        """Return the predictions for a request of plain numbers, without MLflow; None for any other request.

        They equal what `parse` and `predict` give.
        """
        return self._fast.answer(payload) if self._fast is not None else None

    @property
    def _model(self) -> Any:
        """The model as MLflow's pyfunc."""
        _import_mlflow()
        if self._pyfunc is None and self._make is not None:
            with self._making:
                if self._pyfunc is None:
                    self._pyfunc = self._make()
        return self._pyfunc

    @property
    def _schema(self) -> Any:
        return self._model.metadata.get_input_schema()

    @property
    def tabular(self) -> bool:
        """True if the model takes a table of columns, False if it takes tensors."""
        return bool(self.columns) and self.columns[0].shape is None

    def parse(self, payload: Mapping[str, Any]) -> Any:
        """Return the model's input for a request with exactly one of MLflow's four format keys.

        Raises InputError when the request does not fit the model's signature.
        """
        _import_mlflow()
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        if getattr(self._model.metadata, "_is_signature_from_type_hint", bool)():
            return payload.get("inputs")  # MLflow leaves the checking of such models to the model's own type hint
        if input_schema.takes_table(self.columns):
            table = input_schema.from_payload(payload, self.columns)
            if table is not None:
                return table
        try:
            return infer_and_parse_data(dict(payload), self._schema)
        except Exception as error:  # parsing depends on the input only, so any error is the input's fault
            raise InputError(reason(error)) from error

    def parse_csv(self, text: str) -> Any:
        """Return the rows of a CSV text with a header. Raises InputError when they do not fit the signature."""
        import io

        import pandas as pd

        if input_schema.takes_table(self.columns):
            return input_schema.from_csv(text, self.columns)
        try:
            return pd.read_csv(io.StringIO(text))
        except Exception as error:  # as in parse
            raise InputError(f"text/csv: {reason(error)}") from error

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the predictions for the parsed data of a request. They are lists, dicts and numbers.

        Raises InputError when the data is at fault: it does not fit the signature, or the model raises ValueError for
        it and still predicts its own example. Raises PredictionError when the model fails otherwise.
        """
        _import_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            chances, others = split_method(params or {}) if self._has_probabilities else (False, params)
            if chances:
                return predict_probabilities(self._model, data)
            answer = self._model.predict(data, params=dict(others) if others else None)
        except InputError:
            raise
        except MlflowException as error:
            if str(error).startswith(_NOT_THE_MODEL):
                raise InputError(reason(error)) from error
            raise PredictionError(f"the model raised {_named(error)}") from error
        except ValueError as error:
            if not self._answers_example():
                raise PredictionError(f"the model raised {_named(error)}") from error
            raise InputError(f"the model refused these rows{_missing(data)}: {reason(error)}") from error
        except (Exception, SystemExit) as error:  # a model can run any code
            raise PredictionError(f"the model raised {_named(error)}") from error
        return _as_json(answer)

    def _choose_example(self, request: dict[str, Any] | None, folder: Path) -> None:
        """Keep one row of the logged example; all of it for a model that does not answer a single row."""
        if request is None:
            return
        for candidate in (_first_rows(request), request):
            try:
                if self.answer_quickly(candidate) is None:
                    self._answer(candidate)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - raised below; a model is foreign code
                fault = error
            else:
                self.example = candidate
                return
        raise ModelError(f"{folder}: the model does not answer its own example: {_named(fault)}") from fault

    def _answers_example(self) -> bool:
        """Return whether the model answers its example, which tells a wrong row from a broken model.

        scikit-learn raises the same ValueError for both.
        """
        try:
            return self.example is not None and self._answer(self.example) is not None
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, the model is broken
            return False

    def _answer(self, payload: Mapping[str, Any]) -> Any:
        rows = {key: value for key, value in payload.items() if key != "params"}
        return self._model.predict(self.parse(rows), params=payload.get("params"))


def rows(data: Any) -> int | None:
    """Return the number of rows in parsed data; None when it is unknown."""
    if isinstance(data, Mapping):
        data = next(iter(data.values()), [])
    shape = getattr(data, "shape", None)
    if shape is not None:
        return int(shape[0]) if shape else None
    return len(data) if isinstance(data, list) else None


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {reason(error)}"


def _missing(data: Any) -> str:
    """Return a remark that names the columns with missing values: the usual reason for which a model refuses rows."""
    columns = getattr(data, "columns", None)
    if columns is None:
        return ""
    incomplete = [str(column) for column in columns if data[column].isna().any()]
    return f" (missing values in {', '.join(map(repr, incomplete[:10]))})" if incomplete else ""


def _import_mlflow() -> None:
    """Import all of MLflow in one thread: two threads at once would leave its modules half imported for good."""
    if not _imported.is_set():
        with _importing:
            importlib.import_module("mlflow.pyfunc")
            _imported.set()


def _as_json(answer: Any) -> Any:
    from mlflow.utils.proto_json_utils import _get_jsonable_obj

    return answer if dtype_kind(answer) == "M" else _get_jsonable_obj(answer)


def _is_sklearn(model: Any) -> bool:
    flavors = model.metadata.flavors
    conf = flavors.get("python_function", {})
    return bool(conf.get("loader_module") == "mlflow.sklearn" and conf.get("predict_fn", "predict") == "predict")


def _pyfunc(folder: Path, estimator: Any) -> Any:
    """Return the pyfunc model that MLflow would load from the folder, around the estimator that is loaded already."""
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel
    from mlflow.sklearn import _SklearnModelWrapper

    model = PyFuncModel(Model.load(str(folder / "MLmodel")), _SklearnModelWrapper(estimator))
    return input_schema.accept_missing_values(model)


_EXAMPLE_ROWS = 1
"""Rows that are kept: they show the form and are short enough to print."""


def _logged_example(folder: Path, model: Any) -> dict[str, Any] | None:
    """Return the request that was logged with a model; None when there is none, or it is damaged."""
    try:
        return fast_scorer.logged_example(folder, getattr(model.metadata, "saved_input_example_info", None))
    except (OSError, ValueError):
        return None


def _first_rows(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same request with its first row only, where rows can be separated."""
    return {key: _cut_rows(key, value) for key, value in payload.items()}


def _cut_rows(key: str, value: Any) -> Any:
    if key == "dataframe_split":
        return {part: v[:_EXAMPLE_ROWS] if part in ("index", "data") else v for part, v in value.items()}
    if key in ("dataframe_records", "instances", "inputs") and isinstance(value, list):
        return value[:_EXAMPLE_ROWS]
    if key == "inputs" and isinstance(value, dict) and all(isinstance(v, list) for v in value.values()):
        return {name: column[:_EXAMPLE_ROWS] for name, column in value.items()}
    return value
