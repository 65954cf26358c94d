"""A container's quota counts, not the cores of the host."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from notebooks_lib import cpu_count


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu.max": "max 100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "garbage"}, math.inf),
        ({"cpu.max": "100 0"}, math.inf),
        ({}, math.inf),
    ],
)
def test_the_quota_is_read_from_either_version(tmp_path: Path, files: dict[str, str], found: float):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_count.cpu_quota(tmp_path) == found


def test_a_container_of_two_on_a_host_of_many_has_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu_count.os, "sched_getaffinity", lambda pid: set(range(64)))
    (tmp_path / "cpu.max").write_text("200000 100000")
    assert (cpu_count.available_cores(tmp_path), cpu_count.max_workers(tmp_path)) == (2.0, 2)
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert cpu_count.max_workers(tmp_path) == 1
