"""What a slot holds comes back from the tags of its deployment, and of a stopped endpoint, however long its texts are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebooks_lib.azure.endpoints.online_deployment import OnlineDeployment
from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import azure_slots
from notebooks_lib.serving.azure_slots import LONGEST_TAG, AzureSlot
from notebooks_lib.serving.endpoint import DeploymentDetail

PLACE = "/subscriptions/s/resourceGroups/g/providers/x/workspaces/w"
DETAIL = DeploymentDetail("houses", "r1", dataset="houses@1, streets@2", reason="a test", files="as scored")
SLOT = AzureSlot(
    "3",
    "a" * 64,
    "2026-11-30T03:00:00+00:00",
    DETAIL,
    settings="b" * 16,
    model_id=f"{PLACE}/models/houses/versions/3",
    environment_id=f"{PLACE}/environments/e/versions/1",
    code_id=f"{PLACE}/codes/c/versions/1",
)


def endpoint(**changes: object) -> OnlineEndpoint:
    plain = OnlineEndpoint("houses", "Succeeded", "https://x/score", "key", "", {}, {}, {}, {})
    return replace(plain, **changes)  # type: ignore[arg-type]


def deployment(name: str, slot: AzureSlot, state: str = "Succeeded") -> OnlineDeployment:
    return OnlineDeployment(name, state, slot.model_id, slot.environment_id, slot.code_id, slot.tags(), "2026-11-30")


def test_a_slot_that_serves_comes_back_from_its_deployment() -> None:
    shared = endpoint(traffic={"blue": 90, "green": 10}, mirror={})
    found = azure_slots.read_slots(shared, [deployment("green", SLOT), deployment("blue", SLOT)], PLACE)
    assert found == {"blue": replace(SLOT, traffic=90), "green": replace(SLOT, traffic=10)}
    assert azure_slots.main_slot(found) == "blue"


@pytest.mark.parametrize(
    ("state", "shown"), [("Failed", "failed"), ("Canceled", "failed"), ("Creating", "loading"), ("Updating", "loading")]
)
def test_azures_state_of_a_deployment_is_told_in_ours(state: str, shown: str) -> None:
    found = azure_slots.read_slots(endpoint(), [deployment("blue", SLOT, state)], PLACE)["blue"].status()
    assert found.state == shown
    assert bool(found.error) == (shown == "failed")


@pytest.mark.parametrize("text", ["many", "", "-1", "101", "1.5", "²"])
def test_a_share_that_somebody_else_wrote_is_named(text: str) -> None:
    written = endpoint(tags=SLOT.notes("blue") | {"nbops.slot.blue.traffic": text})
    with pytest.raises(EndpointError) as refused:
        azure_slots.read_slots(written, [], PLACE)
    assert str(refused.value).startswith(f"endpoint 'houses': its tag nbops.slot.blue.traffic is {text!r}, and nbops")


def test_what_a_stopped_endpoint_notes_is_what_it_served() -> None:
    kept = replace(SLOT, traffic=75).notes("blue") | replace(SLOT, version="4", mirror=20).notes("green")
    stopped = endpoint(tags={"team": "sales", **kept})
    assert azure_slots.read_slots(stopped, [], PLACE) == {
        "blue": replace(SLOT, traffic=75, state="stopped"),
        "green": replace(SLOT, version="4", mirror=20, state="stopped"),
    }
    assert azure_slots.without_notes(stopped.tags) == {"team": "sales"}
    assert len(stopped.tags) <= 50, "Azure takes no more"


def test_long_texts_are_cut_to_what_a_tag_holds() -> None:
    long = replace(SLOT, detail=replace(DETAIL, reason="why " * 200))
    tags = long.tags() | long.notes("blue")
    assert max(map(len, tags.values())) == LONGEST_TAG
    read = azure_slots.read_slots(endpoint(), [deployment("blue", long)], PLACE)["blue"]
    assert read.detail.reason.endswith("…")
    assert replace(read, detail=DETAIL) == SLOT


def test_a_deployment_that_nbops_did_not_make_is_shown_too() -> None:
    foreign = OnlineDeployment("blue", "Succeeded", "m", "e", "c", {}, "2026-11-30T01:00:00Z")
    found = azure_slots.read_slots(endpoint(traffic={"blue": 100}), [foreign], PLACE)["blue"].status()
    assert (found.version, found.traffic, found.since) == ("", 100, "2026-11-30T01:00:00Z")
