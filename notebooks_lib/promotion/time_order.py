"""Says whether the rows of a dataset can be put in the order of a column. It is asked before the holdout is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.datasets import data_tests
from notebooks_lib.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from notebooks_lib.datasets import Dataset
    from notebooks_lib.settings import Settings

UNORDERED = ("text", "boolean")
"""Kinds of columns that tell no time: text has an order, but that of the alphabet."""


def check(column: str, data: Dataset, settings: Settings) -> None:
    """Raise UsageError unless `column` puts every row of `data` in order, and its rows are independent but for that.

    Rows of a group are left out together, wherever they stand in time: with a group column there is no order.
    """
    if column not in data.columns:
        raise UnknownNameError(f"column of {data.ref} to order the rows by", column, data.columns)
    if data.group is not None:
        raise UsageError(
            f"order_by={column!r}: {data.ref} has the group column {data.group!r}; rows of a group belong together and "
            "are left out by group, not by stretches of an order: leave order_by away"
        )
    kind = data.columns[column]
    if kind in UNORDERED:
        raise UsageError(f"order_by={column!r}: this column of {data.ref} is {kind}; name one of numbers or of dates")
    missing = data_tests.missing(data.ref, column, settings)
    if missing:
        raise UsageError(
            f"order_by={column!r}: {missing} of {data.rows} rows of {data.ref} have no value in it, so they have no "
            "place in the order; name a column without missing values"
        )
