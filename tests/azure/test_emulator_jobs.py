"""The emulator's computes, snapshots and jobs: a job's command really runs, and ends as the service would end it."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
import requests

from tests.azure import emulator
from tests.azure.emulator import Emulated, record
from tests.azure.fixtures import VERSION, Ask
from tests.azure.test_emulator import cluster, error, name

pytestmark = pytest.mark.tracking

HISTORY = f"https://westeurope.api.azureml.ms/history/v1.0{emulator.SCOPE}/runs"


def submit(ask: Ask, command: str, *, job: str = "", **more: Any) -> tuple[str, requests.Response]:
    job = job or uuid.uuid4().hex
    environment = f"environments/{name()}/versions/1"
    ask("PUT", environment, {"properties": {"image": "image"}})
    properties = {"jobType": "Command", "command": command, "environmentId": f"{emulator.SCOPE}/{environment}"}
    return job, ask("PUT", f"jobs/{job}", {"properties": properties | {"experimentName": "jobs"} | more})


def ended(ask: Ask, job: str, *states: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = str(ask("GET", f"jobs/{job}").json()["properties"]["status"])
        if status in (states or ("Completed", "Failed", "Canceled")):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the job is still {status}")


def details(ask: Ask, job: str) -> dict[str, Any]:
    return dict(ask("GET", f"{HISTORY}/{job}/details").json())


def logs(ask: Ask, anybody: Ask, job: str) -> list[str]:
    return [anybody("GET", address).text for address in details(ask, job)["logFiles"].values()]


def test_a_job_runs_its_command_in_its_snapshot_with_the_variables_of_the_service(ask: Ask, anybody: Ask) -> None:
    code = f"codes/{name()}/versions"
    pending = ask("POST", f"{code}/1/startPendingUpload", {"pendingUploadType": "TemporaryBlobReference"}).json()
    place = pending["blobReferenceForConsumption"]
    folder, _, signature = place["credential"]["sasUri"].partition("?")
    assert anybody("PUT", f"{folder}/sub/answer.txt?{signature}", data=b"forty-two").status_code == 201
    digest = uuid.uuid4().hex
    content = {"codeUri": place["blobUri"], "properties": {"hash_sha256": digest, "hash_version": "202208"}}
    made = ask("PUT", f"{code}/1", {"properties": content}).json()
    known = ask("GET", f"codes/{name()}/versions", query=f"{VERSION}&hash={digest}&hashVersion=202208").json()
    assert [each["id"] for each in known["value"]] == [made["id"]]

    command = (
        "cat sub/answer.txt; echo; echo $MLFLOW_RUN_ID $AZUREML_ARM_WORKSPACE_NAME $OWN; test -n $MLFLOW_TRACKING_TOKEN"
    )
    job, answer = submit(ask, command, codeId=made["id"], environmentVariables={"OWN": "mine"}, tags={"a": "1"})
    assert answer.status_code == 201
    assert ended(ask, job) == "Completed"
    assert logs(ask, anybody, job) == [f"forty-two\n{job} workspace mine\n"]
    tracked = f"https://westeurope.api.azureml.ms/mlflow/v2.0{emulator.SCOPE}/api/2.0/mlflow/runs/get?run_id={job}"
    run = ask("GET", tracked).json()["run"]
    assert (run["info"]["run_id"], run["info"]["status"]) == (job, "FINISHED")
    assert {"key": "a", "value": "1"} in run["data"]["tags"]


def test_a_job_that_names_what_is_not_there_is_refused_and_a_name_is_used_once(ask: Ask) -> None:
    for key, kind in {"computeId": "computes/none", "codeId": "codes/none/versions/1"}.items():
        _, answer = submit(ask, "true", **{key: f"{emulator.SCOPE}/{kind}"})
        assert error(answer) == (400, "UserError")
    job, answer = submit(ask, "true")
    assert answer.status_code == 201
    assert error(submit(ask, "true", job=job)[1]) == (400, "UserError")


def test_a_failed_command_fails_its_job_and_a_limit_ends_it(ask: Ask) -> None:
    failed, _ = submit(ask, "exit 3")
    late, _ = submit(ask, "sleep 60", limits={"jobLimitsType": "Command", "timeout": "PT0.5S"})

    assert (ended(ask, failed), ended(ask, late)) == ("Failed", "Canceled")
    assert "exited with status code 3" in details(ask, failed)["error"]["error"]["message"]


def test_a_cancelled_job_ends_and_says_so_after_some_polls(ask: Ask) -> None:
    job, _ = submit(ask, "trap 'echo asked to end; exit 0' TERM; while true; do sleep 0.1; done")
    ended(ask, job, "Running")
    answer = ask("POST", f"jobs/{job}/cancel")
    assert answer.status_code == 202
    while (polled := ask("GET", answer.headers["Location"])).status_code == 202:
        time.sleep(0.05)

    assert polled.status_code == 200
    assert ended(ask, job) == "Canceled"


@pytest.mark.parametrize(
    ("distribution", "shown", "expected"),
    [
        (
            {"distributionType": "Mpi", "processCountPerInstance": 1},
            "$OMPI_COMM_WORLD_RANK/$OMPI_COMM_WORLD_SIZE",
            ["0/2", "1/2"],
        ),
        (
            {"distributionType": "PyTorch", "processCountPerInstance": 2},
            "$RANK/$WORLD_SIZE.$NODE_RANK.$LOCAL_RANK",
            ["0/4.0.0", "1/4.0.1", "2/4.1.0", "3/4.1.1"],
        ),
        ({"distributionType": "Ray"}, "$AZUREML_NODE_COUNT", ["2"]),
    ],
    ids=["mpi", "pytorch", "ray"],
)
def test_each_process_of_a_distributed_job_knows_its_place(
    ask: Ask,
    anybody: Ask,
    distribution: dict[str, Any],
    shown: str,
    expected: list[str],
) -> None:
    job, _ = submit(ask, f"echo {shown}", distribution=distribution, resources={"instanceCount": 2})

    assert ended(ask, job) == "Completed"
    assert [log.strip() for log in logs(ask, anybody, job)] == expected


def test_tensorflows_processes_are_workers_and_parameter_servers(ask: Ask, anybody: Ask) -> None:
    distribution = {"distributionType": "TensorFlow", "workerCount": 2, "parameterServerCount": 1}
    job, _ = submit(ask, "echo $TF_CONFIG", distribution=distribution)

    assert ended(ask, job) == "Completed"
    tasks = [json.loads(log)["task"] for log in logs(ask, anybody, job)]
    assert [(task["type"], task["index"]) for task in tasks] == [("worker", 0), ("worker", 1), ("ps", 0)]


def test_faults_of_jobs(azure_server: Emulated, ask: Ask, anybody: Ask) -> None:
    with azure_server.fault("image_build_fails", path="/jobs/", code="ImageBuildFailure", message="no package x"):
        job, _ = submit(ask, "true")
        assert ended(ask, job) == "Failed"
    assert details(ask, job)["error"]["error"] == {"code": "ImageBuildFailure", "message": "no package x"}

    with azure_server.fault("never_starts", path="/jobs/"):
        job, _ = submit(ask, "true")
    assert ended(ask, job, "Queued") == "Queued"
    ask("POST", f"jobs/{job}/cancel")
    assert ended(ask, job) == "Canceled"

    with azure_server.fault("evicted", path="/jobs/", retry_after=1):
        job, _ = submit(ask, "echo begun; test -e ../again || { touch ../again; sleep 30; }")
    assert ended(ask, job) == "Completed"
    assert logs(ask, anybody, job) == ["begun\nbegun\n"]


def test_an_answer_is_lost_after_the_work_is_done(azure_server: Emulated, ask: Ask) -> None:
    job = uuid.uuid4().hex
    with azure_server.fault("lost_answer", method="PUT", path="/jobs/"), pytest.raises(requests.ConnectionError):
        submit(ask, "true", job=job)

    assert azure_server.record.since()[-1].status == record.NO_ANSWER
    assert ended(ask, job) == "Completed"


def test_a_cluster_answers_in_capitals_and_keeps_its_size(ask: Ask) -> None:
    def sized(size: str, most: int = 2) -> dict[str, Any]:
        return cluster(properties={"vmSize": size, "scaleSettings": {"maxNodeCount": most}})

    path = f"computes/{name()}"
    assert ask("PUT", path, sized("Standard_DS3_v2")).status_code == 201
    assert ask("GET", path).json()["properties"]["properties"]["vmSize"] == "STANDARD_DS3_V2"
    assert ask("PUT", path, sized("standard_ds3_v2", 4)).status_code == 200
    assert error(ask("PUT", path, sized("Standard_DS4_v2"))) == (400, "BadArgument")
    assert error(ask("PUT", f"computes/{name()}", sized("Standard_DS3_v2", 50))) == (400, "QuotaExceeded")
