"""The files of a local endpoint's state: what is read is what was written, by this version or an older one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from notebooks_lib.errors import EndpointError
from notebooks_lib.serving.endpoint import DeploymentDetail
from notebooks_lib.serving.endpoint_state import (
    EndpointState,
    FollowReport,
    ServerRecord,
    SlotReport,
    SlotState,
    read_report,
    read_server,
    read_state,
    write_draft,
)

SLOT = SlotState("2", "2~2", "2026-01-01", DeploymentDetail("houses"), "a1", "0" * 64, {"inputs": [[1]]})
STATE = EndpointState("houses", "127.0.0.1", 4001, {"blue": SLOT}, {"blue": 100}, {}, "running", "it failed", 7)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_draft(path, STATE.as_json()).replace(path)
    assert read_state(path) == STATE


def test_the_file_has_the_keys_that_older_versions_read() -> None:
    content = STATE.as_json()
    assert (content["format"], content["generation"], content["wanted"]) == (2, 7, "running")
    assert content["slots"] == {
        "blue": {
            "version": "2",
            "model": "2~2",
            "since": "2026-01-01",
            "detail": {"model": "houses", "run_id": "", "dataset": None, "reason": ""},
            "id": "a1",
            "sha256": "0" * 64,
            "example": {"inputs": [[1]]},
        }
    }
    assert EndpointState("houses", "", 0).as_json()["last_error"] is None


def test_a_state_of_the_first_format_has_no_shares_no_digests_and_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    slot = {"version": "1", "model": "1", "since": "then", "detail": {}}
    path.write_text(json.dumps({"format": 1, "host": "::1", "port": 5, "wanted": "stopped", "slots": {"blue": slot}}))
    assert read_state(path) == EndpointState("", "::1", 5, {"blue": SlotState("1", "1", "then")})


def test_a_newer_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(STATE.as_json() | {"format": 3}))
    with pytest.raises(EndpointError, match="written in format 3, this nbops reads 2; deploy again"):
        read_state(path)


def test_a_server_is_known_by_what_it_or_an_older_one_wrote(tmp_path: Path) -> None:
    path, record = tmp_path / "server.json", ServerRecord(5, "born", "::1", 4001, 2, 1.5)
    write_draft(path, asdict(record)).replace(path)
    assert read_server(path) == record
    path.write_text('{"pid": 5, "created": 17.25}')
    assert read_server(path) == ServerRecord(5, "17.25")
    path.write_text('{"pid": "five", "born": "x"}')
    assert read_server(path) is None
    assert read_server(tmp_path / "none") is None


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    report = FollowReport(5, 7, {"blue": SlotReport("failed", "no memory", SLOT.deployment)})
    write_draft(path, asdict(report)).replace(path)
    assert read_report(path) == report
