"""The configuration of a server process: one line, read as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.serving.endpoint import DeploymentDetail
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.server_config import ServerConfig, ServerOptions
from notebooks_lib.settings.sections import EndpointOptions

SLOT = SlotState(
    "3", "sample~3", "2026-01-01T00:00:00+00:00", DeploymentDetail(run_id="a"), "id", "sha", {"inputs": [1]}
)


@pytest.mark.parametrize("key", [None, "secret"])
def test_an_order_is_read_as_it_was_written(key: str | None) -> None:
    options = ServerOptions.from_settings(EndpointOptions(hosts=("models.example",), collect=("*",), timeout=1.5))
    state = EndpointState("sample", "127.0.0.1", 4001, {"blue": SLOT}, {"blue": 100}, wanted="running", generation=7)
    config = ServerConfig(state, frozenset({"blue"}), "sample", "127.0.0.1", 0, 2, key, Path("collected"), options)
    line = config.to_json()
    assert "\n" not in line
    assert ServerConfig.from_json(line) == config
    assert options.hosts == ("models.example",)
