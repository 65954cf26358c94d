"""A slow proof: of two hundred trials with every kind of end, in a sweep that is killed twice, no run stays open."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from notebooks_lib.running.orphan_processes import find_marked
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from tests import building

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

TRIALS = 200
KILLS = 2
JOBS = 4
FATE = """\
import os, random, signal, subprocess, sys, time
open(marks, 'a').write(os.environ['NBOPS_KERNEL'] + '\\n')
fate = random.Random(k).choice(['fine'] * 5 + ['raise', 'exit', 'kill', 'abort', 'sleep', 'child', 'stop'])
open(fates, 'a').write(f'{k} {fate}\\n')
if fate == 'raise':
    raise ValueError(k)
if fate == 'exit':
    sys.exit(3)
if fate == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
if fate == 'abort':
    os.abort()
if fate == 'sleep':
    time.sleep(600)
if fate == 'child':
    subprocess.Popen(['sleep', '600'])
if fate == 'stop':
    sys.exit(0)"""
STATES = {"raise": "failed", "exit": "failed", "kill": "killed", "abort": "killed", "sleep": "killed"}


def test_two_hundred_trials_with_every_kind_of_end_leave_no_run_open(project: Settings) -> None:
    marks, fates = project.root / "marks", project.root / "fates"
    building.write(
        project.root / "n.ipynb", FATE, "print('whole')", parameters="k: int = 0\nmarks: str = ''\nfates: str = ''"
    )
    command = [sys.executable, "-m", "notebooks_lib", "sweep", "n.ipynb", "--grid", f"k=0..{TRIALS - 1}"]
    command += ["-p", f"marks={marks}", "-p", f"fates={fates}", "--jobs", str(JOBS), "--cell-timeout", "5", "--json"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    moments = random.Random(20261121)
    for session in range(KILLS):
        more = ["--resume"] if session else []
        with subprocess.Popen(
            [*command, *more], cwd=project.root, env=environment, stdout=subprocess.DEVNULL
        ) as killed:
            begun = len(fates.read_text().splitlines()) if fates.exists() else 0
            while not fates.exists() or len(fates.read_text().splitlines()) < begun + TRIALS // 6:
                assert killed.poll() is None
                time.sleep(0.1)
            time.sleep(moments.uniform(0, 1))
            killed.kill()
    done = subprocess.run([*command, "--resume"], cwd=project.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "FINISHED"

    wanted = dict(line.split() for line in fates.read_text().splitlines())
    assert len(result["trials"]) == len(wanted) == TRIALS
    assert set(wanted.values()) >= {*STATES, "fine", "child", "stop"}
    connected = store.connect(project)
    for one in result["trials"]:
        fate = wanted[str(one["values"]["k"])]
        assert one["state"] == STATES.get(fate, "finished"), (fate, one)
        run = query.get_run(connected, one["run_id"])
        assert run.tags[Tag.TRIAL_STATE] == one["state"]
        assert run.tags.get(Tag.SIGNAL) == {"kill": "9", "abort": "6"}.get(fate)
    left = 0
    for run in query.find_runs(connected, "sample", ended_only=False):
        assert run.status in ("FINISHED", "FAILED", "KILLED"), run
        assert run.tags[Tag.END] == run.status
        left += run.tags.get(Tag.FAILURE) == "its owner is gone"
    assert 0 < left <= KILLS * JOBS
    kernels = [f"NBOPS_KERNEL={mark}".encode() for mark in marks.read_text().split()]
    deadline = time.monotonic() + 60
    while any(map(find_marked, kernels)):
        assert time.monotonic() < deadline, "a process of a kernel is left"
        time.sleep(0.2)
