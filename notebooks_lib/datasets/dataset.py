"""A dataset and its parts, as a notebook holds them: frozen, without the holdout. It reads no file."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from notebooks_lib.datasets import canonical_types
from notebooks_lib.errors import HoldoutError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, eq=False, repr=False)
class Part:
    """The rows of one part of a dataset, in the order of its file. `len(part)` is the number of rows."""

    name: str
    """"train" or "validation"."""
    frame: pd.DataFrame
    """rows x all columns."""
    target: str | None
    features: tuple[str, ...]
    """All columns but target, key and group."""

    @property
    def X(self) -> pd.DataFrame:
        """Return the features of each row as a new data frame."""
        return self.frame[list(self.features)]

    @property
    def y(self) -> pd.Series | None:
        """Return the target of each row; None when the dataset has none."""
        return None if self.target is None else self.frame[self.target]

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        goal = f" -> {self.target}" if self.target else ""
        return f"<{self.name}: {len(self)} rows, {len(self.features)} features{goal}>"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named, versioned, fingerprinted table: its train and validation rows, and metadata of all rows."""

    name: str
    version: int
    fingerprint: str
    """sha256 of the content, 64 hexadecimal digits."""
    target: str | None
    """The column to predict, or None."""
    key: str | None
    """The column that identifies a row, or None."""
    group: str | None
    """The column whose equal values stay in one part, or None."""
    columns: Mapping[str, str]
    """Kind of each column: integer, number, boolean, text, time or instant."""
    rows: int
    """Rows in all parts."""
    rows_held_out: int
    """Rows in the holdout."""
    description: str
    source: str
    """Where the table came from."""
    train: Part
    validation: Part
    time: str | None = None
    """The column whose order assigns rows to parts, the holdout last; or None."""
    chosen: tuple[str, ...] = ()
    """Columns whose kind was given with `--kind`."""
    retired: int = 0
    """Rows of train and validation that were in the holdout until its uses were spent."""

    @property
    def ref(self) -> str:
        """Return "name@version"."""
        return f"{self.name}@{self.version}"

    @property
    def holdout(self) -> NoReturn:
        """Raise HoldoutError: only promotion may read the holdout, so that no model has seen the rows that judge it."""
        raise HoldoutError(
            f"{self.ref}: the holdout ({self.rows_held_out} rows) is read by promotion only, which judges models by "
            "rows that no experiment has seen; use .validation to choose between models"
        )

    @property
    def left(self) -> str:
        """Return a phrase with the number of rows that have been taken out of the holdout; empty if none were."""
        return f"; {self.retired} have left it" if self.retired else ""

    def __repr__(self) -> str:
        return f"<{self.ref}: " + ", ".join(f"{label} {value}" for label, value in self._facts()) + ">"

    def _repr_html_(self) -> str:
        style = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {style}>{html.escape(label)}</th><td {style}>{html.escape(value)}</td></tr>"
            for label, value in self._facts()
        )
        return f"<table><caption>{html.escape(self.ref)}</caption>{rows}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("train", f"{len(self.train)} rows"),
            ("validation", f"{len(self.validation)} rows"),
            ("holdout", f"{self.rows_held_out} rows for promotion only{self.left}"),
            ("features", str(len(self.train.features))),
        ]
        if self.target:
            facts.append(("target", self.target))
        return [*facts, ("fingerprint", self.fingerprint[:12]), ("from", self.source)]


def to_frame(table: pa.Table, *, like: pa.Table | None = None) -> pd.DataFrame:
    """Return a data frame of the types that MLflow accepts: missing is NaN, times are datetime64[ns], instants in UTC.

    Times have no zone. A column with a time that nanoseconds cannot hold (before 1678, after 2261) stays in
    microseconds. `like` is the whole table that these rows are a part of: it decides the types, so that a column has
    one type in all parts.
    """
    import numpy as np

    frame: pd.DataFrame = table.to_pandas()
    for name, kind in canonical_types.kinds(table).items():
        if kind in ("text", "boolean") and table[name].null_count:
            frame[name] = frame[name].mask(frame[name].isna(), np.nan)
        elif kind in ("time", "instant"):
            values = frame[name].dt.tz_localize(None) if kind == "instant" else frame[name]
            fits = _fits_nanoseconds((table if like is None else like)[name])
            frame[name] = values.astype("datetime64[ns]" if fits else "datetime64[us]")
    return frame


def _fits_nanoseconds(times: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    try:
        times.cast(pa.timestamp("ns", times.type.tz))
    except pa.ArrowInvalid:
        return False
    return True
