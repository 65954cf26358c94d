"""Which rows a holdout has, as digests, and which of them others have. It knows no store and no values of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import loader

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class HoldoutRows:
    """Which rows a holdout has, without a word of what they say; in the order of its file, unless `listed`."""

    dataset: str
    """name@version#fingerprint."""
    whole: Array
    """Half a digest of each row."""
    placed: Array
    """The same of its group or key and the dataset's name; empty where the whole row decides."""
    columns: str = ""
    """Digest of the columns' names, where the whole row decides: under others a digest does not tell it."""
    plain: Array | None = None
    """As `whole`, by the kinds of columns: so the first versions of nbops listed rows."""

    @property
    def name(self) -> str:
        """Of the dataset."""
        return self.dataset.partition("@")[0]

    @cached_property
    def listed(self) -> HoldoutRows:
        """As it is stored: both digests sorted, each by itself, so that they tell nothing of the file."""
        import numpy as np

        return replace(self, whole=np.sort(self.whole), placed=np.sort(self.placed))

    @cached_property
    def sha256(self) -> str:
        """The same rows have the same digest, whatever their order."""
        return hashlib.sha256(b"\0".join((self.listed.whole.tobytes(), self.listed.placed.tobytes()))).hexdigest()

    def spent(self, others: Sequence[tuple[HoldoutRows, float]], elsewhere: Callable[[str], Array | None]) -> Array:
        """For each row the levels, added up, at which others, `listed`, decided with it.

        `elsewhere` is told the dataset of the others, and says which of these rows values alone show to be theirs.
        """
        import numpy as np

        found = np.zeros(len(self.whole))
        for other, level in others:
            met = _among(self.whole, other.whole)
            if self.plain is not None:
                met |= _among(self.plain, other.whole)
            if self.name == other.name and self.columns != other.columns:
                met[:] = True
            elif len(self.placed) and len(other.placed):
                met |= _among(self.placed, other.placed)
            by_value = elsewhere(other.dataset)
            found[met if by_value is None else met | by_value] += level
        return found


def _among(mine: Array, theirs: Array) -> Array:
    """For each of mine, whether it is one of theirs, which are sorted."""
    import numpy as np

    place = np.searchsorted(theirs, mine)
    return np.asarray(theirs[np.minimum(place, len(theirs) - 1)] == mine)


def rows(opened: loader.Opened) -> HoldoutRows:
    """The holdout rows of a version."""
    import numpy as np

    mask = opened.masks["holdout"]
    record = opened.record
    whole = opened.whole[mask][:, 0].astype("<u8")
    salt = int.from_bytes(hashlib.sha256(opened.name.encode()).digest()[:8], "big")
    placed = opened.placing[mask][:, 0].astype("<u8") ^ np.uint64(salt) if record.decided_by else np.zeros(0, "<u8")
    columns = "" if record.decided_by else hashlib.sha256(json.dumps(sorted(record.columns)).encode()).hexdigest()[:16]
    plain = None if opened.plain is opened.whole else opened.plain[mask][:, 0].astype("<u8")
    return HoldoutRows(f"{opened.ref}#{record.fingerprint}", whole, placed, columns, plain)
