"""Templates are found and started once, for this user only; what is wrong with one leads to ordinary kernels."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib.kernels import preferences, provisioner, template_client, template_manager
from tests.kernels.building import Kernel, alive, wait
from tests.kernels.templates import Environment, other_client, parent, request_like, start, status, templates, told_by

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def test_two_clients_at_once_start_one_template(folder: Path) -> None:
    with contextlib.ExitStack() as clients:
        processes = [clients.enter_context(other_client(folder)) for _ in range(2)]
        told = [told_by(process) for process in processes]
        (template,) = {parent for _, _, parent in told}
        assert templates(folder) == [template]
        assert sorted(status(template).kernels) == sorted(kernel for kernel, _, _ in told)


def test_only_the_user_may_enter_the_folder_of_the_sockets(home: Path) -> None:
    found = template_manager.runtime_folder()
    assert found.stat().st_mode & 0o777 == 0o700
    assert found.parent == home / "run"


def test_a_folder_that_others_may_enter_gives_ordinary_kernels_and_one_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(provisioner, "_warned", False)
    place = tmp_path / "nbops"
    place.mkdir(mode=0o755)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with start(folder) as kernel:
                assert not kernel.warm
                assert kernel.run("6 * 7").text == "42"
    assert [record.getMessage() for record in caplog.records if "warm" in record.getMessage()] == [
        f"an ordinary kernel instead of a warm one: {place} is not a folder that only this user may enter"
    ]
    place.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(template_manager.Unavailable, match="not a folder that only"):
        template_manager.runtime_folder()
    place.unlink()
    place.write_text("")
    with pytest.raises(template_manager.Unavailable, match="cannot be made|not a folder"):
        template_manager.runtime_folder()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_a_template_does_not_answer_another_user(folder: Path, home: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        path = next(path for path, told in template_manager.templates() if told.pid == pid)
        opened = [home, home / "run", path.parent]
        code = f"""
import os, socket, struct
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect({str(path)!r})
body = b'{{"op": "stop"}}'
try:
    s.sendall(struct.pack('!I', len(body)) + body)
    print(s.recv(100))
except ConnectionError:
    print(b'')
"""
        try:
            for place in opened:
                place.chmod(0o711)
            path.chmod(0o777)
            told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        finally:
            for place in opened:
                place.chmod(0o700)
        assert told.stdout.strip() == "b''"
        assert status(pid).open is True
    monkey = home / "run" / "foreign"
    monkey.mkdir(mode=0o700)
    os.chown(monkey, 65534, 65534)
    with pytest.MonkeyPatch.context() as changed, pytest.raises(template_manager.Unavailable, match="only this user"):
        monkey.rename(home / "foreign")
        (home / "foreign").rename(home / "run" / "nbops2")
        changed.setattr(os, "getuid", lambda: 4711)
        template_manager.runtime_folder()


def test_kernels_are_warm_where_the_temporary_folder_has_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(template_manager.tempfile, "gettempdir", lambda: str(deep))
    assert template_manager.runtime_folder() == Path("/tmp") / f"nbops-kernels-{os.getuid()}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_runtime_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 65534, 65534)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert template_manager.runtime_folder().name == f"nbops-kernels-{os.getuid()}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.proof
def test_one_template_too_many_stops_the_longest_idle_one(folder: Path) -> None:
    def start_another(like: Kernel, kind: str) -> None:
        request = request_like(like, PYTHON_KIND=kind)
        wanted = preferences.read_preferences(str(folder), request.environment)
        template_client.wait_for_template(request, wanted, most=1)

    with start(folder, PYTHON_KIND="1") as kernel:
        (first,) = templates(folder)
        start_another(kernel, "2")  # the first has a kernel, so it stays
        assert len(templates(folder)) == 2
    start_another(kernel, "3")
    wait("the end of the two that had no kernel", lambda: len(templates(folder)) == 1)
    assert not alive(first)


@pytest.mark.proof
def test_a_template_that_does_not_answer_or_does_not_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment, home: Path
) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        os.kill(pid, signal.SIGSTOP)
        try:
            request = request_like(kernel)
            wanted = preferences.read_preferences(str(folder), request.environment)
            with pytest.raises(template_manager.Unavailable, match="did not answer within 0.5 s"):
                template_client.fork_kernel(request, wanted, timeout=0.5)
        finally:
            os.kill(pid, signal.SIGCONT)

        def left() -> bool:
            told = [told for _, told in template_manager.templates() if told.pid == pid]
            return bool(told) and not told[0].open and told[0].kernels == [kernel.pid]

        wait("that it leaves, and that who went away has no kernel", left)
    broken = home / "broken.py"
    broken.write_text("raise SystemExit('broken')")
    for module in (template_client, template_manager):
        monkeypatch.setattr(module, "template_path", lambda: str(broken))
    request = template_client.KernelRequest([sys.executable, "-m", "ipykernel_launcher"], {"PATH": "/bin"}, str(folder))
    wanted = preferences.read_preferences(str(folder), {})
    with pytest.raises(
        template_manager.Unavailable, match="did not start: it ended while it was starting; .*log says more"
    ):
        template_client.fork_kernel(request, wanted)
    broken.unlink()  # so it is not even tried again
    with pytest.raises(template_manager.Unavailable, match="did not start a moment ago"):
        template_client.fork_kernel(request, wanted)


def test_a_client_with_many_open_files_gets_a_warm_kernel(folder: Path) -> None:
    """As JupyterLab may have: `select.select` takes no descriptor from 1,024 on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    try:
        with contextlib.ExitStack() as open_files:
            while open_files.enter_context(Path(os.devnull).open()).fileno() < 1100:
                pass
            with start(folder, MANY="files") as kernel:
                assert kernel.warm, kernel.reasons
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
