"""Templates are killed at any moment, while they start, fork and learn: every kernel that is wanted works all the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from notebooks_lib.kernels import template_manager
from tests.kernels.building import marked, own_templates, wait

ROOT = Path(__file__).parent.parent.parent
CLIENT = """
import os, random, sys
from pathlib import Path
from tests.kernels.building import Kernel
chance, warm = random.Random(int(sys.argv[2])), 0
modules = "csv pandas numpy yaml optuna sklearn.linear_model mlflow wsgiref xmlrpc.client".split()
for _ in range(int(sys.argv[3])):
    with Kernel(Path(sys.argv[1]), warm=True) as kernel:
        assert kernel.value("6 * 7", f"import {chance.choice(modules)}") == 42
        warm += kernel.warm
        way = chance.random()
        if way < 0.5:
            assert kernel.shut_down() in (0, 255)  # 255: its template was killed before it could tell
        elif way < 0.7:
            os.kill(kernel.pid, 9)
            assert kernel.process.wait(60) in (-9, 255)
print(warm)
"""
CLIENTS, KERNELS = 3, 15


@pytest.mark.proof
@pytest.mark.notebooks
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux")
def test_kernels_start_and_end_while_templates_are_killed() -> None:
    kills = 0
    with own_templates() as home:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        (home / "work").mkdir()
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", CLIENT, str(home / "work"), str(seed), str(KERNELS)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environ,
                cwd=ROOT,
            )
            for seed in range(CLIENTS)
        ]
        until = time.monotonic() + 1000
        while any(process.poll() is None for process in clients):
            assert time.monotonic() < until
            time.sleep(random.uniform(1, 4))
            found = [pid for pid in marked(str(home)) if b"template_process.py" in command(pid)]
            time.sleep(0.5)  # a kernel shows its template's command for a moment after the fork
            templates = [pid for pid in found if b"template_process.py" in command(pid)]
            if templates:
                os.kill(random.choice(templates), signal.SIGKILL)
                kills += 1
        told = [process.communicate(timeout=60) for process in clients]
        assert [process.returncode for process in clients] == [0] * CLIENTS, told
        assert kills >= 5
        assert sum(int(out) for out, _ in told) > CLIENTS * KERNELS / 5  # many were warm all the same
        template_manager.stop()
        wait("that nothing is left", lambda: not marked(str(home)), 60)
        assert not [path for path, _ in template_manager.templates()]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
