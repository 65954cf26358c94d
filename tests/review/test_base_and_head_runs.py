"""With which parameters a review runs both sides; that it runs them is tested through its command."""

from __future__ import annotations

from pathlib import Path

from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.base_and_head_runs import RunRequest
from notebooks_lib.settings import load
from tests.notebooks.building import code, write


def source(tmp_path: Path, parameters: str) -> NotebookSource:
    write(tmp_path / "q.ipynb", code(parameters, "parameters"))
    return NotebookSource.read(tmp_path, "q.ipynb")


def test_a_notebook_gets_those_parameters_for_reviews_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "settings.toml").write_text("[review.parameters]\nmax_iter = 20\ndepth = 2\n")
    request = RunRequest(load(tmp_path, {}))
    slow = source(tmp_path / "slow", "max_iter: int = 2000")
    assert request.values(slow, slow) == [{"max_iter": 20}]
    plain = source(tmp_path / "plain", "alpha: float = 1.0")
    assert request.values(plain, plain) == [{}]


def test_both_sides_have_the_seeds_that_the_head_allows(tmp_path: Path) -> None:
    request = RunRequest(load(tmp_path, {}), seeds=3)
    base = source(tmp_path / "base", "seed: int = 0")
    head = source(tmp_path / "head", 'from typing import Annotated\nseed: Annotated[int, "<=8"] = 7')
    for side in (base, head):
        assert [given["seed"] for given in request.values(side, head)] == [7, 8, 0]
    without = source(tmp_path / "without", "alpha: float = 1.0")
    assert request.values(without, head) == [{}]
    assert request.values(base, without) == [{}]
