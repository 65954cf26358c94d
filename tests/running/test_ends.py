"""However a notebook ends, its run, its output notebook and its exit say the same, and nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from notebooks_lib.run_result import RunResult
from notebooks_lib.running import plan
from notebooks_lib.running.orphan_processes import find_marked
from notebooks_lib.running.runner import run_notebook
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import orphan_runs, provenance, query, store
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]

SWALLOW = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass"


def ended(project: Settings, result: RunResult) -> query.RunInfo:
    """The run, after checking that result, run and executed notebook agree."""
    assert result.run_id is not None
    info = query.get_run(store.connect(project), result.run_id)
    written = json.loads(result.output.read_text())["metadata"]["nbops"]
    assert info.status == info.tags[Tag.END] == result.status == written["status"]
    assert (result.failure is None) == (written["failure"] is None)
    return info


def test_a_raising_cell_fails_and_is_named(project: Settings) -> None:
    result = building.run(
        project, "x = 1", "\n# divide\n1 / 0", "print('never')", parameters="a: int = 1", values={"a": 2}
    )
    info = ended(project, result)
    assert result.status == "FAILED"
    assert result.failure is not None
    assert (result.failure.kind, result.failure.error, result.failure.cell) == ("error", "ZeroDivisionError", 2)
    assert result.failure.line == "# divide"
    assert info.tags[Tag.FAILURE] == "ZeroDivisionError"
    assert info.tags[Tag.FAILED_CELL] == "2"
    assert "never" not in building.outputs(result)


@pytest.mark.parametrize(
    ("cell", "status", "error", "early"),
    [
        ("import sys\nsys.exit(0)", "FINISHED", None, True),
        ("import sys\nsys.exit()", "FINISHED", None, True),
        ("import sys\nsys.exit(1)", "FAILED", "SystemExit", False),
        ("import sys\nsys.exit('broken')", "FAILED", "SystemExit", False),
        ("import os\nos.kill(os.getpid(), 9)", "KILLED", "SIGKILL", False),
        ("import os\nos.kill(os.getpid(), 15)", "KILLED", "SIGTERM", False),
        ("import os\nos._exit(3)", "KILLED", "KernelDied", False),
        ("import os\nos.abort()", "KILLED", "SIGABRT", False),
        ("raise KeyboardInterrupt", "FAILED", "KeyboardInterrupt", False),
    ],
)
def test_a_notebook_that_ends_itself_has_the_outcome_of_its_way(
    cell: str, status: str, error: str | None, early: bool, project: Settings
) -> None:
    result = building.run(project, "print('before')", cell, "print('never')")
    info = ended(project, result)
    assert result.status == status, result.failure
    assert (result.failure.error if result.failure else None) == error
    assert result.stopped_early == early == (info.tags.get(Tag.STOPPED_EARLY) == "true")
    assert "before" in building.outputs(result)
    assert "never" not in building.outputs(result)
    assert result.peak_memory_mb
    assert result.peak_memory_mb > 10


def test_a_stop_before_any_code_runs_is_an_outcome_too(project: Settings) -> None:
    path = building.write(project.root / "work" / "n.ipynb", "x = 1", title="Text first")
    result = run_notebook(plan.make_plan(path, project), html=False, stop_reason=lambda: "interrupt")
    info = ended(project, result)
    assert (info.status, info.tags[Tag.FAILURE]) == ("KILLED", "Interrupted")


@pytest.mark.parametrize(
    ("cell", "limits", "error"),
    [
        ("while True:\n    pass", {"timeout": 3.0}, "Timeout"),
        ("import time\ntime.sleep(600)", {"cell_timeout": 0.5}, "CellTimeout"),
        pytest.param(SWALLOW, {"cell_timeout": 0.5}, "CellTimeout", marks=pytest.mark.proof),
    ],
)
def test_a_time_limit_kills_even_a_cell_that_swallows_the_interrupt(
    cell: str, limits: dict[str, float], error: str, project: Settings
) -> None:
    result = building.run(project, "x = 1", cell, "print('never')", **limits)
    ended(project, result)
    assert result.status == "KILLED"
    assert result.failure is not None
    assert (result.failure.kind, result.failure.error, result.failure.cell) == ("timeout", error, 1)


@pytest.mark.proof
def test_a_kernel_that_does_not_start_is_tried_twice_and_reported(project: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "jupyter" / "kernels" / "broken"
    folder.mkdir(parents=True)
    tries = tmp_path / "tries"
    code = f"open({str(tries)!r}, 'a').write('x'); raise SystemExit('no such luck')"
    spec = {"argv": [sys.executable, "-c", code, "{connection_file}"], "display_name": "broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    path = building.write(project.root / "n.ipynb", "x = 1")
    path.write_text(path.read_text().replace('"python3"', '"broken"'))
    done = cli(project, "run", str(path), "--json", JUPYTER_PATH=str(tmp_path / "jupyter"))
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert (result["status"], result["failure"]["kind"]) == ("FAILED", "start")
    assert "no such luck" in result["failure"]["message"]
    assert tries.read_text() == "xx"


@pytest.mark.proof
def test_processes_that_a_notebook_leaves_are_ended(project: Settings) -> None:
    cell = (
        "import subprocess\n"
        "a = subprocess.Popen(['sleep', '600'])\n"
        "b = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "c = subprocess.Popen(['/bin/sleep', '600'], start_new_session=True, env={})\n"
        "print(a.pid, b.pid, c.pid)"
    )
    result = building.run(project, cell)
    assert result.status == "FINISHED"
    for pid in map(int, building.outputs(result).split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def cli(project: Settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`nbops` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "notebooks_lib", *arguments],
        cwd=project.root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextlib.contextmanager
def started(project: Settings, cell: str) -> Iterator[tuple[subprocess.Popen[str], bytes]]:
    """`nbops run` on a notebook whose second cell is `cell`, once that cell runs; and its kernel's marker."""
    flag = project.root / "running"
    first = f"import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nopen({str(flag)!r}, 'w').write(os.environ['NBOPS_KERNEL'])"
    path = building.write(project.root / "n.ipynb", first, cell)
    with subprocess.Popen(
        [sys.executable, "-m", "notebooks_lib", "run", str(path), "--json", "--no-html"],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_for(lambda: flag.exists() and flag.read_text() != "")
            yield process, f"NBOPS_KERNEL={flag.read_text()}".encode()
        finally:
            process.kill()


def sleepers(seconds: int) -> list[int]:
    """Processes of `sleep` with this argument."""
    command = ["/bin/sleep", str(seconds)]
    return [process.pid for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == command]


def wait_for(condition: Any, seconds: float = 60) -> None:
    """Look until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.proof) for one in (signal.SIGTERM, signal.SIGHUP))]
)
def test_a_polite_stop_of_the_runner_ends_the_run_as_killed(number: signal.Signals, project: Settings) -> None:
    with started(project, "import time\ntime.sleep(600)") as (process, marker):
        assert orphan_runs.close_left_behind(store.connect(project)) == [], "its owner lives"
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    result = json.loads(out)
    assert process.returncode == 130
    assert (result["status"], result["failure"]["kind"]) == ("KILLED", "interrupt")
    assert result["failure"]["cell"] in (0, 1)
    assert query.get_run(store.connect(project), result["run_id"]).tags[Tag.END] == "KILLED"
    assert find_marked(marker) == []
    assert Path(result["output"]).exists()


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("while True:\n    pass", id="in Python", marks=pytest.mark.proof),
        pytest.param("sum(range(10**12))", id="in C"),
    ],
)
def test_nothing_of_a_kernel_is_left_when_the_runner_is_killed(cell: str, project: Settings) -> None:
    other = "other = subprocess.Popen(['/bin/sleep', '617'], start_new_session=True, env={})\n"
    with started(project, other + cell) as (process, marker):
        wait_for(lambda: sleepers(617))  # before that it is a fork of the kernel, marked like it
        assert len(find_marked(marker)) == 2
        process.kill()
        process.communicate(timeout=60)
        wait_for(lambda: find_marked(marker) == [] and not sleepers(617))

    left = query.find_runs(store.connect(project), "sample", ended_only=False)
    assert [run.status for run in left] == ["RUNNING"]
    if cell.startswith("while"):
        assert cli(project, "doctor").returncode == 0
    else:  # the same by its function, which is quicker
        orphan_runs.close_left_behind(store.connect(project))
    (closed,) = query.find_runs(store.connect(project), "sample", ended_only=False)
    assert (closed.status, closed.tags[Tag.END]) == ("KILLED", "KILLED")
    assert closed.tags[Tag.FAILURE] == "its owner is gone"


def test_doctor_closes_a_run_that_mlflow_finished_before_its_owner_was_killed(project: Settings) -> None:
    connected = store.connect(project)
    gone = {Tag.OWNER_HOST: socket.gethostname(), Tag.OWNER_PID: "999999999"}
    cut_off = connected.client.create_run("0", tags=gone).info.run_id
    connected.client.set_terminated(cut_off, "FINISHED")
    resumed = connected.client.create_run("0", tags={**gone, Tag.END: "FINISHED"}).info.run_id
    assert set(orphan_runs.close_left_behind(connected)) == {cut_off, resumed}
    states = {run: query.get_run(connected, run) for run in (cut_off, resumed)}
    assert (states[cut_off].status, states[cut_off].tags[Tag.END]) == ("KILLED", "KILLED")
    assert (states[resumed].status, states[resumed].tags[Tag.END]) == ("FINISHED", "FINISHED")
    assert orphan_runs.close_left_behind(connected) == []


def test_a_job_in_a_container_of_this_machine_has_pids_of_its_own(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = store.connect(project)
    with monkeypatch.context() as in_job:
        in_job.setenv("AZUREML_RUN_ID", "of-the-job")
        owner = provenance.owner_tags()
    run_id = connected.client.create_run("0", tags={**owner, Tag.OWNER_PID: "999999999"}).info.run_id

    assert orphan_runs.close_left_behind(connected) == []
    assert orphan_runs.may_live(query.get_run(connected, run_id).tags)
    monkeypatch.setenv("AZUREML_RUN_ID", "of-the-job")
    assert orphan_runs.close_left_behind(connected) == [run_id]
