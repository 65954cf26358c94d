"""The executed notebook of a job is fetched under the name that the runner gave it there."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.jobs.job_following import JobEnd
from notebooks_lib.azure.jobs.run_history import RunHistory, TrackedRun
from notebooks_lib.running import plan
from notebooks_lib.running.job_result import job_result
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from tests import building

RUN_ID = "0123456789abcdef"


class Files:
    """A run history that has one file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def file(self, run: TrackedRun, path: str) -> bytes:
        assert path == self._path
        return run.run_id.encode()


@pytest.mark.parametrize("stem", ["n b", "new\nline", "é" * 124])
@pytest.mark.parametrize("aside", ["", "interrupted/a1"])
def test_the_notebook_has_the_name_that_the_runner_gives_it(
    stem: str, aside: str, project: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    made = plan.make_plan(building.write(project.root / "work" / f"{stem}.ipynb", "1"), project)
    assert made.start is not None
    expected = plan.executed_file(made, RUN_ID)
    tags = {Tag.NOTEBOOK: made.start.notebook, Tag.END: "KILLED", Tag.SET_ASIDE: aside, Tag.ATTEMPT: "2"}
    history = cast(RunHistory, Files("/".join(filter(None, (aside, "notebook", expected.name)))))
    run = TrackedRun(RUN_ID, "1", "KILLED", tags, {"rmse": 2.0}, 1.0)
    result = job_result(project, "sqlite:///x.db", history, JobEnd("KILLED", None, run), None)

    assert result.output == expected
    assert Path(expected).read_text() == RUN_ID
    assert "this was attempt 2 of the job" in caplog.text


@pytest.mark.parametrize("tags", [{}, {Tag.END: "KILLED"}])
def test_a_notebook_that_cannot_be_fetched_is_not_taken_for_an_older_one(
    tags: dict[str, str], project: Settings, tmp_path: Path
) -> None:
    class NoFiles:
        def file(self, run: TrackedRun, path: str) -> bytes:
            raise errors.AzureError(f"no {path}", "look again", status=404)

    older = tmp_path / "out.ipynb"
    older.write_text("of yesterday")
    run = TrackedRun(RUN_ID, "1", "KILLED", tags, {}, 1.0)
    result = job_result(project, "sqlite:///x.db", cast(RunHistory, NoFiles()), JobEnd("KILLED", None, run), older)

    assert result.output is None
    assert result.as_json()["output"] is None
