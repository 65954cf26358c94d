"""A process is told from a later one with the same number."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from notebooks_lib import process_identity
from notebooks_lib.process_identity import alive, birth


def test_a_running_process_has_one_birth_and_another_process_another() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert birth() == birth(os.getpid())
        assert birth(other.pid) == birth(other.pid) != birth()
        assert alive(other.pid, birth(other.pid))
        assert not alive(other.pid, birth())
        assert other.stdin is not None
        other.stdin.close()


def test_the_start_time_that_version_0_1_recorded_is_still_understood() -> None:
    started = psutil.Process().create_time()
    assert alive(os.getpid(), str(started))
    assert not alive(os.getpid(), str(started - 60))


@pytest.mark.parametrize("born", ["soon", "nan"])
def test_a_birth_that_is_none_matches_no_process(born: str) -> None:
    assert not alive(os.getpid(), born)


def test_without_a_birth_the_number_decides() -> None:
    assert alive(os.getpid(), "")


def test_an_ended_process_is_not_alive_while_it_waits_to_be_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        born = birth(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(child.pid, born)
    assert not alive(child.pid, born)
    with pytest.raises(OSError, match=str(child.pid)):
        birth(child.pid)


def test_two_processes_of_a_machine_call_it_the_same() -> None:
    code = "from notebooks_lib import process_identity; print(process_identity.pid_space())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == process_identity.pid_space()
