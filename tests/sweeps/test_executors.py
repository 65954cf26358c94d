"""Threads of this process run tasks, pass on their errors, and share the cores. `test_places` tests every executor."""

from __future__ import annotations

import threading

import pytest

from notebooks_lib.sweeps import executors


def test_a_task_starts_at_once_and_its_error_is_passed_on() -> None:
    executor = executors.LocalExecutor(lambda task: task())
    gate = threading.Event()
    waiting = [executor.submit(lambda: gate.wait(10)) for _ in range(3)]
    with pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 // 0).result(10)
    assert not any(future.done() for future in waiting)
    gate.set()
    assert all(future.result(10) for future in waiting)


def test_kernels_share_the_cores_unless_the_user_sets_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.cpu_count, "max_workers", lambda: 8)
    assert set(executors.thread_limits(3, {}).values()) == {"2"}
    assert set(executors.thread_limits(16, {}).values()) == {"1"}
    assert "OMP_NUM_THREADS" not in executors.thread_limits(2, {"OMP_NUM_THREADS": "3"})


def test_jobs_and_threads_follow_the_quota_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 cores in a container of 2 are 2: both come from `cores`."""
    monkeypatch.setattr(executors.cpu_count, "cpu_quota", lambda *root: 2.0)
    monkeypatch.setattr(executors.cpu_count.os, "sched_getaffinity", lambda pid: range(64))
    assert executors.LOCAL.default_jobs() == executors.LocalExecutor(str).capacity() == 2
    assert set(executors.LOCAL.thread_limits(2, {}).values()) == {"1"}
