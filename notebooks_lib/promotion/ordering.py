"""Says whether the rows of a dataset can be put in the order of a column. It is asked before the holdout is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from notebooks_lib.tracking.datasets import Dataset


def check(column: str, data: Dataset) -> None:
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
