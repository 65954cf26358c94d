"""Runs that differ in the seed alone: which seeds there are, and which texts differ between equal runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import errors
from notebooks_lib.notebooks.parameter_schema import read_schema
from notebooks_lib.review.repeated_runs import POOL, RepeatedNotebook, cell_texts, seeds_of, unsteady_cells
from notebooks_lib.run_result import RunResult
from notebooks_lib.running.plan import NotebookPlanner
from notebooks_lib.running.prepared_notebook import ERROR_TAG
from notebooks_lib.settings import Settings
from tests.notebooks.building import code, md, parameters, write


@pytest.mark.parametrize(
    ("cell", "first", "number"),
    [
        ("seed: int = 7", (7, 8, 9), POOL),
        ("seed = 7", (7, 8, 9), POOL),
        ("seed: int | None = None", (0, 1, 2), POOL),
        ("seed: int", (0, 1, 2), POOL),
        ("seed: Annotated[int, '>=0, <=4'] = 3", (3, 4, 0), 5),
        ("seed: Literal[1, 5, 3] = 5", (5, 1, 3), 3),
        ("seed: bool = True", (), 0),
        ("seed: str = 'a'", (), 0),
        ("alpha: float = 1.0", (), 0),
    ],
)
def test_seeds_begin_at_the_default_and_keep_to_the_annotation(cell: str, first: tuple[int, ...], number: int) -> None:
    seeds = seeds_of(read_schema(parameters(cell)))
    assert seeds[:3] == first
    assert len(seeds) == len(set(seeds)) == number


def refuse(*_: object) -> RunResult:
    raise AssertionError("nothing is to be run")


def test_a_notebook_with_injected_values_is_refused(empty_project: Settings) -> None:
    cells = code("alpha = 1", "parameters"), code("alpha = 2", "injected-parameters")
    planner = NotebookPlanner(write(empty_project.root / "n.ipynb", *cells), empty_project)
    with pytest.raises(errors.UsageError, match=r"n.ipynb: holds values that a run injected \(alpha\)"):
        RepeatedNotebook(planner, refuse)


def test_the_fingerprint_is_that_of_the_defaults(empty_project: Settings) -> None:
    path = write(empty_project.root / "n.ipynb", code("seed = 7", "parameters"), code("seed"))
    planner = NotebookPlanner(path, empty_project)
    start = planner.plan().start
    assert start is not None
    assert RepeatedNotebook(planner, refuse).source_fingerprint == start.source_fingerprint


def executed(path: Path, run_id: str, text: str) -> RunResult:
    """A run whose only changing text is the given one."""
    stream = {"output_type": "stream", "name": "stdout", "text": ["a line\n", f"of run {run_id}\n"]}
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": text, "image/png": run_id}}
    cells = [
        md("failed", metadata={"tags": [ERROR_TAG]}),
        md("# T"),
        code("seed = 1", "parameters"),
        code("seed = 1", "injected-parameters"),
        code("print(run)", id="setup", outputs=[stream]),
        code("show()", id="model", outputs=[shown, stream]),
    ]
    return RunResult(run_id, "FINISHED", write(path, *cells))


def test_cells_whose_text_differs_between_equal_runs_are_unsteady(tmp_path: Path) -> None:
    first, second = (f"0.5 of <selector object at 0x{address}>" for address in ("7f3a", "7f3b10"))
    one, two = executed(tmp_path / "a.ipynb", "r1", first), executed(tmp_path / "b.ipynb", "r2", second)
    other = executed(tmp_path / "c.ipynb", "r3", first.replace("0.5", "0.6"))
    assert [text.cell for text in cell_texts(one)] == ["cell 1 (cell-2)", "cell 2 (setup)", "cell 3 (model)"]
    assert unsteady_cells([one, two]) == ()
    assert unsteady_cells([one, two, other]) == ("cell 3 (model)",)
