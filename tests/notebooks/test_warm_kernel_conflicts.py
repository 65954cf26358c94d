"""What a notebook sets before an import is found, however it is set, and so is each table that it reads by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, warm_kernel_conflicts
from notebooks_lib.notebooks.project_modules import ProjectModules
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
