"""The processes of a distributed job: which one this is, and what rank 0 makes of the others' reports."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.run_result import Failure
from notebooks_lib.running import job_ranks, plan
from notebooks_lib.running.job_ranks import OtherRanks, Rank, find_rank, run_other_rank, untracked
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import owned_run
from notebooks_lib.tracking import store as stores
from notebooks_lib.tracking.owned_run import OwnedRun
from notebooks_lib.tracking.store import Store
from tests import building


def tensorflow(kind: str, index: int) -> dict[str, str]:
    cluster = {"worker": ["a:1", "b:1"], "ps": ["c:1"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}, Rank(1, 4)),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Rank(3, 4)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, Rank(2, 4)),
        ({"RANK": "x", "WORLD_SIZE": "4"}, None),
        (tensorflow("worker", 0), Rank(0, 3, servers=1)),
        (tensorflow("worker", 1), Rank(1, 3, servers=1)),
        (tensorflow("ps", 0), Rank(2, 3, is_parameter_server=True, servers=1)),
        ({"TF_CONFIG": "no JSON"}, None),
        ({"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})}, None),
    ],
)
def test_a_process_knows_its_rank_by_what_the_service_sets(environ: dict[str, str], rank: Rank | None) -> None:
    assert find_rank(environ) == rank


@pytest.fixture
def store(project: Settings) -> Store:
    return stores.connect(project)


def reported(store: Store, tmp_path: Path, **ranks: object) -> str:
    run_id = store.client.create_run(store.experiment_id("ranks")).info.run_id
    for rank, failure in ranks.items():
        file = tmp_path / f"{rank[1:]}.json"
        file.write_text(json.dumps({"status": "FAILED" if failure else "FINISHED", "failure": failure}))
        store.client.log_artifact(run_id, str(file), "ranks")
    return str(run_id)


BAD = {"kind": "error", "error": "ValueError", "message": "no rows", "cell": 2, "line": "fit()", "signal": None}
STOPPED = {**BAD, "kind": "interrupt"}


@pytest.mark.tracking
def test_a_failure_of_any_rank_is_the_jobs_and_names_it(store: Store, tmp_path: Path) -> None:
    with OtherRanks(store, reported(store, tmp_path, r1=None, r2=BAD), Rank(0, 3)) as others:
        failure = others.end("FINISHED", lambda: None)
    assert str(failure) == "cell 2 (fit()): ValueError: rank 2: no rows"


@pytest.mark.tracking
def test_rank_0_notices_a_failure_while_it_runs(store: Store, tmp_path: Path) -> None:
    others = OtherRanks(store, reported(store, tmp_path, r1=BAD), Rank(0, 2), look=0.01)
    assert others.failure() is None
    with others:
        while others.failure() is None:
            pass
    assert others.end("KILLED", lambda: None) == others.failure()


@pytest.mark.tracking
def test_it_waits_for_workers_but_not_for_servers_and_not_for_ever(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path, r1=None)
    assert OtherRanks(store, run_id, Rank(0, 3, servers=1)).end("FINISHED", lambda: None) is None
    failure = OtherRanks(store, run_id, Rank(0, 3), wait_seconds=0.1).end("FINISHED", lambda: None)
    assert str(failure) == "RankMissing: rank 2 did not report its end within 0.1 s of rank 0's"
    assert OtherRanks(store, run_id, Rank(0, 3)).end("KILLED", lambda: None) is None
    stopped = OtherRanks(store, run_id, Rank(0, 3)).end("FINISHED", lambda: "interrupt")
    assert str(stopped) == "Interrupted: the job was asked to stop before rank 2 had run the notebook to its end"


@pytest.mark.tracking
def test_a_rank_that_was_asked_to_stop_has_not_failed_and_not_finished(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path, r1=STOPPED)
    others = OtherRanks(store, run_id, Rank(0, 2))
    assert others.end("KILLED", lambda: None) is None
    assert others.end("FAILED", lambda: None) is None
    stopped = others.end("FINISHED", lambda: None)
    assert stopped is not None
    assert (stopped.kind, others.failure()) == ("interrupt", None)


@pytest.mark.notebooks
def test_a_job_that_was_stopped_while_rank_0_waited_begins_anew_in_the_same_run(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path, r1=STOPPED)
    made = plan.make_plan(building.write(store.settings.root / "n.ipynb", "1"), store.settings)
    assert made.start is not None
    made = dataclasses.replace(made, start=dataclasses.replace(made.start, run_id=run_id))
    result = run_notebook(made, html=False, others=OtherRanks(store, run_id, Rank(0, 2)))

    assert result.failure is not None
    assert (result.status, result.failure.error) == ("KILLED", "Interrupted")
    assert OwnedRun.adopt(store, run_id, made.start).run_id == run_id


@pytest.mark.tracking
def test_reports_of_an_earlier_attempt_do_not_count(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path, r1=BAD)
    store.client.set_tag(run_id, Tag.RANK_0_STARTED, str(time.time() - 600))  # the first attempt's
    with OtherRanks(store, run_id, Rank(0, 2)) as others:
        assert others.end("KILLED", lambda: None) is None
        (tmp_path / "1-2.json").write_text(json.dumps({"status": "FINISHED", "failure": None}))
        store.client.log_artifact(run_id, str(tmp_path / "1-2.json"), "ranks")
        assert others.end("FINISHED", lambda: None) is None


@pytest.mark.tracking
def test_a_rank_that_reports_before_a_restarted_rank_0_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path, r1=BAD, r2=None)
    for name, failure, started in (("1-2", None, time.time() - 20), ("2-2", BAD, time.time() - 590)):
        content = {"status": "FAILED" if failure else "FINISHED", "failure": failure, "started": started}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        store.client.log_artifact(run_id, str(tmp_path / f"{name}.json"), "ranks")

    def ended(rank: Rank) -> Failure | None:
        store.client.set_tag(run_id, Tag.RANK_0_STARTED, str(time.time() - 600))  # the first attempt's
        with OtherRanks(store, run_id, rank, wait_seconds=0.1) as others:
            return others.end("FINISHED", lambda: None)

    assert ended(Rank(0, 2)) is None
    failure = ended(Rank(0, 3))
    assert failure is not None
    assert failure.message.startswith("rank 2 did not report its end")


@pytest.mark.notebooks
def test_each_attempt_of_a_rank_keeps_its_files_and_rank_0_names_it(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path)
    made = plan.make_plan(
        building.write(store.settings.root / "n.ipynb", "raise ValueError('no rows')"), store.settings
    )
    for _ in range(2):
        run_other_rank(made, Rank(1, 2), store, run_id)
    names = {each.path for each in store.client.list_artifacts(run_id, "ranks")}
    assert names == {"ranks/1.ipynb", "ranks/1.json", "ranks/1-2.ipynb", "ranks/1-2.json"}

    lost = building.write(store.settings.root / "n.ipynb", "raise ConnectionError('reset')")
    result = run_notebook(
        plan.make_plan(lost, store.settings), html=False, others=OtherRanks(store, run_id, Rank(0, 2))
    )
    assert result.failure is not None
    assert (result.status, result.failure.error) == ("FAILED", "ConnectionError")
    assert "reset; and cell 0" in result.failure.message
    assert "rank 1: no rows" in result.failure.message


@pytest.mark.tracking
def test_a_rank_that_cannot_run_the_notebook_reports_that_even_if_the_store_fails_at_first(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = reported(store, tmp_path)
    made = plan.make_plan(building.write(store.settings.root / "n.ipynb", "1"), store.settings)
    opened: list[str] = []

    def artifact_repository(*given: Any) -> Any:
        opened.append(given[1])
        if len(opened) == 1:
            raise errors.TrackingError("the store is away")
        return owned_run.artifact_repository(*given)

    monkeypatch.setattr(job_ranks, "artifact_repository", artifact_repository)
    with pytest.raises(errors.NotebookError):
        run_other_rank(made, Rank(1, 2), store, run_id, pauses=[0.0], kernel="none-such")
    failure = OtherRanks(store, run_id, Rank(0, 2)).end("FINISHED", lambda: None)
    assert failure is not None
    assert "rank 1: " in failure.message
    assert "none-such" in failure.message


KNOWS = """
import os
from notebooks_lib.azure.client import workspace
from notebooks_lib.running.job_request import JobRequest
from notebooks_lib.settings import here
found = workspace.find_workspace(here())
assert (found.subscription, found.resource_group, found.name) == ("s", "g", "w"), found
assert JobRequest.received(os.environ) is None
"""


@pytest.mark.notebooks
def test_another_rank_finds_the_jobs_workspace_and_does_not_pass_its_parameters_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = reported(store, tmp_path)
    path = "subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    monkeypatch.setenv("AZUREML_RUN_ID", run_id)
    monkeypatch.setenv(Env.JOB, JobRequest({"alpha": 9.5}, "somebody").as_text())
    made = plan.make_plan(building.write(store.settings.root / "n.ipynb", KNOWS), store.settings)

    with untracked(tmp_path / "mlruns", f"azureml://westeurope.api.azureml.ms/mlflow/v2.0/{path}"):
        result = run_notebook(dataclasses.replace(made, start=None), html=False)
    assert result.failure is None


@pytest.mark.tracking
def test_a_rank_0_that_failed_waits_a_little(store: Store, tmp_path: Path) -> None:
    run_id = reported(store, tmp_path)
    assert OtherRanks(store, run_id, Rank(0, 2), wait_failed=0.1).end("FAILED", lambda: None) is None
