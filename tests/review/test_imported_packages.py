"""The packages of a notebook are those that its cells and the project's own modules import, with their versions."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from notebooks_lib.review.imported_packages import used_packages
from tests.notebooks.building import code, notebook


def test_packages_of_cells_and_modules(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("from scipy.special import stdtr\nimport json, unknown_package\n")
    (tmp_path / "broken.py").write_text("import click\ndef")
    cells = code("import numpy as np\n%matplotlib inline"), code("import helper, broken\nfrom yaml import load\nx = (")
    versions = used_packages(notebook(*cells, path=tmp_path / "n.ipynb"), tmp_path)
    assert versions == {
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
    }, "a cell that cannot be read imports nothing"
    versions = used_packages(notebook(code("import helper, broken, yaml"), path=tmp_path / "n.ipynb"), tmp_path)
    assert versions.keys() == {"python", "scipy", "PyYAML"}
