"""Split a dataset into train, validation and holdout. It works on digests and times of rows.

A row's part depends on its group if the dataset has one, else on its key, else on its whole content: never on order,
never on other rows. So it is the same on every machine, and adding rows moves none that were there. Rows move one way
only: out of the holdout, once their uses are spent and they are retired; none ever enters it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.datasets import hashing
from notebooks_lib.datasets.dataset import to_frame
from notebooks_lib.datasets.storage import Record
from notebooks_lib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

ALGORITHM = 2
"""Number of this way to split; each dataset keeps the one that its first version was added with.

1: by digests that depend on the kinds of columns. 2: by folded digests, which do not (`hashing`).
"""
KINDS_DECIDE = 1
_SALT = 1
"""Salt of the digests that assign rows to parts; the same for both algorithms."""

PartName = Literal["train", "validation", "holdout"]
NAMES: tuple[PartName, ...] = ("train", "validation", "holdout")


def split(
    digests: np.ndarray[Any, Any],
    *,
    validation_share: float,
    holdout_share: float,
    retired: np.ndarray[Any, Any] | None = None,
) -> Mapping[PartName, np.ndarray[Any, Any]]:
    """Return a mask of rows for each part, from the digests of what decides it.

    A digest places a row in [0, 1): the first share is the holdout, the next is validation, the rest is train.
    `retired` is a mask of rows that may not be in the holdout any more: they are divided between the other two.
    """
    salt = int.from_bytes(hashlib.sha256(f"nbops.parts.{_SALT}".encode()).digest()[:8], "big")
    # 53 bits, so that the division is exact and compares equally on every machine.
    place = ((digests[:, 0] ^ salt) >> 11) / 2.0**53
    holdout = place < holdout_share
    validation = ~holdout & (place < holdout_share + validation_share)
    if retired is not None:
        gone = holdout & retired
        holdout = holdout & ~retired
        validation |= gone & (place < holdout_share * validation_share / (1 - holdout_share))
    return {"train": ~holdout & ~validation, "validation": validation, "holdout": holdout}


def cuts(times: np.ndarray[Any, Any], validation_share: float, holdout_share: float) -> tuple[str, str]:
    """Return the times at which validation and holdout begin, as texts: the last rows are the holdout.

    Rows of one time are never divided, so shares are met as nearly as the times allow.
    """
    import numpy as np

    ordered = np.sort(times)
    rows = len(ordered)
    places = (round(rows * (1 - holdout_share - validation_share)), round(rows * (1 - holdout_share)))
    validation, holdout = (str(ordered[min(place, rows - 1)]) for place in places)
    return validation, holdout


def split_by_time(
    times: np.ndarray[Any, Any], validation_from: str, holdout_from: str
) -> Mapping[PartName, np.ndarray[Any, Any]]:
    """Return a mask of rows for each part: the last rows are the holdout, those before it are validation.

    The times at which parts begin stay, so a later version moves no row; rows that arrived since are holdout.
    """
    import numpy as np

    read = np.datetime64 if times.dtype.kind == "M" else float
    validation, holdout = (read(text) for text in (validation_from, holdout_from))
    held = times >= holdout
    chosen = ~held & (times >= validation)
    return {"train": ~held & ~chosen, "validation": chosen, "holdout": held}


def deciding_digests(table: pa.Table, record: Record, whole: Digests) -> np.ndarray[Any, Any]:
    """Return the digests that assign rows to parts: of the group, else of the key, else of the whole row.

    A dataset keeps the algorithm of its first version.
    """
    if record.decided_by is not None:
        column = table.select([record.decided_by])
        digests = hashing.row_digests if record.parts == KINDS_DECIDE else hashing.folded_digests
        return digests(column)
    return whole.plain if record.parts == KINDS_DECIDE else whole.folded


@dataclass(frozen=True, eq=False)
class Digests:
    """The digests of all rows of a table, each (rows, 2)."""

    plain: np.ndarray[Any, Any]
    """Digests by the kinds of columns: for the fingerprint, and for parts of the first algorithm."""
    folded: np.ndarray[Any, Any]
    """Digests that do not depend on the kinds; mostly equal to `plain`."""

    @classmethod
    def of(cls, table: pa.Table) -> Digests:
        """Return the digests of a normalised table."""
        plain = hashing.row_digests(table)
        return cls(plain, hashing.folded_digests(table, plain))


def split_rows(
    ref: str,
    table: pa.Table,
    digests: np.ndarray[Any, Any],
    record: Record,
    retired: np.ndarray[Any, Any] | None = None,
) -> dict[PartName, np.ndarray[Any, Any]]:
    """Return the mask of each part.

    Raises DatasetError when a part would be empty, or was split by an unknown algorithm.
    """
    if record.parts not in (KINDS_DECIDE, ALGORITHM):
        raise DatasetError(
            f"{ref}: split by algorithm {record.parts}, this nbops knows {ALGORITHM}; use the one that added it"
        )
    masks = dict(
        split_by_time(times(ref, table, record), str(record.validation_from), str(record.holdout_from))
        if record.time
        else split(
            digests,
            validation_share=record.validation_share,
            holdout_share=record.holdout_share,
            retired=None if retired is None else among(digests, retired),
        )
    )
    empty = [name for name in NAMES if not masks[name].any()]
    if empty:
        sizes = ", ".join(f"{name} {int(masks[name].sum())}" for name in NAMES)
        raise DatasetError(
            f"{ref}: no rows fall into {' and '.join(empty)} ({sizes}); a dataset needs more rows, or more different "
            f"values of {record.time or record.decided_by or 'its rows'}"
        )
    return masks


def among(digests: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a mask of `digests`: which are in `others`. Half a digest is enough: by chance one in 10^13 is wrong."""
    import numpy as np

    return np.isin(digests[:, 0].astype(np.uint64), others[:, 0].astype(np.uint64))


def with_cuts(ref: str, table: pa.Table, record: Record) -> Record:
    """Return the record with the times at which parts begin; those of the first version hold for all later ones."""
    if record.time is None or record.holdout_from is not None:
        return record
    validation, holdout = cuts(times(ref, table, record), record.validation_share, record.holdout_share)
    return replace(record, validation_from=validation, holdout_from=holdout)


def times(ref: str, table: pa.Table, record: Record) -> Array:
    """Return the times of the rows, as numbers or dates. Raises UsageError for a column that holds no times."""
    kind = hashing.kinds(table)[str(record.time)]
    if kind in ("text", "boolean"):
        raise UsageError(
            f"{ref}: time {record.time!r} is {kind}; it takes numbers or ISO dates such as 2026-12-31, one in each row"
        )
    values: Array = to_frame(table.select([record.time]))[record.time].to_numpy()
    return values
