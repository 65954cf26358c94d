"""An endpoint runs, is stopped or has failed, by what the workspace says of it and of the slot with the traffic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.serving.azure_slots import AzureSlot
from notebooks_lib.serving.azure_status import azure_status
from tests.serving.test_azure_slots import SLOT, endpoint

PLACE = Workspace("s", "g", "w")
SERVING = replace(SLOT, traffic=100)


@pytest.mark.parametrize(
    ("slots", "state", "error"),
    [
        ({"blue": SERVING, "green": SLOT}, "running", ""),
        ({"blue": SERVING, "green": replace(SLOT, state="failed")}, "running", ""),
        ({"blue": replace(SERVING, state="failed")}, "broken", "Azure says that slot blue has failed"),
        ({"blue": replace(SERVING, state="stopped")}, "stopped", ""),
        ({}, "stopped", ""),
    ],
)
def test_the_slot_with_the_traffic_decides(slots: dict[str, AzureSlot], state: str, error: str) -> None:
    status = azure_status("houses", endpoint(), slots, PLACE)
    assert (status.state, status.last_error) == (state, error)
    assert status.version == ("3" if any(slot.traffic for slot in slots.values()) else "")


def test_a_failed_endpoint_says_so_and_facts_name_place_and_sign_in() -> None:
    status = azure_status("houses", endpoint(state="Failed", compute="k8s"), {"blue": SERVING}, PLACE)
    assert (status.state, status.last_error) == ("broken", "Azure says that it has failed")
    assert status.facts == {"workspace": "w", "compute": "Kubernetes, k8s", "signs in by": "key"}
    assert azure_status("houses", endpoint(), {}, PLACE).facts["compute"] == "managed by Azure"
