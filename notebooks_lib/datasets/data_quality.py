"""Warnings about a dataset that a person should look at: text that looks like numbers, rows that look alike.

Results hold names, shares and counts, never a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebooks_lib.datasets import column_kinds, loader
from notebooks_lib.datasets.dataset import Dataset
from notebooks_lib.datasets.holdout_leakage import share_seen_in_training
from notebooks_lib.settings import Settings, here

if TYPE_CHECKING:
    import pandas as pd


ALIKE = 0.05
"""Share of holdout rows that may have the features of a training row before it is remarked on."""


MOST_CLASSES = 20
"""With more different values, a target of numbers is an amount, not a class."""
FREE_TEXT = 0.5
"""Share of different texts in a column above which it is remarked on as free text."""


def class_shares(dataset: Dataset) -> dict[str, float]:
    """Return the share of each class of the target in the train and validation rows, the commonest first.

    Empty without a target, and for a target that is an amount.
    """
    if not has_classes(dataset):
        return {}
    shares = target_values(dataset).value_counts(normalize=True)
    return {str(name): float(share) for name, share in shares.items()}


def has_classes(dataset: Dataset) -> bool:
    """Guess whether the target holds classes: text, booleans, or few different numbers without a fraction."""
    kind = dataset.columns[dataset.target] if dataset.target else ""
    if kind not in column_kinds.NUMBERS:
        return kind in ("text", "boolean")
    values = target_values(dataset).dropna().unique()
    return len(values) <= MOST_CLASSES and not has_fractions(dataset)


def has_fractions(dataset: Dataset) -> bool:
    """Return whether a target of numbers holds some that are not whole, which no classifier takes for classes."""
    values = target_values(dataset).dropna()
    return bool((values % 1 != 0).any())


def target_values(dataset: Dataset) -> pd.Series:
    """Return the target in the train and validation rows."""
    import pandas as pd

    values: pd.Series = pd.concat([dataset.train.y, dataset.validation.y])
    return values


def count_missing(ref: str, column: str, settings: Settings) -> int:
    """Return how many rows of a dataset version, over all parts, have no value in a column."""
    return int(loader.open_table(ref, settings).table[column].to_pandas().isna().sum())


def remarks(dataset: Dataset, settings: Settings | None = None) -> list[str]:
    """Return warnings about a dataset version, such as columns of text that look like numbers or times.

    Another warns that many holdout rows have the features of train or validation rows.
    """
    texts = []
    settings = settings or here()
    resemblances = look_alikes(dataset)
    for column in (column for column, kind in dataset.columns.items() if kind == "text"):
        if column in resemblances:
            texts.append(f"column {column!r} is text: {resemblances[column]}")
        elif column in dataset.train.features and dataset.train.frame[column].nunique() > MOST_CLASSES:
            texts += _free_text(dataset, column, settings)
    texts += _rare_class(dataset, settings.promotion.min_class_rows)
    alike = 0.0 if dataset.group or dataset.key or dataset.time else share_seen_in_training(dataset.ref, settings)
    if alike > ALIKE:
        texts.append(
            f"{alike:.0%} of the holdout has the same features as rows of train or validation; rows that belong "
            "together (of one customer, one day) want --group COLUMN under another --name, or a model knows the answers"
        )
    return texts


def look_alikes(dataset: Dataset) -> dict[str, str]:
    """Return for each column of text that looks like numbers or dates what it looks like, and what to do.

    A column whose kind was chosen is text on purpose, such as a code.
    """
    texts = [column for column, kind in dataset.columns.items() if kind == "text" and column not in dataset.chosen]
    values = {column: dataset.train.frame[column].dropna().astype(str) for column in texts}
    alike = {column: _looks_like(column, present) for column, present in values.items() if len(present)}
    return {column: resemblance for column, resemblance in alike.items() if resemblance}


def _free_text(dataset: Dataset, column: str, settings: Settings) -> list[str]:
    """Return a remark on a column of text whose values hardly repeat; empty for any other."""
    values = loader.open_table(dataset.ref, settings).table[column].to_pandas().dropna()
    if values.nunique() <= FREE_TEXT * len(values):
        return []
    rows = f"{len(values)} rows" + (" that have one" if len(values) < dataset.rows else "")
    return [
        f"column {column!r} holds {values.nunique()} different texts in {rows}: free text, or a name of the row; "
        "consider leaving it out of the file"
    ]


def _rare_class(dataset: Dataset, least: int) -> list[str]:
    """Return a remark if the holdout probably has too few rows of the rarest class to decide a promotion."""
    shares = class_shares(dataset)
    if not shares:
        return []
    rarest = min(shares, key=lambda name: shares[name])
    rows = round(shares[rarest] * dataset.rows_held_out)
    if rows >= least:
        return []
    return [
        f"about {rows} of the {dataset.rows_held_out} holdout rows are of class {rarest!r}, and promotion wants "
        f"{least} (min_class_rows): add rows, or it stays undecided"
    ]


def _looks_like(column: str, values: pd.Series[str]) -> str:
    """Return which other kind the texts of a column resemble, and what to do; empty for texts that do not."""
    times = [column_kinds.parse_time(value) for value in values]
    if all(times):
        kinds = {"instant" if time and time.tzinfo else "time" for time in times}
        return f"all values are dates; if it is one, say --kind {column}={kinds.pop()}" if len(kinds) == 1 else ""
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
