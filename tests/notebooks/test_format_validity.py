"""A notebook that Jupyter takes for damaged is named with the place of the fault, and without its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.validator import NotebookValidationError

from notebooks_lib.__main__ import run
from notebooks_lib.notebooks import cleaning
from notebooks_lib.notebooks.format_validity import find_problem
from tests.notebooks.building import code, md, notebook, write

SECRET = "AKIA" + "QZ7XW3RT5YP2LKMN"


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (
            code("x", metadata={"tags": SECRET}),
            "cell 1, `metadata.tags`: not as the notebook format has it (type: array)",
        ),
        ({**md("x"), "cell_type": "heading"}, "cell 1: its `cell_type` is 'heading', not code, markdown or raw"),
        (code("x", "keep_output", outputs=[{"output_type": SECRET}]), "cell 1, `outputs.0`: "),
        (code("x", more=SECRET), "cell 1: not as the notebook format has it (additionalProperties)"),
    ],
)
def test_what_cleaning_does_not_mend(cell: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    raw = cleaning.clean(notebook(md("# T"), cell))
    with pytest.raises(NotebookValidationError):
        nbformat.validate(raw)
    found = find_problem(raw)
    assert found.startswith(problem)
    assert SECRET not in found
    path = write(Path("n.ipynb"), md("# T"), cell)
    assert run(["check", "n.ipynb"]) == 1
    assert f"n.ipynb:0: NB000 {found}" in capsys.readouterr().out
    assert run(["clean", "n.ipynb"]) == 0
    assert f"{path}: Jupyter still finds a fault, to be mended by hand: {found}" in capsys.readouterr().err


def test_a_valid_notebook_and_one_of_a_newer_format() -> None:
    for minor in (5, 6):
        assert find_problem(cleaning.clean(notebook(md("# T"), code("x"), nbformat_minor=minor))) == ""


@pytest.mark.parametrize("cell_id", ["a b", "x" * 65, "é", ""])
def test_an_id_that_jupyter_does_not_take_is_made_anew(cell_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("n.ipynb"), code("x", id=cell_id))
    assert run(["check", "n.ipynb", "--select", "NB003"]) == 1
    assert "NB003 a cell id holds 1 to 64 of a-z, A-Z, 0-9, - and _" in capsys.readouterr().out
    assert run(["clean", "n.ipynb"]) == 0
    nbformat.validate(nbformat.read("n.ipynb", 4))
    assert run(["check", "n.ipynb", "--select", "NB003"]) == 0
