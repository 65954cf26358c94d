"""Limits without special rights: memory that is watched, and the CPU time that others take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from notebooks_lib.serving.profile import unprivileged_limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")

MIB = 2**20


def test_cpu_time_that_others_take_is_measured() -> None:
    """Two that spin on one core: each is ready to run for about half of the time, and does not."""
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, [{core}])\nprint(flush=True)\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for each in both:
            assert each.stdout is not None
            each.stdout.readline()
        before = unprivileged_limits.seconds_waited(both[0].pid)
        time.sleep(0.4)
        assert unprivileged_limits.seconds_waited(both[0].pid) - before > 0.1
    finally:
        for each in both:
            each.kill()
            each.communicate()


def test_a_process_that_exceeds_its_memory_is_killed_and_reported() -> None:
    code = "import time\nblocks = []\nwhile True: blocks.append(b'x' * 2**20); time.sleep(0.001)"
    process = subprocess.Popen([sys.executable, "-S", "-c", code])
    try:
        watch = unprivileged_limits.MemoryWatch(process.pid, 40 * MIB)
        watch.start()
        assert process.wait(30) == -signal.SIGKILL
        watch.stop()
        assert watch.killed
    finally:
        process.kill()


def test_a_process_within_its_memory_is_left_alone(spinning: int) -> None:
    watch = unprivileged_limits.MemoryWatch(spinning, 1000 * MIB)
    watch.start()
    time.sleep(0.05)
    watch.stop()
    assert not watch.killed
    assert MIB < unprivileged_limits.peak_memory(spinning) < 100 * MIB
