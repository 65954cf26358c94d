"""Readers of tables are found in a notebook and in the modules of its project."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, warm_kernel_conflicts
from notebooks_lib.notebooks.project_modules import ProjectModules
from notebooks_lib.notebooks.table_reads import find_table_reads
from tests import building


def found(tmp_path: Path, *cells: str) -> list[str]:
    notebook = document.read(building.write(tmp_path / "n.ipynb", *cells))
    return warm_kernel_conflicts.find_early_settings(notebook, ProjectModules(notebook, tmp_path))


def reads(path: Path) -> str:
    notebook = document.read(path)
    return find_table_reads(notebook, ProjectModules(notebook, path.parent))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pandas as pd\nrows = pd.read_csv('../churn.csv')", "read_csv"),
        ("from pandas import read_parquet\nrows = read_parquet(path)", "read_parquet"),
        ("import polars\nrows = polars.scan_csv('x.csv').collect()", "scan_csv"),
        ("rows = __import__('pandas').read_excel('x.xlsx')", "read_excel"),
        ("import numpy as np\nrows = np.loadtxt('x.txt')", "loadtxt"),
        ("rows = pd.concat(pd.read_csv(each) for each in files)", "read_csv"),
        ("def load():\n    return pd.read_sql('select 1', engine)", "read_sql"),
        ("%time rows = pd.read_json('x.json')", "read_json"),
        ("rows = fetch_openml('adult')", "fetch_openml"),
        ("from sklearn.datasets import load_diabetes\nX, y = load_diabetes(return_X_y=True)", "load_diabetes"),
        ("import csv\nrows = list(csv.reader(open('x.csv')))", "csv.reader"),
        ("rows = list(csv.DictReader(open('x.csv')))", "DictReader"),
        ("import numpy as np\nrows = np.load('x.npy')", "np.load"),
        ("rows = spark.read.parquet('x')", "read.parquet"),
        ("rows = duckdb.sql('from x.csv').df()", "duckdb.sql"),
        ("data = datasets.load('churn@1')", ""),
        ("config = json.load(open('x.json'))", ""),
        ("rows = data.train.frame  # not pd.read_csv('x')", ""),
        ("text = 'pd.read_csv'", ""),
        ("reader = csv_reader('x')", ""),
    ],
)
def test_readers_are_found_by_their_names(tmp_path: Path, code: str, found: str):
    path = building.write(tmp_path / "n.ipynb", "x = 1", code)
    said = reads(path)
    assert said.partition(": ")[2] == found
    assert (said == "") == (found == "")


def test_readers_in_the_projects_modules_are_found(tmp_path: Path):
    (tmp_path / "mine.py").write_text("import pandas as pd\n\ndef rows():\n    return pd.read_csv('x.csv')\n")
    path = building.write(tmp_path / "n.ipynb", "import mine")
    assert reads(path) == "mine.py: read_csv"
