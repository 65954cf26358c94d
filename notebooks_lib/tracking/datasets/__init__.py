"""Versioned, fingerprinted tables: load, add, list. Importing it is cheap: pandas and Arrow come later."""

from notebooks_lib.tracking.datasets.catalog import Entry, catalog, load, open_holdout
from notebooks_lib.tracking.datasets.dataset import Dataset, Part
from notebooks_lib.tracking.datasets.usage import mlflow_dataset, parse_tag, tag_value, used

__all__ = [
    "Dataset",
    "Entry",
    "Part",
    "catalog",
    "load",
    "mlflow_dataset",
    "open_holdout",
    "parse_tag",
    "tag_value",
    "used",
]
