"""The lock of a stage and its journals: the last one is known, whatever the clock says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from notebooks_lib.release import journal
from notebooks_lib.release.journal import ChangeRecord
from notebooks_lib.release.local_stage_changes import LocalStageChanges
from notebooks_lib.settings import Settings

CHANGE = ChangeRecord("promotion", "m", "prod", "1", "me@here")


@pytest.mark.parametrize("name", ["20991231T235959.999999-aaaaaa", "a"])
def test_a_change_begun_after_the_clock_was_set_back_is_the_last_one(tmp_path: Path, name: str) -> None:
    lock = LocalStageChanges(Settings(root=tmp_path), "m", "prod")
    lock.take()
    old = lock.begin(CHANGE)
    old.write(journal.END)
    old.path.rename(old.path.with_name(f"{name}.jsonl"))
    if name == "a":
        (lock.folder / "a.jsonl").rename(lock.folder / "0.jsonl")  # one that no nbops named
    for version in ("2", "3"):
        lock.begin(replace(CHANGE, version=version))
    lock.release()
    pending = lock.pending()
    assert pending is not None
    assert pending.change.version == "3"
