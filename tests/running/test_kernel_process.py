"""A kernel's connection is private and collides with no other; closing it leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from notebooks_lib.running import orphan_processes
from notebooks_lib.running.kernel_process import KernelProcess


def test_connections_are_private_sockets_with_short_paths(tmp_path: Path) -> None:
    """On ports, parallel starts collide; without a file of its own, all kernels share one path (docs/design trap 5)."""
    kernels = [KernelProcess("python3", {}, tmp_path) for _ in range(3)]
    files = [Path(kernel.manager.connection_file) for kernel in kernels]
    try:
        assert {kernel.manager.transport for kernel in kernels} == {"ipc"}
        assert len({kernel.manager.ip for kernel in kernels}) == 3
        for file in files:
            assert not file.is_relative_to(tmp_path)
            assert len(str(file)) < 90
            assert file.parent.stat().st_mode & 0o077 == 0
    finally:
        for kernel in kernels:
            kernel.close()
    assert not any(file.parent.exists() for file in files)


def test_where_a_path_is_too_long_for_a_socket_ports_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 80) / ("e" * 20)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    kernel = KernelProcess("python3", {}, tmp_path)
    assert kernel.manager.transport == "tcp"
    kernel.close()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found through /proc")
def test_all_marked_processes_are_killed_when_the_input_ends_before_done() -> None:
    marker = "NBOPS_KERNEL=of-this-test"
    sleeper = ["sleep", "600"]
    environment = {"PATH": "/usr/bin:/bin", "NBOPS_KERNEL": "of-this-test"}
    children = [subprocess.Popen(sleeper, env=environment, start_new_session=True) for _ in range(2)]
    guard = subprocess.Popen([sys.executable, "-I", "-S", orphan_processes.__file__], stdin=subprocess.PIPE)
    assert guard.stdin is not None
    guard.stdin.write(f"start {marker}\n".encode())
    guard.stdin.close()
    assert guard.wait(10) == 0
    assert [child.wait(5) for child in children] == [-9, -9]


def test_nothing_is_killed_when_all_kernels_are_done() -> None:
    with subprocess.Popen(["sleep", "600"], env={"PATH": "/usr/bin:/bin", "NBOPS_KERNEL": "of-a-test"}) as child:
        guard = subprocess.run(
            [sys.executable, "-I", "-S", orphan_processes.__file__],
            input="start NBOPS_KERNEL=of-a-test\ndone NBOPS_KERNEL=of-a-test\n",
            text=True,
            timeout=10,
        )
        assert guard.returncode == 0
        assert psutil.Process(child.pid).is_running()
        child.kill()
