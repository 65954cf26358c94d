"""`nbops page`: the executed notebook of a run as an HTML page, rendered when it is first wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib import __main__ as program
from notebooks_lib.settings import Settings
from tests import building


@pytest.mark.tracking
@pytest.mark.notebooks
def test_a_page_is_rendered_at_the_first_request(project: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    result = building.run(project, "print('hello from the cell')", experiment="pages")
    assert program.run(["page", result.run_id[:10]]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "hello from the cell" in page.read_text("utf-8")
    assert program.run(["page", "zzz"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
