"""Our own requests count at once, others as Azure Monitor knows them, none twice; `unconfirmed` says what it lacks."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from notebooks_lib.azure.client import workspace
from notebooks_lib.errors import EndpointError, InputError
from notebooks_lib.serving.azure_counts import ASK_AGAIN, AzureCounts
from notebooks_lib.serving.azure_session import AzureSession
from tests.azure.emulator import Emulated
from tests.azure.endpoint_parts import QuickEndpoint
from tests.azure.fixtures import WithWorkspace
from tests.serving.test_azure_slots import SLOT

pytestmark = pytest.mark.tracking


@pytest.fixture
def quick(with_workspace: WithWorkspace, empty_project: Any) -> QuickEndpoint:
    quick = QuickEndpoint.made(workspace.find_workspace(with_workspace(empty_project)))
    quick.deploy("blue", ANSWER="2")
    quick.change(traffic={"blue": 100})
    return quick


def test_each_request_counts_once_whether_it_is_ours_or_not(quick: QuickEndpoint, azure_server: Emulated) -> None:
    deployed = datetime.fromtimestamp(time.time() - 90, UTC).isoformat()
    slots, counts = {"blue": replace(SLOT, since=deployed)}, AzureCounts(*quick.at)
    session = AzureSession(quick.name, quick.scoring(), counts, probe=True)
    with azure_server.fault("figures_never_come", times=0):
        for status in (200, 200, 400, 500):
            session.ask({"status": status})
        blue = counts.read(slots)["blue"]
    assert (blue.requests, blue.refused, blue.failed, blue.probes, blue.unconfirmed) == (4, 1, 1, 4, 4)
    for _ in range(3):
        quick.ask()  # somebody else
    later = AzureCounts(*quick.at)
    later._own = counts._own
    blue = later.read(slots)["blue"]
    assert (blue.requests, blue.refused, blue.failed, blue.probes, blue.unconfirmed) == (7, 1, 1, 4, 0)
    assert sum(blue.times) == 5, "those that were answered"
    assert blue.p95 is not None
    assert 0 < blue.p95 < 10


def test_since_a_mark_only_what_came_after_counts(quick: QuickEndpoint) -> None:
    now = [60.0 * (time.time() // 60) - 120]  # in the middle of nothing: two minutes ago
    counts = AzureCounts(*quick.at, clock=lambda: now[0])
    slots = {"blue": replace(SLOT, since=datetime.fromtimestamp(now[0] - 600, UTC).isoformat())}
    counts.add("blue", 200, probe=True)
    mark = counts.read(slots)
    assert mark["blue"].requests == 1
    now[0] += 1
    counts.add("blue", 503, probe=False)
    since = counts.read(slots, mark)["blue"]
    assert (since.requests, since.failed, since.probes, since.unconfirmed) == (1, 1, 0, 1)
    redeployed = {"blue": replace(SLOT, since=datetime.fromtimestamp(now[0] + 1, UTC).isoformat())}
    now[0] += 2
    assert counts.read(redeployed, mark)["blue"].requests == 0, "counting begins again with another deployment"


def test_what_was_asked_before_a_mark_confirms_nothing_after_it(quick: QuickEndpoint) -> None:
    counts = AzureCounts(*quick.at)
    slots = {"blue": replace(SLOT, since=datetime.fromtimestamp(time.time() - 600, UTC).isoformat())}
    session = AzureSession(quick.name, quick.scoring(), counts, probe=True)
    for _ in range(3):
        session.ask({})
    mark = counts.read(slots)
    counts.add("blue", 200, probe=True)  # Azure has not counted it
    since = counts.read(slots, mark)["blue"]
    assert (since.requests, since.unconfirmed) == (1, 1)


def test_figures_are_asked_for_once_in_a_while(quick: QuickEndpoint, azure_server: Emulated) -> None:
    counts, began = AzureCounts(*quick.at), azure_server.record.position()
    slots = {"blue": replace(SLOT, since=datetime.now(UTC).isoformat())}
    mark = counts.read(slots)
    for _ in range(20):
        counts.read(slots, mark)
    asked = [seen for seen in azure_server.record.since(began) if seen.path.endswith("/metrics")]
    assert len(asked) <= 2, f"they change once a minute, and are kept for {ASK_AGAIN} s"


def test_a_session_says_in_our_words_what_has_no_slot(quick: QuickEndpoint) -> None:
    counts = AzureCounts(*quick.at)
    session = AzureSession(quick.name, quick.scoring(), counts, probe=False)
    with pytest.raises(EndpointError, match="answered 404: no slot 'red'"):
        session.ask({}, slot="red").result()
    with pytest.raises(InputError, match="cannot be written as JSON"):
        session.ask({"a": object()})
    quick.change(traffic={})
    with pytest.raises(EndpointError, match="answered 404: no slot has traffic"):
        session.ask({}).result()
    refused = session.ask({"status": 400}, slot="blue")
    with pytest.raises(InputError, match=r"refused the request \(400\): .*\(request [0-9a-f]{32}\)"):
        refused.result()
    assert json.dumps(refused.content)
    assert {slot: len(requests) for slot, requests in counts._own.items()} == {"blue": 1}
