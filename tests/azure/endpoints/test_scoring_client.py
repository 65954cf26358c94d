"""Requests to an endpoint: the model's own status, a slot only where it is asked for, ids both ways, no repetition."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints.scoring_client import ScoringClient
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import QuickEndpoint
from tests.azure.fixtures import WithWorkspace

pytestmark = pytest.mark.tracking


@pytest.fixture
def quick(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    quick = QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))
    for slot, answer in (("blue", "2"), ("green", "3")):
        quick.deploy(slot, ANSWER=answer)
    quick.change(traffic={"blue": 100})
    return quick


def test_the_status_is_that_of_the_models_own_server(quick: QuickEndpoint) -> None:
    client = quick.scoring()
    for status in (200, 400, 413, 500):
        answer = client.ask(json.dumps({"status": status}).encode())
        assert (answer.status, answer.slot, answer.content["predictions"]) == (status, "blue", [2])


def test_only_the_request_that_asks_for_a_slot_names_it(quick: QuickEndpoint) -> None:
    """The SDK's `invoke` names it in all later requests of the process."""
    client = quick.scoring()
    named = client.ask(b"{}", slot="green")
    plain = client.ask(b"{}")
    assert (named.slot, named.content["slot"]) == ("green", "green")
    assert (plain.slot, plain.content["slot"]) == ("blue", None)


def test_a_request_has_an_id_that_both_sides_know(quick: QuickEndpoint) -> None:
    first, second = (quick.scoring().ask(b"{}") for _ in range(2))
    assert first.request_id == first.content["id"]
    assert first.request_id != second.request_id


def test_a_key_is_read_once_and_again_when_it_is_refused(quick: QuickEndpoint) -> None:
    right = quick.scoring()._read_secret()
    keys = iter(["made anew since", right])
    client = ScoringClient(quick.find().scoring_uri, "key", lambda: next(keys))
    assert client.ask(b"{}").status == 200
    assert client.ask(b"{}").status == 200, "a third key would be an error"
    assert ScoringClient(quick.find().scoring_uri, "key", lambda: "wrong").ask(b"{}").status == 401


def test_a_request_without_an_answer_is_an_error_and_is_not_sent_again(
    quick: QuickEndpoint, azure_server: Emulated
) -> None:
    client, began = quick.scoring(), azure_server.record.position()
    with azure_server.fault("cut", host="inference"), pytest.raises(errors.AzureError, match="Azure does not answer"):
        client.ask(b"{}")
    assert sum("inference" in seen.host for seen in azure_server.record.since(began)) == 1
