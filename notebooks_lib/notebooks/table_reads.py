"""Find the readers by which a notebook reads tables itself: nbops cannot know their rows."""

from __future__ import annotations

import ast

from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.project_modules import ProjectModules

KINDS = "csv table parquet excel json feather pickle sql sql_query sql_table hdf orc stata sas spss fwf xml html gbq"


READERS = {
    *(f"read_{kind}" for kind in (*KINDS.split(), "ipc", "delta", "database", "avro")),
    *(f"scan_{kind}" for kind in ("csv", "parquet", "ipc", "ndjson", "delta", "iceberg")),
    *("loadtxt", "genfromtxt", "fromfile", "load_dataset", "load_svmlight_file", "read_clipboard", "DictReader"),
    *(f"load_{name}" for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")),
    *(f"fetch_{name}" for name in ("openml", "california_housing", "covtype", "kddcup99", "species_distributions")),
}
"""Functions of pandas, Polars, NumPy, Dask, scikit-learn and Hugging Face that read a table, by their last name."""


BY_MODULE = {
    **{module: {"load"} for module in ("np", "numpy", "joblib", "pickle", "cloudpickle", "dill")},
    "csv": {"reader"},
    "read": {"csv", "json", "load", "orc", "parquet", "table"},
    "duckdb": {"connect", "execute", "from_csv_auto", "from_parquet", "query", "sql"},
}
"""Names that are common elsewhere, by the name before the dot; `read` is Spark's."""


def find_table_reads(notebook: Notebook, modules: ProjectModules) -> str:
    """Return the first call in cells or `modules` that reads a table, as "cell 3: read_csv"; empty if there is none.

    A function with another name, or in an installed package, is not found.
    """
    for cell in notebook.python_cells:
        if cell.code.tree is not None and (name := _reader(cell.code.tree)):
            return f"cell {cell.index}: {name}"
    for module, tree in modules.trees():
        if name := _reader(tree):
            return f"{module}: {name}"
    return ""


def _reader(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else expressions.dotted(node.func)
            if name in READERS:
                return name
            module = expressions.dotted(node.func).split(".")[-2:-1]
            if module and name in BY_MODULE.get(module[0], ()):
                return f"{module[0]}.{name}"
    return ""
