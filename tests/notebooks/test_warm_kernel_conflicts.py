"""What a notebook sets before an import is found, however it is set, and so is each table that it reads by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, warm_kernel_conflicts
from notebooks_lib.notebooks.project_modules import ProjectModules
from notebooks_lib.notebooks.warm_kernel_conflicts import find_table_reads
from tests import building


def found(tmp_path: Path, *cells: str) -> list[str]:
    notebook = document.read(building.write(tmp_path / "n.ipynb", *cells))
    return warm_kernel_conflicts.find_early_settings(notebook, ProjectModules(notebook, tmp_path))


def sets(name: str) -> list[str]:
    return [f"cell 0 sets {name} before an import, which may read it"]


@pytest.mark.parametrize(
    "line",
    [
        "import os\nos.environ['SCIPY_ARRAY_API'] = '1'",
        "from os import environ\nenviron['SCIPY_ARRAY_API'] = '1'",
        "import os as o\no.environ.setdefault('SCIPY_ARRAY_API', '1')",
        "import os\nos.environ.update({'SCIPY_ARRAY_API': '1'})",
        "import os\nos.environ.update(SCIPY_ARRAY_API='1')",
        "import os\nos.environ |= {'SCIPY_ARRAY_API': '1'}",
        "import os\nos.putenv('SCIPY_ARRAY_API', '1')",
        "import os\nif True:\n    os.environ['SCIPY_ARRAY_API'] = '1'",
        "%env SCIPY_ARRAY_API=1",
        "%set_env SCIPY_ARRAY_API 1",
    ],
)
def test_a_variable_set_before_an_import_is_found(line: str, tmp_path: Path) -> None:
    assert found(tmp_path, line, "import scipy") == sets("SCIPY_ARRAY_API")


def test_what_cannot_be_read_counts_as_any_variable(tmp_path: Path) -> None:
    assert found(tmp_path, "import os\nfor name in names:\n    os.environ[name] = '1'\nimport scipy") == sets(
        "variables"
    )
    assert found(tmp_path, "import os\nos.environ.update(settings)", "import scipy") == sets("variables")


@pytest.mark.parametrize(
    "cells",
    [
        ("import os, scipy", "os.environ['SCIPY_ARRAY_API'] = '1'"),  # no import reads it any more
        ("import os\nos.environ['MLFLOW_TRACKING_URI'] = 'x'", "import mlflow"),
        ("import os\nprint(os.environ['SCIPY_ARRAY_API'])", "import scipy"),
        ("environ = {}\nenviron['SCIPY_ARRAY_API'] = '1'", "import scipy"),
        ("this is no python", "import scipy"),
    ],
)
def test_a_variable_that_no_import_reads_is_not_reported(cells: tuple[str, ...], tmp_path: Path) -> None:
    assert found(tmp_path, *cells) == []


@pytest.mark.parametrize(
    "line", ["%pip install -q x", "!pip install x", "!{sys.executable} -m pip install x", "%conda install x"]
)
def test_a_notebook_that_installs_packages_is_found(line: str, tmp_path: Path) -> None:
    assert found(tmp_path, line, "import x") == ["cell 0 installs packages"]
    call = "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'x'])\nimport x"
    assert found(tmp_path, call) == ["cell 0 installs packages"]
    assert found(tmp_path, "!pip list", "import x") == []


def test_a_folder_that_hides_an_installed_package_is_found(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    cell = "import sys\nsys.path.insert(0, 'lib')\nimport yaml"
    assert found(tmp_path, cell) == []
    (tmp_path / "lib" / "yaml.py").write_text("")
    assert found(tmp_path, cell) == ["cell 0 puts a folder before the installed packages, which may hide one"]
    assert found(tmp_path, cell.replace("'lib'", "where")) != []
    assert found(tmp_path, cell.replace("insert(0, 'lib')", "append('lib')")) == []


def test_what_a_module_of_the_project_sets_when_it_is_imported_is_found(tmp_path: Path) -> None:
    module = tmp_path / "ours.py"
    module.write_text("import os\nos.environ['SKLEARN_ASSUME_FINITE'] = 'true'\n")
    assert found(tmp_path, "import ours", "import sklearn") == [
        "ours.py sets SKLEARN_ASSUME_FINITE before an import, which may read it"
    ]
    module.write_text("import os\ndef later():\n    os.environ['SKLEARN_ASSUME_FINITE'] = 'true'\n")
    assert found(tmp_path, "import ours", "import sklearn") == []


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
