"""No death of a client, a template or a kernel leaves anything behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from notebooks_lib.kernels import template_client, template_manager, template_path
from tests.kernels.building import alive, wait
from tests.kernels.templates import all_of, command_line, other_client, parent, start, status, told_by

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def test_a_killed_client_ends_its_kernel_but_not_the_template(folder: Path) -> None:
    with other_client(folder) as process:
        kernel, started, template = told_by(process)
        assert alive(kernel)
        process.kill()
        wait("the end of the kernel and of what it started", lambda: not alive(kernel) and not alive(started))
        assert wait("that the template knows", lambda: status(template).kernels == [])


@pytest.mark.proof
def test_a_client_killed_after_the_template_ends_its_kernel(folder: Path) -> None:
    with other_client(folder) as process:
        kernel, started, template = told_by(process)
        os.kill(template, signal.SIGKILL)
        wait("the end of the template", lambda: not alive(template))
        time.sleep(0.3)
        assert alive(kernel)
        process.kill()
        wait("the end of the kernel", lambda: not alive(kernel))
        os.kill(started, signal.SIGKILL)  # an ordinary kernel would leave it behind, too


def test_a_killed_templates_kernels_run_on_and_the_next_client_starts_another_template(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        kernel.run("kept = 1")
        os.kill(pid, signal.SIGKILL)
        wait("the end of the template", lambda: not alive(pid))
        assert kernel.run("kept").text == "1"
        with start(folder) as other:
            assert other.warm
            assert parent(other) not in (pid, os.getpid())
        kernel.channels.execute("import os; os._exit(3)")
        assert kernel.process.wait(10) == 255  # that it ended is seen; how, only the template could tell
        assert not kernel.manager.is_alive()


def test_a_template_killed_before_its_answer_leaves_no_second_kernel(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kernels on one connection file would both answer, or neither."""
    package = folder / "kernels"
    shutil.copytree(Path(template_path()).parent, package)
    text = (package / "kernel_supervisor.py").read_text()
    die = "os.path.exists(HERE) or (open(HERE, 'w').close(), os.kill(os.getpid(), signal.SIGKILL))"
    changed = text.replace(
        '        try:\n            protocol.send_message(client, {"pid"',
        f'        {die}\n        try:\n            protocol.send_message(client, {{"pid"',
    )
    assert changed != text
    (package / "kernel_supervisor.py").write_text(
        changed.replace("protocol = sys", f"HERE = {str(folder / 'once')!r}\nprotocol = sys")
    )
    for module in (template_client, template_manager):
        monkeypatch.setattr(module, "template_path", lambda: str(package / "template_process.py"))
    with start(folder) as kernel:
        assert kernel.warm, kernel.reasons
        assert (folder / "once").exists()
        found = [pid for pid in all_of(folder) if b"ipykernel_launcher" in command_line(pid)]
        assert found == [kernel.pid]
        assert kernel.value("os.getpid()", "import os") == kernel.pid


def test_a_killed_kernel_leaves_no_zombie(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        os.kill(kernel.pid, signal.SIGKILL)
        assert kernel.process.wait(10) == -signal.SIGKILL
        wait("that nothing is left", lambda: not Path(f"/proc/{kernel.pid}").exists())
        assert status(pid).kernels == []
