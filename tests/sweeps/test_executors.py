"""Executors run tasks, pass on their errors, and share the cores."""

from __future__ import annotations

import threading

import pytest

from notebooks_lib import errors
from notebooks_lib.sweeps import executors


def test_threads_start_at_once_pass_on_errors_and_can_be_joined() -> None:
    pool = executors.ThreadExecutor()
    gate = threading.Event()
    held = [pool.submit(gate.wait, 10) for _ in range(3)]
    broken = pool.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        broken.result(10)
    assert not any(future.done() for future in held)
    gate.set()
    pool.shutdown(wait=True)
    assert all(future.result() for future in held)


def test_kernels_share_the_cores_unless_the_user_sets_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors.cores, "whole", lambda: 8)
    assert set(executors.thread_limits(3, {}).values()) == {"2"}
    assert set(executors.thread_limits(16, {}).values()) == {"1"}
    assert "OMP_NUM_THREADS" not in executors.thread_limits(2, {"OMP_NUM_THREADS": "3"})


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("laptop", "allowed local or dask://HOST:PORT"),
        ("dask://host", "no such executor"),
        ("dask://host:0", "no such executor"),
    ],
)
def test_an_unknown_executor_is_rejected(on: str, message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        executors.check(on)
