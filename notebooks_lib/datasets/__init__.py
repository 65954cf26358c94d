"""Versioned, fingerprinted tables: load, add, list. Importing it is cheap: pandas and Arrow come later."""

from notebooks_lib.datasets.dataset import Dataset, Part
from notebooks_lib.datasets.ingest import add
from notebooks_lib.datasets.loader import CatalogEntry, catalog, load, read
from notebooks_lib.datasets.run_datasets import used
from notebooks_lib.old_names import forwarding

__all__ = ["CatalogEntry", "Dataset", "Part", "add", "catalog", "load", "read", "used"]

__getattr__ = forwarding(__name__)
