"""A variable that is set before an import is found, however it is set; one that is set later, or read later, is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.notebooks import document, environment
from tests import building


def found(tmp_path: Path, *cells: str) -> dict[str, int]:
    return environment.set_before_imports(document.read(building.write(tmp_path / "n.ipynb", *cells)))


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
    assert found(tmp_path, line, "import scipy") == {"SCIPY_ARRAY_API": 0}


def test_what_cannot_be_read_counts_as_any_variable(tmp_path: Path) -> None:
    assert found(tmp_path, "import os\nfor name in names:\n    os.environ[name] = '1'\nimport scipy") == {
        "variables": 0
    }
    assert found(tmp_path, "import os\nos.environ.update(settings)", "import scipy") == {"variables": 0}


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
def test_what_no_import_can_read_is_not(cells: tuple[str, ...], tmp_path: Path) -> None:
    assert found(tmp_path, *cells) == {}
