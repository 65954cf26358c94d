"""After a change of a stage its monitor follows; whatever goes wrong with that, the change stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks_lib.release import endpoint_monitor, monitor_update
from notebooks_lib.release.monitor_update import update_monitor
from notebooks_lib.release.monitored_stage import monitor_file
from notebooks_lib.settings import Settings
from notebooks_lib.tracking.store import connect
from tests.azure.emulator import Emulated
from tests.release.monitored_project import Monitored, monitored_project
from tests.release.moving import MODEL

pytestmark = pytest.mark.tracking


@pytest.fixture
def monitored(azure_server: Emulated, tmp_path: Path) -> Iterator[Monitored]:
    with monitored_project(azure_server, tmp_path / "azure") as monitored:
        yield monitored


def test_without_a_file_or_for_another_stage_nothing_is_asked(
    monitored: Monitored, azure_server: Emulated, empty_project: Settings
) -> None:
    began = azure_server.record.position()
    assert update_monitor(monitored.store, MODEL, "test") == ""
    monitor_file(monitored.settings).unlink()
    assert update_monitor(monitored.store, MODEL, "prod") == ""
    assert update_monitor(connect(empty_project), MODEL, "prod") == ""
    assert not list(azure_server.record.since(began))


def test_what_goes_wrong_is_a_warning_with_the_next_step(monitored: Monitored, azure_server: Emulated) -> None:
    with azure_server.fault("forbidden", path="/onlineEndpoints/"):
        text = update_monitor(monitored.store, MODEL, "prod")
    assert text.startswith("warning: the monitor still watches what served before (no permission for endpoint")
    assert text.endswith("; next: nbops azure schedule apply")
    monitor_file(monitored.settings).write_text("trigger: 5\n")
    assert "warning: " in update_monitor(monitored.store, MODEL, "prod")


def test_no_error_at_all_fails_the_change(monitored: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: object, model: str) -> str:
        raise KeyError("properties")

    monkeypatch.setattr(endpoint_monitor, "move_monitor", fail)
    assert update_monitor(monitored.store, MODEL, "prod").startswith("warning: the monitor still watches")


def test_what_changed_is_told(monitored: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []

    def move(store: object, model: str) -> str:
        moved.append(model)
        return "monitor houses-live-monitor watches slot green"

    monkeypatch.setattr(endpoint_monitor, "move_monitor", move)
    assert monitor_update.update_monitor(monitored.store, MODEL, "prod").endswith("watches slot green")
    assert moved == [MODEL]
