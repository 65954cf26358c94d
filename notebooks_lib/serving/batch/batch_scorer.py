"""Score a mini-batch of a table: predictions as columns, and for each row that is refused, the cause.

A row is refused where an endpoint would refuse it alone, in the same words. It reads and writes no file. score.py runs
it on Azure, so it imports what `scoring_script.py` may import, and Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import InputError, ModelError, PredictionError, nearest
from notebooks_lib.models import input_schema, served_model
from notebooks_lib.models.input_schema import Column
from notebooks_lib.models.served_model import ServedModel
from notebooks_lib.serving import request_formats
from notebooks_lib.serving.batch import arrow_columns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Rows = np.ndarray[Any, Any]

PREDICTION = "prediction"
"""The column of the predictions; of several values a row, the beginning of their columns: prediction.NAME."""


@dataclass(frozen=True)
class ScoredBatch:
    """What became of the rows of a mini-batch."""

    predictions: pa.Table
    """A row for each row of the input, with missing values for those that were refused."""
    refused: Mapping[int, str]
    """Number of the row in the mini-batch, from 0 -> why it has no prediction."""


class BatchScorer:
    """Scores mini-batches by one model."""

    def __init__(self, model: ServedModel, params: Mapping[str, Any] | None = None) -> None:
        """Take a model and the parameters of each prediction.

        Raises InputError for parameters that the model does not take, ModelError for a model that takes no table.
        """
        self._model = model
        self._params = request_formats.check_params(dict(params or {}), model.params)
        self._matrix = _is_matrix(model.columns)
        if not self._matrix and not input_schema.takes_table(model.columns):
            raise ModelError(
                "the signature of the model names no columns, so that those of a table cannot be given to it: log the "
                "model with a data frame as its example"
            )

    def columns_used(self, names: Sequence[str], no_features: Collection[str] = ()) -> list[str]:
        """Return which columns of a table the model gets; `no_features` are columns that a matrix never has.

        Others are left alone. Raises InputError when a column is missing, or stands there misspelt.
        """
        if self._matrix:
            return [name for name in names if name not in no_features]  # the number is checked with the first rows
        known = [str(column.name) for column in self._model.columns]
        used = [name for name in names if name in known]
        absent = [name for name in known if name not in used]
        misspelt = [name for name in names if name not in known and nearest(name, absent)] if absent else []
        request_formats.check_names([*used, *misspelt], self._model.columns)
        if not used:
            raise InputError(f"no column of the model is in the table; it takes {', '.join(known)}")
        return used

    def score(self, table: pa.Table) -> ScoredBatch:
        """Return the predictions for the rows of a table.

        Raises PredictionError when the model does not answer with a prediction for each row.
        """
        import numpy as np

        series, refused = self._read(table)
        rows = np.setdiff1d(np.arange(len(table)), list(refused))
        answers: list[Any] = [None] * len(table)
        if len(rows):
            self._predict(self._input(series, rows), rows, answers, refused)
        return ScoredBatch(_columns(answers, refused, self._model.outputs), dict(sorted(refused.items())))

    def _read(self, table: pa.Table) -> tuple[dict[str, pd.Series[Any]], dict[int, str]]:
        """Return the columns as the model gets them, and the first fault of each row."""
        columns = self._model.columns
        if self._matrix:
            width = (columns[0].shape or (0, 0))[1]
            if width != table.num_columns:
                raise InputError(f"the table has {table.num_columns} columns to score; the model takes {width}")
            columns = tuple(Column(name, "double") for name in table.column_names)
        series, refused = {}, {}
        for column in reversed(columns):  # so that the fault of the first column stays
            name = str(column.name)
            if name not in table.column_names and not column.required:
                series[name] = input_schema.column_values([None] * len(table), column)
                continue
            values = table[name] if name in table.column_names else _nulls(len(table))
            series[name], faults = arrow_columns.read_column(values, column)
            refused.update(faults)
        return dict(reversed(series.items())), refused

    def _input(self, series: Mapping[str, pd.Series[Any]], rows: Rows) -> pd.DataFrame:
        import pandas as pd

        whole = len(rows) == len(next(iter(series.values())))
        frame = pd.DataFrame(
            {name: _of_one_type(values if whole else values.iloc[rows], values) for name, values in series.items()}
        )
        return frame.reset_index(drop=True)

    def _predict(self, frame: pd.DataFrame, rows: Rows, answers: list[Any], refused: dict[int, str]) -> None:
        """Put the prediction of each row into its place, or the cause why it has none.

        Rows that are refused together are tried in ever smaller parts. Usually it is those with missing values.
        """
        data = frame.to_numpy(self._model.columns[0].type) if self._matrix else frame
        try:
            given = self._model.predict(data, self._params)
        except (InputError, PredictionError) as error:
            if len(rows) == 1:
                refused[int(rows[0])] = arrow_columns.without_row(str(error))
                return
            for part in _parts(frame):
                self._predict(frame[part].reset_index(drop=True), rows[part], answers, refused)
            return
        given = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(given, list) or len(given) != len(rows):
            number = served_model.rows(given)
            raise PredictionError(
                f"the model gave {'one answer' if number is None else f'{number} predictions'} for {len(rows)} rows; "
                "batch scoring needs a prediction for each row"
            )
        for row, answer in zip(rows.tolist(), given, strict=True):
            answers[row] = answer


def _is_matrix(columns: Sequence[Column]) -> bool:
    """Return whether a model takes a matrix of numbers, whose columns have no names."""
    first = columns[0] if len(columns) == 1 else None
    return first is not None and first.shape is not None and len(first.shape) == 2 and first.type.startswith("float")


def _nulls(rows: int) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([pa.nulls(rows)])


def _of_one_type(values: pd.Series[Any], whole: pd.Series[Any]) -> pd.Series[Any]:
    return values.astype(whole.dtype) if values.dtype != whole.dtype else values


def _parts(frame: pd.DataFrame) -> Iterable[Rows]:
    """Return two masks that divide the rows: those with missing values and the others, or else two halves."""
    import numpy as np

    incomplete = frame.isna().any(axis=1).to_numpy()
    if not incomplete.any() or incomplete.all():
        incomplete = np.arange(len(frame)) >= len(frame) // 2
    return ~incomplete, incomplete


def _columns(answers: list[Any], refused: Mapping[int, str], outputs: Sequence[Column]) -> pa.Table:
    """Return predictions as columns: one, or one for each name or place where each row has as many values."""
    import pyarrow as pa

    given = [answer for row, answer in enumerate(answers) if row not in refused]
    if given and isinstance(given[0], Mapping):
        names = dict.fromkeys(name for answer in given if isinstance(answer, Mapping) for name in answer)
        return pa.table({f"{PREDICTION}.{name}": _array([_at(each, name) for each in answers]) for name in names})
    if width := _width(given):
        places = range(width)
        return pa.table({f"{PREDICTION}.{place}": _array([_at(each, place) for each in answers]) for place in places})
    declared = outputs[0].type if len(outputs) == 1 else ""
    return pa.table({PREDICTION: _array(answers, declared)})


def _width(answers: Sequence[Any]) -> int:
    """Return how many values each row has; 0 where they are no lists, nested, or of different lengths."""
    if not all(isinstance(answer, list) for answer in answers):
        return 0
    widths = {len(answer) for answer in answers}
    flat = not any(isinstance(item, list | Mapping) for answer in answers for item in answer)
    return widths.pop() if len(widths) == 1 and flat else 0


def _at(answer: Any, key: Any) -> Any:
    try:
        return None if answer is None else answer[key]
    except (LookupError, TypeError) as error:
        raise PredictionError(f"the model gives rows of different forms: {str(answer)[:100]} lacks {key!r}") from error


_TYPES = {"double": "float64", "float64": "float64", "float": "float64", "float32": "float64"}
_TYPES |= {"long": "int64", "integer": "int64", "int64": "int64", "int32": "int64", "string": "string"}


def _array(values: list[Any], declared: str = "") -> pa.Array:
    """Return values as one column, of the type that the signature declares if they fit it; nested ones as JSON."""
    import pyarrow as pa

    for kind in (_TYPES.get(declared), None):
        try:
            if kind is not None:
                return pa.array(values, pa.type_for_alias(kind))
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            continue
        if not pa.types.is_nested(array.type):
            return array
    return pa.array([None if value is None else json.dumps(value, default=str) for value in values], pa.string())
