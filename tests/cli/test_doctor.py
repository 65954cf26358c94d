"""`nbops doctor` advises what mends the fault that it has found."""

from __future__ import annotations

import pytest

from notebooks_lib.cli import doctor
from notebooks_lib.settings import Settings

pytestmark = pytest.mark.tracking


def advice(here: Settings) -> str:
    check = doctor._tracking(here)
    assert not check.ok
    return check.advice


def test_a_damaged_database_is_to_be_replaced(empty_project: Settings) -> None:
    empty_project.layout.database.parent.mkdir(parents=True)
    empty_project.layout.database.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert advice(empty_project) == "move it away and put a backup in its place"


def test_a_state_folder_that_is_none_is_to_be_made_one(empty_project: Settings) -> None:
    empty_project.layout.state.write_text("")
    assert advice(empty_project).startswith(f"make {empty_project.layout.state} a writable folder")
