"""Versioned, fingerprinted tables: load, add, list. Importing it is cheap: pandas and Arrow come later."""

from notebooks_lib.tracking.datasets.access import Entry, catalog, load, own, read
from notebooks_lib.tracking.datasets.adding import add, remarks
from notebooks_lib.tracking.datasets.dataset import Dataset, Part
from notebooks_lib.tracking.datasets.trained import Trained, trained_on
from notebooks_lib.tracking.datasets.usage import log_input, mlflow_dataset, parse_tag, tag_value, used

__all__ = [
    "Dataset",
    "Entry",
    "Part",
    "Trained",
    "add",
    "catalog",
    "load",
    "log_input",
    "mlflow_dataset",
    "own",
    "parse_tag",
    "read",
    "remarks",
    "tag_value",
    "trained_on",
    "used",
]
