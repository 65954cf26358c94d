"""A sweep on a real Dask cluster ends like a local one, whatever happens to workers, scheduler or sweep."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib import errors
from notebooks_lib.running import plan
from notebooks_lib.running.orphan_processes import find_marked
from notebooks_lib.settings import Settings, load
from notebooks_lib.sweeps.dask import dask_executor as dask
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.query import RunInfo
from tests import building
from tests.azure.emulator import Emulated
from tests.sweeps import cluster as clusters
from tests.sweeps.cluster import Cluster

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

PARAMETERS = "alpha: float = 1.0\nmarks: str = ''\nseconds: float = 0.0"
CELLS = (
    "import os, pathlib, time\nimport beside, mlflow",
    "open(marks, 'a').write(os.environ['NBOPS_KERNEL'] + '\\n')\ntime.sleep(seconds)",
    "print('threads', os.environ['OMP_NUM_THREADS'], 'in', os.getcwd())",
    "with mlflow.start_run():\n    mlflow.log_metrics({'rmse': beside.square(alpha - 2), 'read': float(pathlib.Path('a.txt').read_text())})",
)


@dataclass
class Sweep:
    """A project that tracks to a real server, and its sweeps as processes."""

    project: Settings
    cluster: Cluster
    marks: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def errors(self) -> Path:
        """The standard error of the sweep that was started last."""
        return self.marks.with_name("errors.txt")

    def start(self, *more: str, notebook: str = "work/n.ipynb", grid: str = "alpha=1..12") -> subprocess.Popen[str]:
        """Start a sweep that prints JSON."""
        command = [sys.executable, "-m", "notebooks_lib", "sweep", notebook, "--grid", grid, "--on", self.cluster.on]
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        with self.errors.open("w") as errors_file:
            self.processes.append(
                subprocess.Popen(
                    [*command, "-p", f"marks={self.marks}", "--json", *more],
                    cwd=self.project.root,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=errors_file,
                    text=True,
                )
            )
        return self.processes[-1]

    def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[dict[str, Any], str]:
        """Return the JSON output and the standard error."""
        out, _ = process.communicate(timeout=180)
        err = self.errors.read_text()
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert "distributed" not in err
        return (json.loads(out) if out else {}), err

    def trials(self, state: str | None = None) -> list[RunInfo]:
        """Return the runs of all trials, newest first."""
        return [run for run in self.runs() if Tag.TRIAL in run.tags and state in (None, run.status)]

    def runs(self) -> list[RunInfo]:
        """Return all runs of the experiment."""
        connected = store.connect(self.project)
        if self.project.experiment not in query.experiments(connected):
            return []
        return query.find_runs(connected, self.project.experiment, ended_only=False)

    def nothing_is_left(self) -> None:
        """Assert that no run is open and no kernel process is left."""
        wait_for(lambda: all(Tag.END in run.tags for run in self.runs()))  # a worker's last write may be on its way
        for run in self.runs():
            assert run.status in ("FINISHED", "FAILED", "KILLED"), run
            assert run.tags[Tag.END] == run.status
        for mark in self.marks.read_text().split():
            wait_for(lambda mark=mark: find_marked(f"NBOPS_KERNEL={mark}".encode()) == [])


def wait_for(found: Callable[[], Any], seconds: float = 120.0) -> Any:
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.25)
    return answer


@pytest.fixture
def prepared(
    empty_project: Settings, azure_server: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A project to be sent: a module, a file beside the notebook and a dataset; its store is a server."""
    root = empty_project.root
    monkeypatch.setenv("NBOPS_TRACKING_URI", azure_server.backend)
    monkeypatch.setenv("NBOPS_TRACKING_EXPERIMENT", f"cluster-{uuid.uuid4().hex[:8]}")  # others use that server, too
    building.write(root / "work" / "n.ipynb", *CELLS, parameters=PARAMETERS, title="On a cluster")
    (root / "work" / "beside.py").write_text("def square(x):\n    return x * x\n")
    (root / "work" / "a.txt").write_text("42")
    (root / "sales.csv").write_text("units,price\n" + "".join(f"{k},{k}.5\n" for k in range(50)))
    assert program.run(["data", "add", "sales.csv", "--name", "sales", "--target", "units"]) == 0
    return load(root, os.environ)


@pytest.fixture
def sweep(prepared: Settings, tmp_path: Path) -> Iterator[Sweep]:
    """Return a sweep on a cluster of two workers, each in its own folder."""
    with clusters.running(tmp_path / "cluster", "first", "second") as cluster:
        made = Sweep(prepared, cluster, tmp_path / "marks")
        try:
            yield made
        finally:
            for process in made.processes:
                process.kill()
                process.communicate()


def kill(run: RunInfo) -> int:
    """Kill the worker that runs a trial, and return its process."""
    pid = int(run.tags[Tag.OWNER_PID])
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.proof
def test_a_killed_worker_only_restarts_its_trial(sweep: Sweep) -> None:
    process = sweep.start("--metric", "rmse:min", "-p", "seconds=0.4")
    wait_for(lambda: len(sweep.trials("FINISHED")) >= 4)
    lost = wait_for(lambda: sweep.trials("RUNNING"))[0]
    dead = kill(lost)
    result, err = sweep.end(process)
    assert "2 workers at tcp://127.0.0.1:" in err

    assert result["counts"]["finished"] == result["total"] == len(result["trials"]) == 12
    assert (result["best"], result["trials"][1]["metrics"]) == (1, {"rmse": 0.0, "read": 42.0})
    sweep.nothing_is_left()
    assert {run.tags[Tag.TRIAL] for run in sweep.trials("FINISHED")} == {str(number) for number in range(12)}
    again = [run for run in sweep.trials() if run.tags[Tag.TRIAL] == lost.tags[Tag.TRIAL]]
    assert [run.status for run in again] == ["FINISHED", "KILLED"]
    assert again[1].tags[Tag.FAILURE] == "its worker is gone, and the trial was begun anew"
    pids = {run.tags[Tag.OWNER_PID] for run in sweep.trials()}
    assert pids == {str(sweep.cluster.processes[name].pid) for name in ("first", "second")}
    assert again[0].tags[Tag.OWNER_PID] != str(dead)

    here = plan.make_plan(
        sweep.project.root / "work" / "n.ipynb",
        sweep.project,
        {"alpha": 2.0, "seconds": 0.4, "marks": str(sweep.marks)},
    )
    best = query.get_run(store.connect(sweep.project), result["trials"][1]["run_id"])
    assert here.start is not None
    assert best.tags[Tag.SOURCE_FINGERPRINT] == here.start.source_fingerprint, "as if it had run here"
    assert best.tags["mlflow.user"] == sweep.runs()[0].tags["mlflow.user"]
    executed = next(iter(notebook(sweep, best).rglob("*.ipynb"))).read_text()
    assert f"threads {max(1, (os.cpu_count() or 1) // 2)} in {sweep.cluster.folder}" in executed
    assert "nbops-" in executed
    alive = next(name for name, one in sweep.cluster.processes.items() if one.poll() is None and name != "scheduler")
    assert all(copy.is_relative_to(sweep.cluster.folder / alive) is False for copy in sweep.cluster.copies())


def notebook(sweep: Sweep, run: RunInfo) -> Path:
    """Return a folder with the notebook that the run holds."""
    client = store.connect(sweep.project).client
    return Path(client.download_artifacts(run.run_id, "notebook", str(sweep.project.root)))


@pytest.mark.proof
def test_ctrl_c_cancels_waiting_and_stops_running_trials_and_the_sweep_can_be_resumed(sweep: Sweep) -> None:
    process = sweep.start("--jobs", "5", "-p", "seconds=600", grid="alpha=1..6")
    wait_for(lambda: len(sweep.trials("RUNNING")) == 2 and sweep.marks.exists() and len(sweep.marks.read_text()) > 60)
    process.send_signal(signal.SIGINT)
    result, _ = sweep.end(process, 130)
    assert (result["status"], result["counts"]["killed"]) == ("KILLED", 5)
    reasons = [trial["reason"] for trial in result["trials"]]
    assert sum("the runner was asked to stop" in reason for reason in reasons) == 2
    assert reasons.count("stopped before it began") == 3
    sweep.nothing_is_left()
    assert len(sweep.trials()) == 2
    assert sweep.cluster.copies() == []
    assert "--resume" in result["resume"]

    # What was asked differently would be another sweep: so the notebook itself is made quick.
    (parent,) = [run for run in sweep.runs() if run.holds_trials]
    cells = [cell.replace("time.sleep(seconds)", "") for cell in CELLS]
    building.write(sweep.project.root / "work" / "n.ipynb", *cells, parameters=PARAMETERS, title="On a cluster")
    result, _ = sweep.end(sweep.start("-p", "seconds=600", "--resume", grid="alpha=1..6"))
    assert (result["run_id"], result["counts"]["finished"]) == (parent.run_id, 6)
    sweep.nothing_is_left()


@pytest.mark.proof
def test_a_lost_scheduler_ends_the_sweep_with_a_message_and_another_resumes_it(sweep: Sweep, tmp_path: Path) -> None:
    process = sweep.start("-p", "seconds=3", grid="alpha=1..4")
    wait_for(lambda: sweep.trials("FINISHED"))
    wait_for(lambda: sweep.trials("RUNNING"))
    sweep.cluster.processes["scheduler"].kill()
    result, err = sweep.end(process, 1)
    assert result["error"]["error"] == "ClusterError"
    assert "the Dask scheduler at tcp://127.0.0.1:" in err
    assert "has gone away" in err
    assert f"nbops: to go on: {result['resume']}" in err
    sweep.nothing_is_left()
    with clusters.running(tmp_path / "another", "third") as sweep.cluster:
        result, _ = sweep.end(sweep.start("-p", "seconds=3", "--resume", result["run_id"], grid="alpha=1..4"))
        assert result["counts"]["finished"] == 4
        sweep.nothing_is_left()


@pytest.mark.proof
def test_a_trial_that_kills_its_workers_is_killed_and_the_sweep_continues(sweep: Sweep) -> None:
    kills = "import psutil\nif alpha == 2:\n    psutil.Process(int(os.environ['JPY_PARENT_PID'])).kill()\n    time.sleep(60)"
    building.write(sweep.project.root / "work" / "n.ipynb", *CELLS[:2], kills, parameters=PARAMETERS)
    sweep.cluster.worker("nursed", "--nanny")  # which is started again each time, and has to be given the project anew
    wait_for(lambda: "Registered to" in sweep.cluster.log("nursed"))
    result, err = sweep.end(sweep.start(grid="alpha=1..5"), 1)
    assert [trial["state"] for trial in result["trials"]] == ["finished", "killed", "finished", "finished", "finished"]
    assert result["trials"][1]["reason"] == "4 workers died while they ran it; often the machine ran out of memory"
    assert (result["status"], "3 workers at" in err) == ("FINISHED", True)
    sweep.nothing_is_left()
    assert len([run for run in sweep.trials("KILLED") if run.tags[Tag.TRIAL] == "1"]) == 4


@pytest.mark.proof
def test_new_workers_are_used_if_fit_and_reported_if_not(sweep: Sweep, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign" / "notebooks_lib" / "__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("raise ImportError('another one')")
    go = tmp_path / "go"
    hold = f"while '/fit/' not in os.getcwd() and not os.path.exists({str(go)!r}):\n    time.sleep(0.1)"
    building.write(sweep.project.root / "work" / "n.ipynb", CELLS[0], hold, *CELLS[1:], parameters=PARAMETERS)
    process = sweep.start("--prune", "median", "--metric", "rmse:min", grid="alpha=1..6")
    wait_for(lambda: len(sweep.trials("RUNNING")) == 2)

    # A trial loses its worker when the only idle one is not checked yet, or known as unfit.
    sweep.cluster.worker("foreign", PYTHONPATH=str(tmp_path / "foreign"))
    wait_for(lambda: "Registered to" in sweep.cluster.log("foreign"))
    kill(sweep.trials("RUNNING")[0])
    wait_for(lambda: "Compute Failed" in sweep.cluster.log("foreign"))
    sweep.cluster.worker("unfit", NBOPS_TRACKING_URI="http://127.0.0.1:9")
    fit = sweep.cluster.worker("fit")
    wait_for(lambda: str(fit) in {run.tags[Tag.OWNER_PID] for run in sweep.trials("FINISHED")})
    wait_for(lambda: sweep.errors.read_text().count("it is left out") == 2)
    go.touch()
    result, err = sweep.end(process)
    assert result["counts"]["finished"] == 6
    assert err.count("http://127.0.0.1:9: unset NBOPS_TRACKING_URI and MLFLOW_TRACKING_URI there; it is left out") == 1
    (refusal,) = re.findall(r"it cannot take what this machine sends \((.*)\): restart it with the same nbops", err)
    assert "another one" in refusal  # Dask hands on the error, or its text
    assert "Stopping worker" not in sweep.cluster.log("foreign"), "others may use it: it works on"
    assert sweep.cluster.processes["unfit"].pid not in {int(run.tags[Tag.OWNER_PID]) for run in sweep.trials()}
    sweep.nothing_is_left()


@pytest.mark.proof
def test_an_unfit_worker_or_none_is_an_error_before_the_start(sweep: Sweep) -> None:
    sweep.cluster.worker("other", NBOPS_TRACKING_URI="http://127.0.0.1:9")
    wait_for(lambda: "Registered to" in sweep.cluster.log("other"))
    result, err = sweep.end(sweep.start(), 2)
    assert result["run_id"] is None
    assert "worker tcp://127.0.0.1:" in err
    assert err.count("it was started with another store, http://127.0.0.1:9") == 1
    for name in ("first", "second", "other"):
        sweep.cluster.processes[name].kill()
    wait_for(lambda: "Lost all workers" in sweep.cluster.log("scheduler"))
    _, err = sweep.end(sweep.start(), 1)
    assert f"has no workers: start some with `dask worker {sweep.cluster.address}`" in err
    assert sweep.trials() == []


@pytest.mark.proof
def test_sqlite_serves_a_local_cluster_and_code_and_data_are_sent(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBOPS_TRACKING_URI")
    sweep.project = load(sweep.project.root, os.environ)
    cells = (
        "from notebooks_lib import datasets, tracking",
        CELLS[1].replace("time", "#"),
    )
    cells += ("tracking.run().log({'rows': len(datasets.load('sales').train.X)})",)
    building.write(sweep.project.root / "work" / "n.ipynb", "import os", *cells, parameters=PARAMETERS)
    result, _ = sweep.end(sweep.start(grid="alpha=1..4"))
    assert [trial["metrics"]["rows"] for trial in result["trials"]] == [23.0] * 4
    assert all(run.datasets.keys() == {"sales"} for run in sweep.trials())
    sweep.nothing_is_left()


def test_a_missing_scheduler_is_reported_quickly() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(errors.ClusterError, match=rf"no Dask scheduler at {address} \(Connection refused\): start one"):
        dask._client(address)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(errors.ClusterError, match=r"is no Dask scheduler \(it does not answer as one\): .* 8786"):
            dask._client(address, connect_limit=0.5)
