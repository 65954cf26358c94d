"""A notebook that nobody owns still finds its project and its own name, wherever its kernel was started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import current_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"JPY_SESSION_NAME": "/home/a/work/n.ipynb"}, Path("/home/a/work/n.ipynb")),
        ({"IPYNB_FILE": "work/n.ipynb"}, Path("work/n.ipynb")),
        ({"JPY_SESSION_NAME": "4b1f-no-notebook"}, None),
        ({}, None),
    ],
)
def test_the_front_end_tells_which_notebook_it_is(environ: dict[str, str], expected: Path | None) -> None:
    assert current_notebook.notebook(environ) == expected


@pytest.mark.proof
@pytest.mark.tracking
@pytest.mark.notebooks
def test_papermills_own_command_from_anywhere_leaves_its_run_in_the_notebooks_project(
    project: Settings, tmp_path: Path
) -> None:
    path = building.write(
        project.root / "work" / "why.ipynb",
        "from notebooks_lib import tracking\nrun = tracking.run()\nrun.log({'a': 1})",
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [Path(sys.executable).parent / "papermill", "../project/work/why.ipynb", "out.ipynb"],
        cwd=elsewhere,
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert path.exists()
    (run,) = query.find_runs(store.connect(project), "sample")
    assert (run.name, run.metrics, run.tags[Tag.NOTEBOOK]) == ("why", {"a": 1.0}, "work/why.ipynb")
    assert [found.name for found in elsewhere.iterdir()] == ["out.ipynb"]
