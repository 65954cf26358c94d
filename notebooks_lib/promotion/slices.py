"""Cuts the holdout by the columns that the settings name, and scores both models on each piece. It judges nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import UnknownNameError
from notebooks_lib.metrics.metric import gain
from notebooks_lib.promotion.evidence import Slice

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.datasets import Dataset, Part
    from notebooks_lib.metrics.metric import Answers, Metric, Truth

    Array = np.ndarray[Any, Any]

VALUES = 12
"""A column with more values than this is cut in quarters when it holds numbers, else its rarer values go together."""


def check(columns: Sequence[str], data: Dataset) -> None:
    """Raise UnknownNameError for a column that the dataset has not."""
    for name in columns:
        if name not in data.columns:
            raise UnknownNameError(f"column of {data.ref} in promotion.slices", name, data.columns)


def cut(
    columns: Sequence[str], data: Dataset, part: Part, metric: Metric, truth: Truth, both: tuple[Answers, Answers]
) -> tuple[Slice, ...]:
    """A slice for each value of each column, in the order of the columns."""
    found = []
    for name in columns:
        for value, places in _pieces(name, data, part):
            new, old = (_score(metric, truth.at(places), each.at(places)) for each in both)
            found.append(Slice(name, value, len(places), new, old, gain(metric.direction, new, old)))
    return tuple(found)


def _score(metric: Metric, truth: Truth, answers: Answers) -> float:
    try:
        return float(metric.score(truth, answers))
    except Exception:  # noqa: BLE001 - undefined there, as for one class alone, or a metric of somebody's own
        return float("nan")


def _pieces(name: str, data: Dataset, part: Part) -> Iterator[tuple[str, Array]]:
    import numpy as np
    import pandas as pd

    column, known = part.frame[name], data.train.frame[name]
    names: list[str] = []
    if data.columns[name] in ("integer", "number") and known.nunique() > VALUES:
        edges = np.unique(np.nanquantile(known.to_numpy(dtype=float), [0.25, 0.5, 0.75]))
        codes = np.searchsorted(edges, column.to_numpy(dtype=float), side="left")
        names = [f"to {edges[0]:.4g}", *(f"{a:.4g} to {b:.4g}" for a, b in itertools.pairwise(edges))]
        names.append(f"over {edges[-1]:.4g}")
        labels = pd.Series(names).take(codes).reset_index(drop=True)
    else:
        common = set(known.astype(str).value_counts().index[:VALUES])
        labels = column.astype(str).reset_index(drop=True)
        labels = labels.where(labels.isin(common), "others")
    labels = labels.where(~column.isna().reset_index(drop=True), "missing")
    here = set(labels)
    for value in [*(name for name in names if name in here), *sorted(here - set(names))]:
        yield str(value), np.flatnonzero((labels == value).to_numpy())
