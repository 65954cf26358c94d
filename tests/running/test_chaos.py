"""Slow proofs: runners killed at any moment, a server that goes away, many at once. Nothing is lost but what was in flight."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notebooks_lib.running.orphan_processes import find_marked
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs, query, quiet_mlflow_server, store
from tests import building

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

KILLS = 16
LOGS = "import mlflow, time\nwith mlflow.start_run():\n    for step in range(20):\n        mlflow.log_metric('a', step, step=step)\n        time.sleep(0.05)"


def nbops(project: Settings, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "notebooks_lib", *arguments],
        cwd=project.root,
        # without what MLflow told this process's own children
        env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(project: Settings, *arguments: str) -> int:
    """The command's exit code."""
    with nbops(project, *arguments) as process:
        process.communicate()
    return process.returncode


def test_a_runner_killed_at_any_moment_leaves_nothing_that_doctor_does_not_end(project: Settings) -> None:
    """From before the run is opened to after its end is written: moments drawn over the whole life of a run."""
    marks = project.root / "marks"
    path = building.write(
        project.root / "n.ipynb",
        f"import os, subprocess\nopen({str(marks)!r}, 'a').write(os.environ['NBOPS_KERNEL'] + '\\n')\n"
        "child = subprocess.Popen(['sleep', '600'])",
        LOGS,
        "child.kill()",
    )
    began = time.monotonic()
    assert ended(project, "run", str(path)) == 0
    whole = time.monotonic() - began
    moments = random.Random(20261121)
    for _ in range(KILLS):
        with nbops(project, "run", str(path)) as runner:
            time.sleep(moments.uniform(0.3, whole * 1.05))
            runner.kill()
    kernels = [f"NBOPS_KERNEL={mark}".encode() for mark in marks.read_text().split()]
    deadline = time.monotonic() + 60
    while any(map(find_marked, kernels)):
        assert time.monotonic() < deadline, "a process of a kernel is left"
        time.sleep(0.2)

    connected = store.connect(project)
    orphan_runs.close_left_behind(connected)
    runs = query.find_runs(connected, "sample", ended_only=False)
    assert len(runs) > KILLS / 3, "too few were killed after their run was opened"
    for run in runs:
        assert run.status in ("FINISHED", "KILLED")
        assert run.tags[Tag.END] == run.status
    assert ended(project, "run", str(path)) == 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_goes_away_is_reported_within_minutes_and_the_notebook_is_kept(project: Settings) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [*quiet_mlflow_server.command(store.connect(project), port)]
    flag = project.root / "running"
    path = building.write(
        project.root / "n.ipynb", f"import time\nopen({str(flag)!r}, 'w').close()\ntime.sleep(8)\nprint('done')"
    )
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            deadline = time.monotonic() + 240
            while not listens(port):
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.25)
            runner = nbops(project, "run", str(path), "--json", NBOPS_TRACKING_URI=uri)
            while not flag.exists():
                assert runner.poll() is None, runner.communicate()
                time.sleep(0.1)
        finally:
            os.killpg(server.pid, signal.SIGKILL)
    out, told = runner.communicate(timeout=600)
    result = json.loads(out)
    assert runner.returncode == 1
    assert (result["status"], result["error"]["error"]) == ("FINISHED", "RunNotWrittenError")
    assert "done" in Path(result["output"]).read_text()
    assert "`nbops doctor` closes it" in told


def test_twenty_four_runs_eight_at_a_time_are_whole(empty_project: Settings) -> None:
    path = building.write(empty_project.root / "n.ipynb", LOGS, parameters="k: int = 0")

    def once(k: int) -> int:
        return ended(empty_project, "run", str(path), "-p", f"k={k}", "--no-html")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(once, range(24))) == {0}
    connected = store.connect(empty_project)
    runs = query.find_runs(connected, "sample")
    assert sorted(int(run.params["k"]) for run in runs) == list(range(24))
    for run in runs:
        assert len(connected.client.get_metric_history(run.run_id, "a")) == 20
