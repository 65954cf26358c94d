"""Distributed jobs: a notebook adds up numbers over its processes, by nothing but what the service sets."""

from __future__ import annotations

import pytest

from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store
from tests import building
from tests.azure.fixtures import Ask, NbopsJson
from tests.azure.test_jobs_loop import artifacts

pytestmark = [
    pytest.mark.tracking,
    pytest.mark.notebooks,
    pytest.mark.proof,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),
]

PLACE = """
import json, os, socket, time
config = json.loads(os.environ.get("TF_CONFIG", "{}"))
if config:
    tasks = [(kind, index) for kind in ("worker", "ps") for index in range(len(config["cluster"].get(kind, [])))]
    rank, size = tasks.index((config["task"]["type"], config["task"]["index"])), len(tasks)
    host, port = config["cluster"]["worker"][0].split(":")
elif "MASTER_ADDR" in os.environ:
    rank, size, host, port = (os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
else:
    rank, size = os.environ["OMPI_COMM_WORLD_RANK"], os.environ["OMPI_COMM_WORLD_SIZE"]
    host, port = "127.0.0.1", mpi_port
rank, size, port = int(rank), int(size), int(port)
"""
SUM = """
number = float(rank + 1)
if rank == 0:
    with socket.create_server((host, port)) as server:
        server.settimeout(120)
        for _ in range(size - 1):
            with server.accept()[0] as peer:
                number += float(peer.recv(100))
else:
    until = time.monotonic() + 120
    while True:
        try:
            with socket.create_connection((host, port), 5) as peer:
                peer.sendall(str(number).encode())
            break
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.2)
"""
TRACKED = "import mlflow\nmlflow.log_metric('total', number)\nmlflow.set_tag('rank', str(rank))"
DISTRIBUTIONS = {
    "mpi": "distribution: {type: mpi, process_count_per_instance: 1}\nresources: {instance_count: 2}\n",
    "pytorch": "distribution: {type: pytorch, process_count_per_instance: 2}\n",
    "tensorflow": "distribution: {type: tensorflow, worker_count: 2, parameter_server_count: 1}\n",
}


def job(project: Settings, kind: str, *cells: str) -> tuple[str, ...]:
    import socket

    folder = project.root / "production" / "azure"
    folder.mkdir(exist_ok=True)
    (folder / f"{kind}.yml").write_text(DISTRIBUTIONS[kind])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    building.write(
        project.root / "experimentation" / "d.ipynb", PLACE, *cells, parameters=f"mpi_port: int = {port}  # for MPI"
    )
    return ("run", "experimentation/d.ipynb", "--on", "azureml:serverless", "--job", str(folder / f"{kind}.yml"))


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_the_processes_add_up_their_numbers_in_one_run(
    azure_git_project: Settings,
    nbops_json: NbopsJson,
    ask: Ask,
    kind: str,
) -> None:
    code, result, _ = nbops_json(*job(azure_git_project, kind, SUM, TRACKED))

    size = 3 if kind == "tensorflow" else 2
    assert (code, result["status"], result["metrics"]) == (0, "FINISHED", {"total": sum(range(1, size + 1))}), result
    run = store.connect(azure_git_project).client.get_run(result["run_id"])
    assert run.data.tags["rank"] == "0"
    ranks = {name for name in artifacts(ask, run) if name.startswith("ranks/")}
    assert ranks == {f"ranks/{rank}.{ending}" for rank in range(1, size) for ending in ("ipynb", "json")}


def test_a_rank_that_raises_fails_the_run_and_is_named(
    azure_git_project: Settings,
    nbops_json: NbopsJson,
    ask: Ask,
) -> None:
    stop = "if rank == 1:\n    raise ValueError('no rows')\ntime.sleep(100)"
    code, result, _ = nbops_json(*job(azure_git_project, "pytorch", stop))

    assert (code, result["status"]) == (1, "FAILED")
    assert (result["failure"]["error"], result["failure"]["message"]) == ("ValueError", "rank 1: no rows")


def test_under_ray_the_head_runs_the_notebook(azure_git_project: Settings, nbops_json: NbopsJson) -> None:
    folder = azure_git_project.root / "production" / "azure"
    folder.mkdir(exist_ok=True)
    (folder / "job.yml").write_text("distribution: {type: ray}\nresources: {instance_count: 2}\n")
    cell = "import mlflow, os\nmlflow.log_metric('nodes', float(os.environ['AZUREML_NODE_COUNT']))"
    building.write(azure_git_project.root / "experimentation" / "d.ipynb", cell)
    code, result, _ = nbops_json("run", "experimentation/d.ipynb", "--on", "azureml:serverless")

    assert (code, result["status"], result["metrics"]) == (0, "FINISHED", {"nodes": 2.0}), result
