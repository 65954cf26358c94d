"""A folder of sockets and histories for each test file, and a project for each test."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.kernels import safe_packages
from tests.kernels.building import own_templates, wait
from tests.kernels.templates import Environment, all_of, templates


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with own_templates() as home:
        yield home


@pytest.fixture(scope="module")
def environment(home: Path) -> Iterator[Environment]:
    packages = safe_packages.read_table()["packages"]
    before = dict(packages)
    yield Environment(home / "venv")
    packages.clear()
    packages.update(before)


@pytest.fixture
def folder(home: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A project of the test's own, so nothing learned is shared."""
    folder = home / f"work-{abs(hash(request.node.name)):x}"
    (folder / "production").mkdir(parents=True)
    (folder / "production" / "settings.toml").write_text("")
    yield folder
    try:
        wait("that nothing but templates is left", lambda: set(all_of(folder)) == set(templates(folder)))
    finally:
        for pid in all_of(folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
