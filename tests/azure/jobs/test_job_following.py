"""Following a job: why it waits, each cell once, and each way in which it can end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import clouds, rest_client, workspace
from notebooks_lib.azure.client.http_pipeline import HttpLimits
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.jobs import job_following, jobs
from notebooks_lib.azure.jobs.job_following import JobEnd
from notebooks_lib.azure.jobs.run_history import RunHistory
from notebooks_lib.run_result import Failure
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from tests.azure.emulator import Emulated
from tests.azure.fixtures import Ask, AzureProject, NbopsJson
from tests.azure.jobs.test_jobs import properties

pytestmark = pytest.mark.tracking


@dataclasses.dataclass
class Heard:
    waits: list[str] = dataclasses.field(default_factory=list)
    cells: list[tuple[int, int, str]] = dataclasses.field(default_factory=list)

    def waiting(self, text: str) -> None:
        self.waits.append(text)

    def cell(self, index: int, total: int, line: str) -> None:
        self.cells.append((index, total, line))


@pytest.fixture
def follow(azure_workspace: AzureProject, ask: Ask) -> Callable[..., tuple[JobEnd, Heard]]:
    """Submit a command and follow it; `tags` are those that its runner writes while it runs."""
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    history = RunHistory(workspace.tracking_uri(azure_workspace.settings))
    tracked = f"{history.host}/mlflow/v2.0{place.path}/api/2.0/mlflow/runs/set-tag"

    def follow(
        command: str, *, tags: dict[str, str] | None = None, until: str = "", **more: Any
    ) -> tuple[JobEnd, Heard]:
        name, heard = uuid.uuid4().hex, Heard()
        jobs.submit(client, place, name, properties(ask, command) | more)
        for key, value in (tags or {}).items():
            ask("POST", tracked, {"run_id": name, "key": key, "value": value})

        def stop() -> None:
            while not any(until in text for text in heard.waits):
                time.sleep(0.02)
            jobs.stop(client, place, name)

        stopping = threading.Thread(target=stop if until else lambda: None)
        stopping.start()
        end = job_following.follow(client, place, history, name, heard, shortest=0.02)
        stopping.join(30)  # it asks on; without the emulator it would fail
        return end, heard

    return follow


def progress(cell: int, line: str = "") -> dict[str, str]:
    return {Tag.PROGRESS: json.dumps({"cell": cell, "of": 3, "line": line})}


def test_each_cell_is_reported_once_and_the_end_is_the_runs(follow: Callable[..., tuple[JobEnd, Heard]]) -> None:
    end, heard = follow("sleep 0.3", tags={**progress(1, "fit()"), Tag.END: "FINISHED"})

    assert (end.status, end.failure) == ("FINISHED", None)
    assert heard.cells == [(0, 3, ""), (1, 3, "fit()")]


def test_a_failed_notebook_is_reported_in_the_words_of_its_run(follow: Callable[..., tuple[JobEnd, Heard]]) -> None:
    failure = {
        Tag.FAILURE: "ValueError",
        Tag.FAILURE_MESSAGE: "no rows",
        Tag.FAILED_CELL: "2",
        Tag.FAILED_LINE: "fit()",
    }
    end, _ = follow("exit 1", tags={**failure, Tag.END: "FAILED"})

    assert end.status == "FAILED"
    assert str(end.failure) == "cell 2 (fit()): ValueError: no rows"
    end, _ = follow("true", tags={**failure, Tag.END: "FAILED"})  # a script that ends well all the same
    assert (end.status, str(end.failure)) == ("FAILED", "cell 2 (fit()): ValueError: no rows")


@pytest.mark.parametrize(
    "failure",
    [
        Failure("timeout", "CellTimeout", "the cell took longer than 3 s", 1, "fit()"),
        Failure("exit", "SystemExit", "3", 0, "sys.exit(3)"),
        Failure("signal", "SIGKILL", "the kernel was killed by SIGKILL", 1, "fit()", 9),
        Failure("start", "KernelStartError", "no kernel"),
    ],
    ids=lambda failure: failure.kind,
)
def test_a_failure_has_the_kind_that_it_has_in_a_local_run(
    follow: Callable[..., tuple[JobEnd, Heard]], failure: Failure
) -> None:
    end, _ = follow("exit 1", tags={**failure.as_tags(), Tag.END: "FAILED"})

    assert end.failure == failure


@pytest.mark.parametrize("recorded", [True, False])
def test_a_job_that_reaches_its_limit_says_so_also_if_its_runner_was_asked_to_stop(
    follow: Callable[..., tuple[JobEnd, Heard]], recorded: bool
) -> None:
    stopped = Failure("interrupt", "Interrupted", "the runner was asked to stop", 1, "fit()")
    tags = {**stopped.as_tags(), Tag.END: "KILLED"} if recorded else {}
    end, _ = follow("sleep 60", tags=tags, limits={"jobLimitsType": "Command", "timeout": "PT2S"})

    text = "the job took longer than 2 s, which is limits.timeout in its job file"
    cell, line = (1, "fit()") if recorded else (None, "")
    assert (end.status, end.failure) == ("KILLED", Failure("timeout", "Timeout", text, cell, line))


def test_a_job_that_fails_before_its_notebook_shows_azures_reason_and_the_logs_last_line(
    follow: Callable[..., tuple[JobEnd, Heard]], azure_server: Emulated
) -> None:
    end, _ = follow("echo; echo no module named x; exit 4")
    assert end.status == "FAILED"
    assert str(end.failure).startswith("UserError: Execution failed.")
    assert "status code 4" in str(end.failure)
    assert "(last line of the log: no module named x); nbops azure jobs logs " in str(end.failure)

    with azure_server.fault("image_build_fails", path="/jobs/", code="ImageBuildFailure", message="no package y"):
        end, _ = follow("true")
    assert str(end.failure).startswith("ImageBuildFailure: no package y; nbops azure jobs logs ")


def test_a_job_that_ends_without_its_runs_end_has_failed(follow: Callable[..., tuple[JobEnd, Heard]]) -> None:
    end, _ = follow("true")

    assert (end.status, str(end.failure)) == ("FAILED", "NotRecorded: the job ended without its run's end")


def test_one_that_never_starts_says_for_what_it_waits_since_when_and_how_to_stop_it(
    follow: Callable[..., tuple[JobEnd, Heard]], azure_server: Emulated, ask: Ask
) -> None:
    cluster = f"c{uuid.uuid4().hex[:8]}"
    own = {"errors": [{"error": {"code": "x", "message": "no quota left"}}]}
    ask("PUT", f"computes/{cluster}", {"location": "w", "properties": {"computeType": "AmlCompute", "properties": own}})
    place = ask("GET", f"computes/{cluster}").json()["id"]
    with azure_server.fault("never_starts", path="/jobs/"):
        end, heard = follow("true", until="waits for a machine", computeId=place)

    assert (end.status, str(end.failure)) == ("KILLED", "Interrupted: the job was stopped")
    assert end.failure is not None
    assert end.failure.kind == "interrupt"
    waits = next(text for text in heard.waits if "machine" in text)
    when = r"(since|now, submitted) \d\d:\d\d:\d\d"
    assert re.match(rf"waits for a machine of compute {cluster} \(Queued {when}\)", waits)
    assert f"): no quota left; to stop it: nbops azure jobs stop {end.run.run_id}" in waits


@pytest.mark.proof
def test_one_that_waits_for_too_long_is_left_as_it_is(
    azure_git_project: Settings, azure_server: Emulated, nbops_json: NbopsJson, ask: Ask
) -> None:
    with azure_server.fault("never_starts", path="/jobs/"):
        given = ("run", "experimentation/n.ipynb", "--on", "azureml:serverless", "--wait-minutes", "0.02")
        code, submitted, line = nbops_json(*given, "--out", "out.json")
        run = submitted["run_id"]
        again, followed, _ = nbops_json("azure", "jobs", "follow", run, "--wait-minutes", "0.001")
        state = ask("GET", f"jobs/{run}").json()["properties"]["status"]
        nbops_json("azure", "jobs", "stop", run)

    assert (code, submitted["waiting"], submitted["detached"], submitted["status"]) == (1, "Queued", True, None)
    assert (again, followed, state) == (1, submitted, "Queued")
    assert json.loads((azure_git_project.root / "out.json").read_text()) == submitted
    assert line.splitlines()[-1] == (
        f"nbops: job {run} still waits after 0.02 min (Queued); it is not stopped; to follow it: nbops azure jobs follow"
        f" {run}; to stop it: nbops azure jobs stop {run}"
    )


@pytest.mark.parametrize(
    ("lost", "error", "says"),
    [
        (False, "AzureError", "was submitted, and is not stopped"),
        (True, "JobUncertainError", "may have been submitted"),
    ],
)
def test_whatever_azure_answers_after_a_submission_the_run_is_named(
    azure_git_project: Settings, azure_server: Emulated, nbops_json: NbopsJson, lost: bool, error: str, says: str
) -> None:
    with contextlib.ExitStack() as faults:
        faults.enter_context(azure_server.fault("never_starts", path="/jobs/"))
        if lost:
            faults.enter_context(azure_server.fault("lost_answer", method="PUT", path="/jobs/"))
        faults.enter_context(azure_server.fault("forbidden", method="GET", path="/jobs/"))
        given = ("run", "experimentation/n.ipynb", "--on", "azureml:serverless", "--out", "out.json")
        code, result, line = nbops_json(*given)
    run = result["run_id"]

    assert (code, result["status"], result["detached"], result["error"]["error"]) == (1, None, True, error)
    assert json.loads((azure_git_project.root / "out.json").read_text()) == result
    assert f"job {run} {says}" in line.splitlines()[-1]
    assert f"nbops azure jobs follow {run}" in line
    assert nbops_json("azure", "jobs", "stop", run)[1]["status"] == "Canceled"


@pytest.mark.proof
def test_one_whose_machine_is_taken_away_is_started_again_and_says_so(
    follow: Callable[..., tuple[JobEnd, Heard]], azure_server: Emulated
) -> None:
    with azure_server.fault("evicted", path="/jobs/", retry_after=1):
        end, heard = follow("test -e ../again && sleep 1 || { touch ../again; sleep 30; }", tags={Tag.END: "FINISHED"})

    assert end.status == "FINISHED"
    assert any(
        "Queued since" in text and "; its machine was taken away, and Azure starts it again)" in text
        for text in heard.waits
    )


@pytest.mark.proof
def test_azure_may_fail_for_a_while(follow: Callable[..., tuple[JobEnd, Heard]], azure_server: Emulated) -> None:
    with azure_server.fault("server_error", method="GET", path="/jobs/", times=3):
        end, _ = follow("true", tags={Tag.END: "FINISHED"})
    assert end.status == "FINISHED"
    with (
        azure_server.fault("forbidden", method="GET", path="/jobs/"),
        pytest.raises(errors.AzureError, match="no permission"),
    ):
        follow("true")


@pytest.mark.parametrize("status", [*job_following.STANDING, "NewOfAzures"])
def test_every_other_state_is_reported_once(status: str) -> None:
    heard = Heard()
    reported = job_following.ProgressReport(heard)
    job = jobs.Job("j1", status, "n.ipynb", "n", "e", "c", "")
    for _ in range(3):
        reported.report_state(job)
        reported.report_run(None, status)

    meaning = job_following.STANDING.get(status, "is in a state that this nbops does not know")
    assert heard.waits == [f"{meaning} ({status} now, submitted before); to stop it: nbops azure jobs stop j1"]


def test_a_region_that_never_answers_is_given_up(
    azure_workspace: AzureProject, ask: Ask, azure_server: Emulated
) -> None:
    client, place = rest_client.resource_manager(), workspace.find_workspace(azure_workspace.settings)
    history = RunHistory(workspace.tracking_uri(azure_workspace.settings))
    history._client = RestClient(history.host, clouds.current().scope, limits=HttpLimits(retries=0))
    name = uuid.uuid4().hex
    jobs.submit(client, place, name, properties(ask))
    with (
        azure_server.fault("server_error", method="GET", path="/mlflow/", times=0),
        pytest.raises(errors.AzureError, match=f"run {name} failed"),
    ):
        job_following.follow(client, place, history, name, Heard(), shortest=0.02, patience=0.5)
