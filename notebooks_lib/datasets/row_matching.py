"""Recognise rows of one table in another: by digest, or by value where the other table has other columns.

It opens no file and no store. A re-export of a table may have lost a column, gained one, or renamed one. Its rows are
recognised by the columns that both tables have, which is safe only where those columns tell rows apart. So tables must
first show that they share rows:

- More combinations of values occur in both tables than chance explains. Of tables of different rows, from whatever
  populations, at most 2 sqrt(a b) are expected to, when a and b occur repeatedly in the one and in the other. (Let a
  value be expected x times: it occurs with chance g(x), repeatedly with h(x), and g(x)² <= 2 h(x).)
- That holds for rows that were drawn, not for rows that were numbered or laid out alike. So columns that merely
  number the rows are left out, and the others must have room for many more rows than there are: a full grid (each
  shop on each day, each dose at each temperature) has none. A table counts as derived from another, and all its
  columns count, only where one has all columns of the other and most rows of the smaller are found.

A row is recognised when all rows equal to it, in both tables, are on the side in question.
"""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Any

from notebooks_lib import text_values
from notebooks_lib.datasets import canonical_types, column_kinds, table_hashing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

SIGMAS = 4.0
"""Standard deviations that chance is allowed. Tables in which no two rows are equal must share 17 rows."""
ROOM = 10
"""Combinations that the values of the shared columns must allow, for each row."""
MOST = 0.9
"""Share of a derived table's rows that are found in the other."""
DIGITS = 6
"""Significant digits by which floats are compared: 32 bits hold seven, and many programs write six."""


def recognise_rows(mine: pa.Table, my_rows: Array, theirs: pa.Table, their_rows: Array) -> Array:
    """Return a mask over the rows selected by `my_rows`: True for those that are also among the rows of `their_rows`.

    `my_rows` and `their_rows` are masks over the rows of the tables `mine` and `theirs`, which are as
    `canonical_types.normalise` returns them. No row is recognised unless the tables are shown to share rows. A
    recognised row may have fewer digits, whole numbers as 1 or 1.0, or another order of columns.
    """
    import numpy as np

    shared = [name for name in mine.column_names if name in theirs.column_names]
    if len(shared) < 2:
        return np.zeros(int(my_rows.sum()), dtype=bool)
    my_table, their_table = written_alike(mine.select(shared), theirs.select(shared))
    if len(shared) in (mine.num_columns, theirs.num_columns):
        matches = _matches_by_value(my_table, my_rows, their_table, their_rows, least=MOST)
        if matches.any():
            return matches
    telling = [name for name in shared if not (_numbers_rows(my_table[name]) or _numbers_rows(their_table[name]))]
    my_table, their_table = my_table.select(telling), their_table.select(telling)
    if _has_room(my_table) and _has_room(their_table):
        return _matches_by_value(my_table, my_rows, their_table, their_rows)
    return np.zeros(int(my_rows.sum()), dtype=bool)


def _matches_by_value(
    my_table: pa.Table, my_rows: Array, their_table: pa.Table, their_rows: Array, *, least: float = 0.0
) -> Array:
    """Return which of my rows are among theirs, if the tables share rows.

    Where rows are often equal, a row that is not shared may equal a stranger; as many as chance explains do not count.
    """
    import numpy as np

    mine, theirs = (table_hashing.folded_digests(table)[:, 0].astype(np.uint64) for table in (my_table, their_table))
    values, counts = np.unique(mine, return_counts=True)
    their_values, their_counts = np.unique(theirs, return_counts=True)
    both = np.isin(values, their_values, assume_unique=True).sum()
    twice, theirs_twice = (float((repeats > 1).sum()) for repeats in (counts, their_counts))
    rows = mine[my_rows]
    if both < least * min(len(values), len(their_values)) or both <= _by_chance(_most(twice), _most(theirs_twice)):
        return np.zeros(len(rows), dtype=bool)
    sure = ~np.isin(rows, mine[~my_rows]) & ~np.isin(rows, theirs[~their_rows])
    matches: Array = sure & np.isin(rows, theirs[their_rows])
    strangers = _by_chance(twice, theirs_twice) * len(rows) / len(mine)
    return matches if matches.sum() > strangers + SIGMAS * math.sqrt(strangers) else np.zeros(len(rows), dtype=bool)


def _by_chance(twice: float, theirs_twice: float) -> float:
    """Return how many values different rows are expected to share at most, given the repeated values of each side."""
    return 2 * math.sqrt(twice * theirs_twice)


def _most(count: float) -> float:
    """Return the largest count that may have been expected where `count` was observed."""
    return count + SIGMAS * math.sqrt(count) + SIGMAS**2 / 2


def _has_room(table: pa.Table) -> bool:
    """Return whether the values of the columns, combined freely, would rarely give the same row twice.

    A column counts as many equally frequent values as would be equal as often, at most one for each row. Hence it takes
    two columns, and constant ones add nothing.
    """
    import numpy as np
    import pyarrow.compute as pc

    rows, room = len(table), 1.0
    for column in table.columns:
        counts = pc.value_counts(column).field("counts").to_numpy()
        room *= rows**2 / float(np.square(counts, dtype=float).sum())
    return room >= rows * min(rows, ROOM)


def _numbers_rows(column: pa.ChunkedArray) -> bool:
    """Return whether a column only numbers the rows: 1, 2, 3 …, h1, h2 …, one day after the other.

    The closest two of n measured values are about range / n² apart; ten times that is too even to be chance (e^-10).
    Two tables number different rows alike; a measured value recurs only with its row.
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


def written_alike(first: pa.Table, second: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return both tables with each column rounded and typed as the less precise table has it."""
    import pyarrow as pa

    for place, name in enumerate(first.column_names):
        pair = [table[name] for table in (first, second)]
        if _differ(*pair):
            first, second = (
                table.set_column(place, name, _loosely(column))
                for table, column in zip((first, second), pair, strict=True)
            )
            continue
        if all(pa.types.is_integer(column.type) or pa.types.is_floating(column.type) for column in pair):
            if all(pa.types.is_integer(column.type) for column in pair):
                continue
            values = [column.cast(pa.float64(), safe=False).to_numpy() for column in pair]
            decimals = min((number for number in map(_decimals, values) if number is not None), default=None)
            mine, theirs = (pa.array(_rounded(numbers, decimals), from_pandas=True) for numbers in values)
            first, second = first.set_column(place, name, mine), second.set_column(place, name, theirs)
    return first, second


def _differ(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    """Return whether two columns are of kinds that digests cannot compare."""
    kinds = {canonical_types.kind(column.type) for column in (first, second)}
    return len(kinds) == 2 and kinds != {*column_kinds.NUMBERS}


def _decimals(values: Array) -> int | None:
    """Return how many decimals a column is written with; None when more than are compared."""
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


def _loosely(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return what the values of a column may mean, as texts: 00501, 501 and 501.0 are equal, instants are UTC times.

    It compares columns of different kinds, where one of the files has lost how values were written.
    """
    import pyarrow as pa

    texts = column_kinds.as_texts(column)
    unique = texts.unique()
    values = pa.array([None if text is None else _loose(text) for text in unique.to_pylist()], pa.large_string())
    places = [pa.compute.index_in(chunk, unique) for chunk in texts.chunks]
    return pa.chunked_array([values.take(chunk_places) for chunk_places in places], pa.large_string())


def _loose(text: str) -> str | None:
    bare = text.strip()
    if bare in text_values.MISSING:
        return None
    if bare in text_values.BOOLEANS:
        return str(int(text_values.BOOLEANS[bare]))
    try:
        value = int(bare, 16) if bare[:2].lower() == "0x" else float(bare)
        return (
            repr(int(value))
            if value == value and abs(value) < column_kinds.EXACT and value == int(value)
            else repr(value)
        )
    except (ValueError, OverflowError):
        at = column_kinds.parse_time(bare)
    if at is None:
        return text
    return (at.astimezone(datetime.UTC) if at.tzinfo else at).replace(tzinfo=None).isoformat()
