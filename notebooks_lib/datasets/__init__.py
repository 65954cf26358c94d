"""Versioned, fingerprinted tables: load, add, list. Importing it is cheap: pandas and Arrow come later."""

from notebooks_lib.datasets.data_faults import remarks
from notebooks_lib.datasets.dataset import Dataset, Part
from notebooks_lib.datasets.ingest import add
from notebooks_lib.datasets.lineage import log_input, mlflow_dataset, parse_tag, tag_value, used
from notebooks_lib.datasets.loader import CatalogEntry, catalog, load, own, read

__all__ = [
    "CatalogEntry",
    "Dataset",
    "Part",
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
    "used",
]
