"""What a batch needs on its way lies in the project; what a killed one left is swept, not while its process lives."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from notebooks_lib.serving.batch.batch_scratch import scratch_folder
from notebooks_lib.settings import Settings

GONE = 2**22 + 1
"""A number that no process has."""


def test_a_folder_is_there_within_the_block_for_its_user_alone(empty_project: Settings) -> None:
    for error in (None, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt), scratch_folder(empty_project) as folder:
            assert folder.is_relative_to(empty_project.layout.state)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "rows").write_text("x")
            raise error or KeyboardInterrupt
        assert not list(empty_project.layout.batches.iterdir())


def test_what_killed_batches_left_is_swept(empty_project: Settings) -> None:
    batches = empty_project.layout.batches

    def left(name: str, owner: str = "", *, age: float = 0) -> Path:
        (batches / name).mkdir(parents=True)
        (batches / name / "rows").write_text("x")
        if owner:
            (batches / name / "owner").write_text(owner)
        os.utime(batches / name, (time.time() - age,) * 2)
        return batches / name

    with scratch_folder(empty_project) as mine:
        machine, born = (mine / "owner").read_text().split("\n")
        kept = [
            mine,
            left(f"{os.getpid()}-begun", age=90),
            left(f"{GONE}-being-made-elsewhere"),
            left(f"{os.getpid()}-other", f"{machine}\n{born}"),
            left(f"{GONE}-elsewhere", f"other-{machine}\n{born}"),
            left("notes"),
        ]
        swept = [
            left(f"{GONE}-a", age=90),
            left(f"{GONE}-b", f"{machine}\n{born}"),
            left(f"{os.getpid()}-c", f"{machine}\n1/1"),
        ]
        with scratch_folder(empty_project):
            assert all(folder.exists() for folder in kept)
            assert not any(folder.exists() for folder in swept)
