"""A batch on Azure goes on with the right job of its rows, also one that `--fresh` has started."""

from __future__ import annotations

from typing import Any

import pytest

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.jobs import jobs
from notebooks_lib.azure.jobs.jobs import Job
from notebooks_lib.errors import AzureError
from notebooks_lib.serving.batch import batch_attempts
from notebooks_lib.serving.batch.batch_attempts import job_to_follow


@pytest.mark.parametrize(
    ("states", "plain", "fresh"),
    [
        ([], None, None),
        (["Running"], 1, None),
        (["Completed"], 1, None),
        (["Failed"], None, None),
        (["Completed", "Running"], 2, 2),
        (["Completed", "Completed"], 2, None),
        (["Completed", "Failed"], 1, None),
        (["Completed", "CancelRequested"], 1, None),
        (["Failed", "Canceled"], None, None),
        (["Completed", "Completed", "Queued"], 3, 3),
    ],
)
def test_the_newest_job_that_has_not_failed_is_followed(
    states: list[str], plain: int | None, fresh: int | None
) -> None:
    attempts = [Job(f"{number}", state, "", "", "", "", "") for number, state in enumerate(states, 1)]
    for wanted, again in ((plain, False), (fresh, True)):
        found = job_to_follow(attempts, fresh=again)
        assert (found and found.name) == (wanted and str(wanted))


def test_attempts_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(client: Any, workspace: Any, name: str) -> Job:
        if name not in ("rows", "rows-2"):
            raise AzureError("none", "", status=404)
        return Job(name, "Failed", "", "", "", "", "")

    monkeypatch.setattr(jobs, "find_job", find)
    found = batch_attempts.list_attempts(None, Workspace("s", "g", "w"), "rows")  # type: ignore[arg-type]
    assert [job.name for job in found] == ["rows", "rows-2"]
