"""Split a dataset into train, validation and holdout. It works on digests and times of rows.

A row's part depends on its group if the dataset has one, else on its key, else on its whole content: never on order,
never on other rows. So it is the same on every machine, and adding rows moves none that were there. Rows move one way
only: out of the holdout, once their uses are spent and they are retired; none ever enters it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from notebooks_lib.datasets import canonical_types, table_hashing
from notebooks_lib.datasets.dataset import to_frame
from notebooks_lib.datasets.dataset_metadata import Metadata
from notebooks_lib.datasets.table_hashing import Digests
from notebooks_lib.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

ALGORITHM = 2
"""Number of this way to split; each dataset keeps the one that its first version was added with.

1: by digests that depend on the kinds of columns. 2: by folded digests, which do not (`table_hashing`).
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
    """Assign rows to parts by their digests: return a mask of rows for each part.

    A digest places a row in [0, 1): the first share is the holdout, the next is validation, the rest is train.
    `retired` is a mask of rows that must not be in the holdout any more: they are divided between train and validation.
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


def time_cuts(times: np.ndarray[Any, Any], validation_share: float, holdout_share: float) -> tuple[str, str]:
    """Return the times at which validation and holdout begin, as texts. The newest rows are the holdout.

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
    """Assign rows to parts by time: return a mask of rows for each part. The newest rows are the holdout.

    Later versions use the same two times, so no row moves. Rows that are newer are in the holdout.
    """
    import numpy as np

    read = np.datetime64 if times.dtype.kind == "M" else float
    validation, holdout = (read(text) for text in (validation_from, holdout_from))
    held = times >= holdout
    chosen = ~held & (times >= validation)
    return {"train": ~held & ~chosen, "validation": chosen, "holdout": held}


def keeps_parts(earlier: Metadata, later: Metadata) -> bool:
    """Return whether two versions that are split by time have their parts in common.

    They begin at the same two times, or the later version has a fresh holdout: what was the holdout is before it.
    """
    import numpy as np

    if (earlier.validation_from, earlier.holdout_from) == (later.validation_from, later.holdout_from):
        return True
    held, validated = str(earlier.holdout_from), str(later.validation_from)
    try:
        return float(validated) >= float(held)
    except ValueError:
        return bool(np.datetime64(validated) >= np.datetime64(held))


def deciding_digests(table: pa.Table, metadata: Metadata, whole: Digests) -> np.ndarray[Any, Any]:
    """Return the digests that assign rows to parts: of the group, else of the key, else of the whole row.

    `whole` are the digests of the whole rows. The algorithm is that of the dataset's first version.
    """
    if metadata.decided_by is not None:
        column = table.select([metadata.decided_by])
        digests = table_hashing.row_digests if metadata.parts == KINDS_DECIDE else table_hashing.folded_digests
        return digests(column)
    return whole.plain if metadata.parts == KINDS_DECIDE else whole.folded


def split_rows(
    ref: str,
    table: pa.Table,
    digests: np.ndarray[Any, Any],
    metadata: Metadata,
    retired: np.ndarray[Any, Any] | None = None,
) -> dict[PartName, np.ndarray[Any, Any]]:
    """Assign rows to parts by time or by digest: return a mask of rows for each part.

    `retired` are digests of rows that must not be in the holdout. Raises DatasetError when a part would be empty, or
    the metadata names an algorithm that this nbops does not know.
    """
    if metadata.parts not in (KINDS_DECIDE, ALGORITHM):
        raise DatasetError(
            f"{ref}: split by algorithm {metadata.parts}, this nbops knows {ALGORITHM}; use the one that added it"
        )
    masks = dict(
        split_by_time(time_values(ref, table, metadata), str(metadata.validation_from), str(metadata.holdout_from))
        if metadata.time
        else split(
            digests,
            validation_share=metadata.validation_share,
            holdout_share=metadata.holdout_share,
            retired=None if retired is None else contained_in(digests, retired),
        )
    )
    empty = [name for name in NAMES if not masks[name].any()]
    if empty:
        sizes = ", ".join(f"{name} {int(masks[name].sum())}" for name in NAMES)
        raise DatasetError(
            f"{ref}: no rows fall into {' and '.join(empty)} ({sizes}); a dataset needs more rows, or more different "
            f"values of {metadata.time or metadata.decided_by or 'its rows'}"
        )
    return masks


def contained_in(digests: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a mask: True for each of `digests` that is in `others`.

    Only the first half of each digest is compared: by chance one answer in 10^13 is wrong.
    """
    import numpy as np

    return np.isin(digests[:, 0].astype(np.uint64), others[:, 0].astype(np.uint64))


def with_cuts(ref: str, table: pa.Table, metadata: Metadata) -> Metadata:
    """Return the metadata with the times at which validation and holdout begin. Later versions keep these times."""
    if metadata.time is None or metadata.holdout_from is not None:
        return metadata
    validation, holdout = time_cuts(
        time_values(ref, table, metadata), metadata.validation_share, metadata.holdout_share
    )
    return replace(metadata, validation_from=validation, holdout_from=holdout)


def time_values(ref: str, table: pa.Table, metadata: Metadata) -> Array:
    """Return the time of each row, as a number or date. Raises UsageError if the time column holds no times."""
    kind = canonical_types.kinds(table)[str(metadata.time)]
    if kind in ("text", "boolean"):
        raise UsageError(
            f"{ref}: time {metadata.time!r} is {kind}; "
            "it takes numbers or ISO dates such as 2026-12-31, one in each row"
        )
    values: Array = to_frame(table.select([metadata.time]))[metadata.time].to_numpy()
    return values


def version_fingerprint(table: pa.Table, digests: Digests, metadata: Metadata) -> str:
    """Return the fingerprint of a version: of its content, and of the times or retired rows that decide its parts."""
    content = table_hashing.fingerprint(table, digests.plain)
    parts_say = metadata.retired or ""
    if metadata.time:
        parts_say = f"{metadata.time}\0{metadata.validation_from}\0{metadata.holdout_from}"
    return hashlib.sha256(f"{content}\0{parts_say}".encode()).hexdigest() if parts_say else content


def retired_sha256(retired: Array) -> str:
    """Return the sha256 of the retired rows' digests (n, 2), whatever their order: the value of `Metadata.retired`."""
    import numpy as np

    ordered = retired[np.lexsort((retired[:, 1], retired[:, 0]))]
    return hashlib.sha256(ordered.astype(">u8").tobytes()).hexdigest()
