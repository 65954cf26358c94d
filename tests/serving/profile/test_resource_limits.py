"""Limits hold, or are not claimed; and nothing outlives the profiler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from notebooks_lib.serving.profile import resource_limits
from notebooks_lib.serving.profile.resource_limits import LimitedProcess
from notebooks_lib.serving.server_process import wait_for_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")

MIB = 2**20


def test_a_share_of_a_cpu_is_held_by_pauses(spinning: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_limits, "make_group", lambda number: None)
    with LimitedProcess(spinning, 0.3, 1.0, 1) as held:
        assert (held.cpu_by, held.memory_by) == ("nothing", "watch")
        held.limit_cpu()
        assert held.cpu_by == "pauses"
        began, used = time.monotonic(), held.seconds
        time.sleep(0.8)
        share = (held.seconds - used) / (time.monotonic() - began)
    assert 0.05 < share < 0.35  # less on a machine that is busy; never more
    time.sleep(0.15)
    assert psutil.Process(spinning).status() != psutil.STATUS_STOPPED


def test_a_whole_cpu_is_held_by_affinity(spinning: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_limits, "make_group", lambda number: None)
    with LimitedProcess(spinning, 1.0, 1.0, 1) as held:
        held.limit_cpu()
        assert held.cpu_by == "affinity"
        assert len(os.sched_getaffinity(spinning)) == 1


def test_child_processes_of_a_model_are_reported_as_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_limits, "make_group", lambda number: None)
    code = "import subprocess, sys\nsubprocess.Popen(['sleep', '60'])\nprint(flush=True)\ninput()"
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with LimitedProcess(process.pid, 0.5, 1.0, 1) as held:
            held.limit_cpu()
            assert not held.alone()
            assert (held.cpu_by, held.memory_by) == ("nothing", "nothing")
    finally:
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
        process.communicate()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder that looks as a delegated cgroup does; that the kernel obeys it is not shown by it."""
    for group in ("ours", "ours/here"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "cgroup.procs").touch()
        (tmp_path / group / "cgroup.subtree_control").write_text("cpu memory pids\n" if group == "ours" else "")
    (tmp_path / "own").write_text("3:cpu:/elsewhere\n0::/ours/here\n")
    return tmp_path


def test_a_group_is_made_beside_the_one_of_this_process(tree: Path) -> None:
    left = tree / "ours" / "nbops-profile-4194999-1"
    left.mkdir()
    group = resource_limits.make_group(7, tree, tree / "own")
    assert group is not None
    path = tree / "ours" / f"nbops-profile-{os.getpid()}-7"
    assert path.is_dir()
    assert not left.exists()
    assert group.add(1234)
    assert group.limit_memory(64 * MIB)
    assert group.limit_cpu(0.5)
    written = {file.name: file.read_text() for file in path.iterdir()}
    assert written["cpu.max"] == "50000 100000"
    assert (written["memory.max"], written["memory.swap.max"]) == (str(64 * MIB), "0")
    assert not group.killed
    (path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert group.killed
    assert group.seconds == 2.5


@pytest.mark.parametrize("given", ["memory pids", ""])
def test_no_group_is_made_where_it_would_not_limit(tree: Path, given: str) -> None:
    (tree / "ours" / "cgroup.subtree_control").write_text(given)
    assert resource_limits.make_group(1, tree, tree / "own") is None
    assert resource_limits.make_group(1, tree, tree / "nothing") is None


@pytest.mark.parametrize("paused", [False, True])
def test_a_child_ends_with_a_profiler_that_is_killed(tmp_path: Path, paused: bool) -> None:
    code = (
        "import time, os, signal, sys\nfrom notebooks_lib.serving.profile import profile_child_processes\n"
        "from notebooks_lib.serving.profile.load_generator import LoadConfig\n"
        "with profile_child_processes.start_client() as child:\n"
        "    config = LoadConfig(port=1, body='', concurrency=1, warm_up=0, seconds=0, patience=0)\n"
        "    profile_child_processes.drive(child, config, 60)\n"  # it runs, so it has tied itself to us
        f"    if {paused}: os.kill(child.pid, signal.SIGSTOP)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    profiler = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert profiler.stdout is not None
    child = psutil.Process(int(profiler.stdout.readline()))
    profiler.kill()
    profiler.communicate()
    assert wait_for_end(child, 10)
