"""Faults of a dataset that a person should look at: a holdout unlike the training rows, columns of a doubtful kind.

Results hold names, shares and counts, never a row. Rows are assigned to parts by digest, so the parts are alike unless
rows come in groups, or something went wrong with the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from notebooks_lib.datasets import column_kinds, loader
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.holdout_leakage import share_seen_in_training
from notebooks_lib.errors import DatasetError
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import pandas as pd

ALLOWED = 0.05
"""Share of holdout rows that may differ from the training rows, beyond what chance explains."""
ALIKE = 0.05
"""Share of holdout rows that may have the features of a training row before it is remarked on."""
CATEGORIES = 50
"""A text column with more distinct training values than this is free text or names: new values are no fault."""
SIGMAS = 4.0


def holdout_faults(ref: str, settings: Settings) -> tuple[str, ...]:
    """Return a line for each way in which the holdout differs from the training rows.

    Checked are missing values, values out of range and new categories. Columns whose kind differs from the previous
    version are listed too.
    """
    opened = loader.open_table(ref, settings)
    apart = {opened.metadata.key, opened.metadata.group}
    frame = opened.table.to_pandas()
    train, held = frame[opened.masks["train"]], frame[opened.masks["holdout"]]
    lines = list(_kinds(opened, settings))
    for name, kind in opened.metadata.columns.items():
        if name not in apart:
            lines += [f"column {name!r}: {line}" for line in _unlike(train[name], held[name], kind)]
    return tuple(lines)


def count_missing(ref: str, column: str, settings: Settings) -> int:
    """Return how many rows of a dataset version, over all parts, have no value in a column."""
    return int(loader.open_table(ref, settings).table[column].to_pandas().isna().sum())


def _kinds(opened: loader.Opened, settings: Settings) -> Iterator[str]:
    store = loader.project_store(settings)
    before = [version for version in store.versions(opened.name) if version < opened.version]
    if not before:
        return
    try:
        old = store.metadata(opened.name, before[-1]).columns
    except DatasetError:
        return  # the earlier version is damaged, which is reported elsewhere
    for name, kind in opened.metadata.columns.items():
        if name in old and old[name] != kind and {old[name], kind} != {"integer", "number"}:
            yield f"column {name!r} was {old[name]} in {opened.name}@{before[-1]} and is {kind} now"


def _unlike(train: pd.Series[Any], held: pd.Series[Any], kind: str) -> Iterator[str]:
    """Yield what the holdout has in a column that the training rows have not."""
    missing, before = float(held.isna().mean()), float(train.isna().mean())
    if missing > _beyond(before, len(held), len(train)):
        yield f"{missing:.0%} is missing in the holdout, {before:.0%} in train"
    trained, new = train.dropna(), held.dropna()
    if trained.empty or new.empty:
        return
    if kind == "text":
        seen = set(trained)
        odd = float((~new.isin(seen)).mean()) if len(seen) <= CATEGORIES else 0.0
        # Values seen once estimate the share of values not seen yet (Good 1953).
        once = int((trained.value_counts() == 1).sum())
        if odd > _beyond((once + 1) / (len(trained) + 1), len(new), len(trained)):
            yield f"{odd:.0%} of the holdout has values that train has not"
    elif kind != "boolean":
        odd = float(((new < trained.min()) | (new > trained.max())).mean())
        if odd > _beyond(2 / (len(trained) + 1), len(new), len(trained)):
            yield f"{odd:.0%} of the holdout lies outside what train holds, {trained.min()} to {trained.max()}"


def _beyond(share: float, held: int, train: int) -> float:
    """Return the largest share that chance and the tolerance together allow."""
    share = min(share, 1.0)
    return ALLOWED + share + SIGMAS * math.sqrt(max(share * (1 - share), 1 / train) * (1 / held + 1 / train))


def remarks(dataset: Dataset, settings: Settings | None = None) -> list[str]:
    """Return warnings about a dataset version, such as columns of text that look like numbers or times.

    Another warns that many holdout rows have the features of train or validation rows.
    """
    texts = []
    for column, kind in dataset.columns.items():
        if kind == "text":
            values = dataset.train.frame[column].dropna().astype(str)
            resemblance = _looks_like(column, values) if len(values) else ""
            if resemblance:
                texts.append(f"column {column!r} is text: {resemblance}")
    alike = (
        0.0 if dataset.group or dataset.key or dataset.time else share_seen_in_training(dataset.ref, settings or here())
    )
    if alike > ALIKE:
        texts.append(
            f"{alike:.0%} of the holdout has the same features as rows of train or validation; rows that belong "
            "together (of one customer, one day) want --group COLUMN under another --name, or a model knows the answers"
        )
    return texts


def _looks_like(column: str, values: pd.Series[str]) -> str:
    """Return which other kind the texts of a column resemble, and what to do; empty for texts that do not."""
    odd = values[[not _is_number(value) for value in values]]
    if odd.empty:
        lossy = next((value for value in values if column_kinds.parse_number(value) is None), None)
        if lossy is None:
            return f"all values are numbers; if it is one, say --kind {column}=number"
        return f"as a number {lossy!r} would be written {float(lossy):.15g}; if it is one, say --kind {column}=number"
    if len(odd) <= len(values) / 10:
        return (
            f"{len(values) - len(odd)} of {len(values)} values are numbers, but not {odd.iloc[0]!r}; "
            "leave a field empty when its value is missing"
        )
    for pattern, advice in _FOREIGN:
        if odd.str.fullmatch(pattern).mean() > 0.9:
            return f"{odd.iloc[0]!r} {advice}"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_FOREIGN = (
    (r"\s*[+-]?\d{1,3}([.\u00a0' ]\d{3})*,\d+\s*|\s*[+-]?\d+,\d+\s*", "has a comma; write numbers with a point: 12.50"),
    (r"\s*\d{1,2}\s?[./-]\s?\d{1,2}\s?[./-]\s?(\d{4}|\d{2})( .*)?", "is no ISO date; write dates as 2026-12-31"),
)
"""Notations of numbers and dates of other countries. They cannot be read safely: 1,234 and 01/02 are ambiguous."""
