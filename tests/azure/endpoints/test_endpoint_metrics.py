"""What Azure Monitor counts, by slot and minute: the model's own statuses, copies too, and the times of a minute."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.azure.endpoints import endpoint_metrics
from notebooks_lib.azure.endpoints.endpoint_metrics import MinuteFigures
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import QuickEndpoint
from tests.azure.fixtures import WithWorkspace

pytestmark = pytest.mark.tracking


def total(figures: dict[int, MinuteFigures]) -> dict[str, int]:
    return {kind: sum(vars(each)[kind] for each in figures.values()) for kind in ("answered", "refused", "failed")}


def test_figures_are_those_of_what_was_served(
    with_workspace: WithWorkspace, empty_project: Any, azure_server: Emulated
) -> None:
    quick = QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))
    for slot in ("blue", "green"):
        quick.deploy(slot, ANSWER="2")
    quick.change(traffic={"blue": 100}, mirror={"green": 50})
    client, began = quick.scoring(), time.time()
    for status in (200, 200, 200, 400, 500, 200):
        client.ask(json.dumps({"status": status}).encode())
    client.ask(b"{}", slot="green")
    span = began - 60, time.time() + 60
    figures = endpoint_metrics.requests_by_minute(*quick.at, *span)
    assert total(figures["blue"]) == {"answered": 4, "refused": 1, "failed": 1}
    assert sum(total(figures["green"]).values()) == pytest.approx(1 + 3, abs=1), "half of the six, and one by name"
    times = endpoint_metrics.times_by_minute(*quick.at, "blue", *span)
    assert times.keys() <= figures["blue"].keys()
    for minute in times.values():
        assert sorted(minute) == list(endpoint_metrics.SHARES)
        assert 0 < minute[0.5] <= minute[0.99] < 10
    assert endpoint_metrics.requests_by_minute(*quick.at, began - 900, began - 600) == {}
    with azure_server.fault("figures_never_come", times=0):
        assert endpoint_metrics.requests_by_minute(*quick.at, *span) == {}


@pytest.mark.parametrize(
    ("gateway", "model", "kind"),
    [
        ("200", "200", "answered"),
        ("200", "", "answered"),
        ("424", "400", "refused"),
        ("424", "500", "failed"),
        ("424", "", "failed"),
        ("429", "", "refused"),
        ("502", "0", "failed"),
        ("", "", "failed"),
    ],
)
def test_a_status_of_the_gateway_gives_way_to_that_of_the_model(gateway: str, model: str, kind: str) -> None:
    status = endpoint_metrics._status({"statuscode": gateway, "modelstatuscode": model})
    assert MinuteFigures().plus(status, 2) == MinuteFigures(**{kind: 2})
