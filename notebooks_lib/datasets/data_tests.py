"""Tests whether the holdout of a dataset looks like its training rows. It gives out names, shares and counts, no row.

The parts are dealt by digest, so they are alike unless rows come in groups, or something went wrong with the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import loader, storage
from notebooks_lib.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

    from notebooks_lib.settings import Settings

ALLOWED = 0.05
"""Share of holdout rows that may be unlike, beyond what chance explains."""
CATEGORIES = 50
"""A column of text with more values than this in train is free text, or names things: new ones are no fault."""
SIGMAS = 4.0


def faults(ref: str, settings: Settings) -> tuple[str, ...]:
    """What is wrong, a line each: kinds since the version before, missing values, ranges, unknown categories."""
    found = loader.open_table(ref, settings)
    apart = {found.record.key, found.record.group}
    frame = found.table.to_pandas()
    train, held = frame[found.masks["train"]], frame[found.masks["holdout"]]
    lines = list(_kinds(found, settings))
    for name, kind in found.record.columns.items():
        if name not in apart:
            lines += [f"column {name!r}: {line}" for line in _unlike(train[name], held[name], kind)]
    return tuple(lines)


def missing(ref: str, column: str, settings: Settings) -> int:
    """How many rows of a version, whatever their part, have no value in a column."""
    return int(loader.open_table(ref, settings).table[column].to_pandas().isna().sum())


def _kinds(found: loader.Opened, settings: Settings) -> Iterator[str]:
    before = [number for number in storage.numbers(settings.data_folder, found.name) if number < found.version]
    if not before or found.record.source == loader.BUNDLED:
        return
    try:
        old = storage.read_record(settings.data_folder, found.name, before[-1]).columns
    except DatasetError:
        return  # it is damaged; that is another matter
    for name, kind in found.record.columns.items():
        if name in old and old[name] != kind and {old[name], kind} != {"integer", "number"}:
            yield f"column {name!r} was {old[name]} in {found.name}@{before[-1]} and is {kind} now"


def _unlike(train: pd.Series[Any], held: pd.Series[Any], kind: str) -> Iterator[str]:
    missing, before = float(held.isna().mean()), float(train.isna().mean())
    if missing > _beyond(before, len(held), len(train)):
        yield f"{missing:.0%} is missing in the holdout, {before:.0%} in train"
    known, new = train.dropna(), held.dropna()
    if known.empty or new.empty:
        return
    if kind == "text":
        seen = set(known)
        odd = float((~new.isin(seen)).mean()) if len(seen) <= CATEGORIES else 0.0
        # What came once foretells what has not come yet (Good 1953).
        once = int((known.value_counts() == 1).sum())
        if odd > _beyond((once + 1) / (len(known) + 1), len(new), len(known)):
            yield f"{odd:.0%} of the holdout has values that train has not"
    elif kind != "boolean":
        odd = float(((new < known.min()) | (new > known.max())).mean())
        if odd > _beyond(2 / (len(known) + 1), len(new), len(known)):
            yield f"{odd:.0%} of the holdout lies outside what train holds, {known.min()} to {known.max()}"


def _beyond(share: float, held: int, train: int) -> float:
    """What chance explains of a share, and what is allowed above it."""
    share = min(share, 1.0)
    return ALLOWED + share + SIGMAS * math.sqrt(max(share * (1 - share), 1 / train) * (1 / held + 1 / train))
