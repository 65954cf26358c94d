"""A template leaves when it is idle or stopped, but stays for its running kernels."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from notebooks_lib.kernels import template_manager
from tests.kernels.building import alive, wait
from tests.kernels.templates import parent, start, status

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="warm kernels are for Linux"),
]


def test_an_idle_template_leaves(folder: Path) -> None:
    with start(folder, NBOPS_KERNELS_IDLE_MINUTES="0.01") as kernel:
        pid = parent(kernel)
        assert status(pid).idle == pytest.approx(0.6)
        time.sleep(1)
        assert alive(pid)  # a kernel keeps it
    wait("the end of the template", lambda: not alive(pid))
    assert not [path for path, _ in template_manager.templates() if alive(pid)]


def test_a_stopped_template_stays_for_its_kernels_and_forks_no_more(folder: Path) -> None:
    with start(folder) as kernel:
        pid = parent(kernel)
        path = next(path for path, told in template_manager.templates() if told.pid == pid)
        told = template_manager.ask(path, "stop")
        assert told is not None
        assert not told.open
        assert not path.exists()
        assert status(pid).kernels == [kernel.pid]  # it can still be asked
        with start(folder) as other:
            assert parent(other) != pid
        assert kernel.run("1 + 1").text == "2"
        assert kernel.shut_down() == 0
    wait("the end of the template", lambda: not alive(pid))
    assert not list(path.parent.glob(f"{path.name}-{pid}"))
