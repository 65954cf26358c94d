"""Which part of a dataset a row belongs to: train, validation or holdout. It knows digests, not tables.

A row's part depends on its group if the dataset has one, else on its key, else on its whole content: never on order,
never on other rows. So it is the same on every machine, and adding rows moves none of those that were there. Rows move
one way only: out of the holdout, when they have decided often enough and are retired; none ever comes into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

ALGORITHM = 2
"""Number of this way to split; each dataset keeps the one that its first version was added with.

1: by digests that depend on the kinds of columns. 2: by folded digests, which do not (`content`).
"""
KINDS_DECIDE = 1
_SALT = 1
"""Part of what places a row; the same for both."""

PartName = Literal["train", "validation", "holdout"]
NAMES: tuple[PartName, ...] = ("train", "validation", "holdout")


def split(
    digests: np.ndarray[Any, Any],
    *,
    validation_share: float,
    holdout_share: float,
    retired: np.ndarray[Any, Any] | None = None,
) -> Mapping[PartName, np.ndarray[Any, Any]]:
    """A mask of rows for each part, from the `row_digests` of what decides it.

    The digest places a row in [0, 1): the first share is the holdout, the next is validation, the rest is train.
    `retired` is a mask of rows that may not be in the holdout any more: they are shared out between the other two.
    """
    salt = int.from_bytes(hashlib.sha256(f"nbops.parts.{_SALT}".encode()).digest()[:8], "big")
    # 53 bits, so that the division is exact and compares alike everywhere.
    place = ((digests[:, 0] ^ salt) >> 11) / 2.0**53
    holdout = place < holdout_share
    validation = ~holdout & (place < holdout_share + validation_share)
    if retired is not None:
        gone = holdout & retired
        holdout = holdout & ~retired
        validation |= gone & (place < holdout_share * validation_share / (1 - holdout_share))
    return {"train": ~holdout & ~validation, "validation": validation, "holdout": holdout}


def cuts(times: np.ndarray[Any, Any], validation_share: float, holdout_share: float) -> tuple[str, str]:
    """The times at which validation and holdout begin, as texts: the last rows are the holdout.

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
    """A mask of rows for each part: what comes last is the holdout, before it comes validation.

    The times at which parts begin stay, so a later version moves no row; what came since is holdout.
    """
    import numpy as np

    read = np.datetime64 if times.dtype.kind == "M" else float
    validation, holdout = (read(text) for text in (validation_from, holdout_from))
    held = times >= holdout
    chosen = ~held & (times >= validation)
    return {"train": ~held & ~chosen, "validation": chosen, "holdout": held}
