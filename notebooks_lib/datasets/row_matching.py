"""Knows rows of one table again in another that has other columns beside. It works on values, and opens no file.

A re-export of a table may have lost a column, got one, or call one otherwise. Its rows are known by the columns that
both tables have; which is only safe where those tell rows apart. So tables must show first that they share rows:

- More combinations of values come up in both tables than chance explains. Of tables of different rows, from whatever
  populations, at most 2 sqrt(a b) are expected to, when a and b come up repeatedly in the one and in the other. (Let a
  value be expected x times: it comes up with chance g(x), repeatedly with h(x), and g(x)² <= 2 h(x).)
- That holds for rows that were drawn, not for rows that were numbered or laid out alike. So columns that merely
  number the rows are left out, and the others must have room for many more rows than there are: a full grid (each
  shop on each day, each dose at each temperature) has none. Only where one table has all columns of the other, and
  most rows of the smaller are found, it is taken for derived, and all columns count.

A row is known again when those that agree with it are all on the side in question, in both tables.
Which rows a holdout has, as digests, and which of them others have. It knows no store and no values of rows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import column_kinds, hashing, loader

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

SIGMAS = 4.0
"""How far from what is expected chance may lead. So tables in which no two rows are alike must share 17."""
ROOM = 10
"""Combinations of the values that the common columns have, for each row."""
MOST = 0.9
"""Share of a derived table's rows that are found in the other."""
DIGITS = 6
"""A number with a fraction is compared by these: 32 bits hold seven, and many programs write six."""


def recognised(mine: pa.Table, asked: Array, theirs: pa.Table, among: Array) -> Array:
    """For each of my rows `asked` (a mask), whether it is one of their rows `among` (a mask).

    Tables are as `content.normalise` gives them. None is known again where the tables do not show that they share
    rows; one that is may have been written with fewer digits, with whole numbers as 1 or 1.0, or in another order.
    """
    import numpy as np

    shared = [name for name in mine.column_names if name in theirs.column_names]
    if len(shared) < 2:
        return np.zeros(int(asked.sum()), dtype=bool)
    ours, others = written_alike(mine.select(shared), theirs.select(shared))
    if len(shared) in (mine.num_columns, theirs.num_columns):
        met = _met_by_value(ours, asked, others, among, least=MOST)
        if met.any():
            return met
    telling = [name for name in shared if not (_numbers_rows(ours[name]) or _numbers_rows(others[name]))]
    ours, others = ours.select(telling), others.select(telling)
    if _has_room(ours) and _has_room(others):
        return _met_by_value(ours, asked, others, among)
    return np.zeros(int(asked.sum()), dtype=bool)


def _met_by_value(ours: pa.Table, asked: Array, others: pa.Table, among: Array, *, least: float = 0.0) -> Array:
    """Which rows asked for are met among the others, if the tables share rows.

    Where rows are often alike, one that is not shared may meet a stranger; as many as chance explains do not count.
    """
    import numpy as np

    mine, theirs = (hashing.folded_digests(table)[:, 0].astype(np.uint64) for table in (ours, others))
    values, counts = np.unique(mine, return_counts=True)
    their_values, their_counts = np.unique(theirs, return_counts=True)
    both = np.isin(values, their_values, assume_unique=True).sum()
    twice, theirs_twice = (float((each > 1).sum()) for each in (counts, their_counts))
    rows = mine[asked]
    if both < least * min(len(values), len(their_values)) or both <= _by_chance(_most(twice), _most(theirs_twice)):
        return np.zeros(len(rows), dtype=bool)
    sure = ~np.isin(rows, mine[~asked]) & ~np.isin(rows, theirs[~among])
    met: Array = sure & np.isin(rows, theirs[among])
    strangers = _by_chance(twice, theirs_twice) * len(rows) / len(mine)
    return met if met.sum() > strangers + SIGMAS * math.sqrt(strangers) else np.zeros(len(rows), dtype=bool)


def _by_chance(twice: float, theirs_twice: float) -> float:
    """How many values different rows are expected to share at most; so many come up repeatedly on either side."""
    return 2 * math.sqrt(twice * theirs_twice)


def _most(seen: float) -> float:
    """What was perhaps expected of a count."""
    return seen + SIGMAS * math.sqrt(seen) + SIGMAS**2 / 2


def _has_room(table: pa.Table) -> bool:
    """Whether the values of the columns, if they came together freely, would seldom come together twice.

    A column counts as so many values as, equally frequent, would be alike as often: at most one for each row. Hence
    it takes two columns, and constant ones add nothing.
    """
    import numpy as np
    import pyarrow.compute as pc

    rows, room = len(table), 1.0
    for column in table.columns:
        counts = pc.value_counts(column).field("counts").to_numpy()
        room *= rows**2 / float(np.square(counts, dtype=float).sum())
    return room >= rows * min(rows, ROOM)


def _numbers_rows(column: pa.ChunkedArray) -> bool:
    """Whether a column tells no more than a row's number or place: 1, 2, 3 …, h1, h2 …, one day after the other.

    Of n values that were measured the closest two are about range / n² apart; ten times that is too even to be chance
    (e^-10). Two tables number different rows alike; what was measured comes up again only with its row.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_large_string(kind):
        digits = pc.replace_substring_regex(column, pattern="[^0-9]+", replacement="")
        column = pc.if_else(pc.equal(digits, ""), None, digits)
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    values = np.sort(column.drop_null().cast(pa.float64(), safe=False).to_numpy())
    if len(values) < 2 or len(values) < 0.9 * len(column):
        return False
    with np.errstate(invalid="ignore"):  # infinite values
        closest = float(np.diff(values).min())
        low, high = np.percentile(values, [25, 75])
        return closest > 0 and 2 * (high - low) / closest < len(values) ** 2 / 10


def written_alike(one: pa.Table, other: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The same columns, with kinds and numbers as the coarser of the two tables writes them."""
    import pyarrow as pa

    for place, name in enumerate(one.column_names):
        pair = [table[name] for table in (one, other)]
        if _differ(*pair):
            one, other = (
                table.set_column(place, name, column_kinds.loosely(column))
                for table, column in zip((one, other), pair, strict=True)
            )
            continue
        if all(pa.types.is_integer(column.type) or pa.types.is_floating(column.type) for column in pair):
            if all(pa.types.is_integer(column.type) for column in pair):
                continue
            values = [column.cast(pa.float64(), safe=False).to_numpy() for column in pair]
            decimals = min((found for found in map(_decimals, values) if found is not None), default=None)
            mine, theirs = (pa.array(_rounded(each, decimals), from_pandas=True) for each in values)
            one, other = one.set_column(place, name, mine), other.set_column(place, name, theirs)
    return one, other


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns are of kinds that no digest compares."""
    found = {hashing.kind(each.type) for each in (one, other)}
    return len(found) == 2 and found != {*column_kinds.NUMBERS}


def _decimals(values: Array) -> int | None:
    """How many decimals a column is written with; None when more than are compared."""
    import numpy as np

    values = values[np.isfinite(values)]
    return next((n for n in range(DIGITS) if np.allclose(np.round(values, n), values, rtol=1e-9, atol=0.0)), None)


def _rounded(values: Array, decimals: int | None) -> Array:
    import numpy as np

    if decimals is not None:
        values = np.round(values, decimals)
    with np.errstate(all="ignore"):  # zero, missing and infinite values stay as they are
        size = np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** (DIGITS - 1 - np.maximum(size, -290))
        return np.where(np.isfinite(values) & (values != np.floor(values)), np.rint(values * scale) / scale, values)


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
            met = _in_sorted(self.whole, other.whole)
            if self.plain is not None:
                met |= _in_sorted(self.plain, other.whole)
            if self.name == other.name and self.columns != other.columns:
                met[:] = True
            elif len(self.placed) and len(other.placed):
                met |= _in_sorted(self.placed, other.placed)
            by_value = elsewhere(other.dataset)
            found[met if by_value is None else met | by_value] += level
        return found


def _in_sorted(mine: Array, theirs: Array) -> Array:
    """For each of mine, whether it is one of theirs, which are sorted."""
    import numpy as np

    place = np.searchsorted(theirs, mine)
    return np.asarray(theirs[np.minimum(place, len(theirs) - 1)] == mine)


def holdout_rows(opened: loader.Opened) -> HoldoutRows:
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
