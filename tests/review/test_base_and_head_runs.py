"""With which parameters a review runs both sides; that it runs them is tested through its command."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import datasets
from notebooks_lib.datasets import workspace_transfer
from notebooks_lib.review.affected_notebooks import NotebookSource
from notebooks_lib.review.base_and_head_runs import RunRequest, _base_environment, find_runs_of
from notebooks_lib.settings import Settings, load
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import connect
from tests.azure.fixtures import WithWorkspace
from tests.datasets.tables import csv, frame
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


@pytest.mark.tracking
def test_a_run_that_somebody_stopped_is_no_failure_of_the_notebook(project: Settings, tmp_path: Path) -> None:
    store, head = connect(project), source(tmp_path / "head", "alpha: float = 1.0")

    def problem_after(status: str, **tags: str) -> str:
        names = {"error": Tag.FAILURE, "message": Tag.FAILURE_MESSAGE}
        ended = {Tag.SOURCE_FINGERPRINT: head.fingerprint({}), **({Tag.END: status} if tags else {})}
        run = store.client.create_run("0", tags=ended | {names[name]: text for name, text in tags.items()})
        if tags:
            store.client.set_terminated(run.info.run_id, status)
        problem = find_runs_of(RunRequest(project), "head", head, [{}]).problem
        return problem.failure.error if problem and problem.failure else ""

    assert problem_after("KILLED", error="Interrupted", message="the runner was asked to stop") == ""
    assert problem_after("KILLED", error="its process is gone") == ""
    assert problem_after("KILLED", error="RunnerError", message="the runner itself failed; please report it") == ""
    assert problem_after("FAILED", error="KeyError", message="'agee'") == "KeyError"
    assert problem_after("KILLED", error="Interrupted", message="the runner was asked to stop") == "KeyError"
    assert problem_after("RUNNING") == "KeyError", "which its owner may have left"
    assert problem_after("KILLED", error="Timeout", message="the notebook took longer than 3 s") == "Timeout"


@pytest.mark.tracking
def test_a_run_of_a_copy_in_another_folder_is_no_run_of_the_notebook(project: Settings, tmp_path: Path) -> None:
    """It may have read another file of the same name."""
    store = connect(project)
    for folder in ("north", "south"):
        write(tmp_path / folder / "q.ipynb", code("open('data.csv')"))
    north, south = (NotebookSource.read(tmp_path, f"{folder}/q.ipynb") for folder in ("north", "south"))
    assert north.fingerprint() == south.fingerprint()

    def ran(notebook: str, status: str) -> str:
        tags = {
            Tag.NOTEBOOK: notebook,
            Tag.CODE_SHA256: north.notebook.code_sha256,
            Tag.SOURCE_FINGERPRINT: north.fingerprint({}),
            Tag.END: status,
            **({Tag.FAILURE: "KeyError"} if status == "FAILED" else {}),
        }
        run = store.client.create_run("0", tags=tags)
        store.client.set_terminated(run.info.run_id, status)
        return run.info.run_id

    def found(source: NotebookSource) -> tuple[list[str], bool]:
        side = find_runs_of(RunRequest(project), "head", source, [{}])
        return [run.run_id for run in side.runs], side.problem is not None

    ran("south/q.ipynb", "FAILED")
    assert (found(north), found(south)) == (([], False), ([], True))
    first = ran("north/old_name.ipynb", "FINISHED")
    assert (found(north), found(south)) == (([first], False), ([], True))


@pytest.mark.tracking
def test_the_base_reads_the_versions_that_the_head_has_pulled(
    project: Settings, with_workspace: WithWorkspace, tmp_path: Path
) -> None:
    head = with_workspace(project)
    elsewhere = head.model_copy(update={"root": tmp_path / "elsewhere"})
    elsewhere.root.mkdir()
    for rows in (60, 70):
        datasets.add(csv(elsewhere.root, frame(rows)), "sales", elsewhere, target="y", key="id")
        workspace_transfer.push("sales", elsewhere)
        if rows == 60:
            workspace_transfer.pull("sales", head)
    base = tmp_path / "base"
    base.mkdir()

    for _ in range(2):  # a second notebook is run in the same folder
        variables = _base_environment(RunRequest(head, make=True), base)
    assert datasets.load("sales", head).ref == "sales@1"
    assert datasets.load("sales", load(base, variables)).ref == "sales@1"
