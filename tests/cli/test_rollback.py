"""`nbops rollback`: exit code 2 when there is no version to go back to."""

from __future__ import annotations

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect


@pytest.mark.tracking
def test_without_an_earlier_champion_nothing_moves(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    connect(project)
    for arguments in (["sample"], ["sample", "--to", "1"], ["sample", "--stage", "live"]):
        assert program.run(["rollback", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("nbops: ")
        assert len(error.splitlines()) == 1
