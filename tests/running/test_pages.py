"""A run's page is rendered when it is first asked for, kept with the run, and not rendered again."""

from __future__ import annotations

import pytest

from notebooks_lib import errors
from notebooks_lib.running import pages
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store
from tests import building

pytestmark = [pytest.mark.tracking, pytest.mark.notebooks]


def test_a_page_is_rendered_when_it_is_first_asked_for(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    result = building.run(project, "print('said in a cell')")
    connected = store.connect(project)
    assert result.run_id is not None
    assert [a.path for a in connected.client.list_artifacts(result.run_id, "notebook")] == [
        f"notebook/{result.output.name}"
    ]

    page = pages.page(connected, result.run_id)
    assert "said in a cell" in page.read_text()
    assert page.is_relative_to(project.root)
    kept = [a.path for a in connected.client.list_artifacts(result.run_id, "notebook")]
    assert f"notebook/{page.name}" in kept

    monkeypatch.setattr(pages, "to_html", lambda *_: pytest.fail("rendered a second time"))
    page.unlink()
    assert "said in a cell" in pages.page(connected, result.run_id).read_text()


def test_a_run_without_a_notebook_has_no_page(project: Settings) -> None:
    connected = store.connect(project)
    run = connected.client.create_run(connected.experiment_id("sample"))
    with pytest.raises(errors.UsageError, match="keeps no notebook"):
        pages.page(connected, run.info.run_id)
    connected.client.log_text(run.info.run_id, "the summary", pages.SWEEP)
    assert pages.page(connected, run.info.run_id).read_text() == "the summary"
    with pytest.raises(errors.TrackingError, match="nowhere"):
        pages.page(connected, "nowhere")
