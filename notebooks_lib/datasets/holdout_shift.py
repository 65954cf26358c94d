"""Find columns of a holdout that are unlike those of the training rows.

Results hold names, shares and counts, never a row. Rows are assigned to parts by digest, so the parts are alike unless
rows come in groups, or something went wrong with the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from notebooks_lib.dataset_tag import DatasetTag
from notebooks_lib.datasets import loader, version_lookup
from notebooks_lib.errors import DatasetError
from notebooks_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

ALLOWED = 0.05
"""Share of holdout rows that may differ from the training rows, beyond what chance explains."""


CATEGORIES = 50
"""A text column with more distinct training values than this is free text or names: new values are no fault."""


SIGMAS = 4.0


def holdout_faults(ref: str, settings: Settings) -> tuple[str, ...]:
    """Return a line for each way in which the holdout differs from the training rows.

    Checked are missing values, values out of range and new categories.
    """
    opened = loader.open_table(ref, settings)
    apart = {opened.metadata.key, opened.metadata.group}
    frame = opened.table.to_pandas()
    train, held = frame[opened.masks["train"]], frame[opened.masks["holdout"]]
    lines: list[str] = []
    for name, kind in opened.metadata.columns.items():
        if name not in apart:
            lines += [f"column {name!r}: {line}" for line in _unlike(train[name], held[name], kind)]
    return tuple(lines)


def changed_kinds(ref: str, trained_on: str, settings: Settings) -> str:
    """Return which columns of a dataset version have another kind than in the version that a model was trained on.

    `trained_on` is the value of a run's tag. Empty when none has, or it names another dataset.
    """
    try:
        name, version = DatasetTag.parse(trained_on).version()
        if f"{name}@{version}" == ref or name != ref.partition("@")[0]:
            return ""
        old = version_lookup.project_store(settings).metadata(name, version).columns
    except DatasetError:
        return ""  # an unreadable tag, or a damaged version, which is reported elsewhere
    return ", ".join(
        f"{column}: {old[column]} -> {kind}"
        for column, kind in loader.open_table(ref, settings).metadata.columns.items()
        if column in old and old[column] != kind and {old[column], kind} != {"integer", "number"}
    )


def _unlike(train: pd.Series[Any], held: pd.Series[Any], kind: str) -> Iterator[str]:
    """Yield what the holdout has in a column that the training rows have not."""
    missing, before = float(held.isna().mean()), float(train.isna().mean())
    if missing > _beyond(before, len(held), len(train)):
        yield f"{missing:.0%} is missing in the holdout, {before:.0%} in train"
    trained, new = train.dropna(), held.dropna()
    if trained.empty or new.empty:
        return
    if kind == "text":
        train_values = set(trained)
        odd = float((~new.isin(train_values)).mean()) if len(train_values) <= CATEGORIES else 0.0
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
