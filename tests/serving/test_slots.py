"""Who answers the next request, and what a running endpoint does while its slots change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib import cpu_count
from notebooks_lib.errors import EndpointError
from notebooks_lib.serving import http_client
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.local_status import LocalStatus
from notebooks_lib.serving.slots import Slot, Slots
from notebooks_lib.settings import Settings
from tests.serving.load import Load

ROW = {"dataframe_records": [{"x": 2.0}]}
ANSWERS = {"double": '{"predictions":[4.0]}', "triple": '{"predictions":[6.0]}', "shifted": '{"predictions":[5.0]}'}


def slots(traffic: dict[str, int], mirror: dict[str, int] | None = None) -> Slots:
    model: Any = None
    return Slots({name: Slot(model, {}, name) for name in ("blue", "green", "red")}, traffic, mirror)


def test_a_slot_has_a_thread_for_each_core_that_its_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.setattr(cpu_count, "cpu_quota", lambda root: 2.5)
    model: Any = None
    assert Slot(model, {}).workers._max_workers == 2


@pytest.mark.parametrize("share", [1, 10, 33, 50, 90, 99])
def test_a_share_of_the_traffic_is_kept_from_the_first_requests_on(share: int) -> None:
    table, got = slots({"blue": 100 - share, "green": share}), 0
    for number in range(1, 2001):
        chosen = table.choose()
        got += chosen is not None and chosen.name == "green"
        assert abs(got - number * share / 100) < 3


def test_no_rhythm_of_the_requests_meets_one_slot_only() -> None:
    table = slots({"blue": 50, "green": 50})
    names = [getattr(table.choose(), "name", "") for _ in range(1000)]
    for step in (2, 3, 5, 8):
        assert 0.4 < names[::step].count("green") / len(names[::step]) < 0.6, step


def test_three_slots_share_and_one_alone_gets_all() -> None:
    table = slots({"blue": 20, "green": 30, "red": 50})
    names = [getattr(table.choose(), "name", "") for _ in range(1000)]
    assert [round(names.count(name) / 1000, 2) for name in ("blue", "green", "red")] == [0.2, 0.3, 0.5]
    table.replace(table.ready, {"red": 100, "blue": 0}, {})
    assert {getattr(table.choose(), "name", "") for _ in range(50)} == {"red"}
    assert slots({}).choose() is None
    assert Slots({}, {"blue": 60, "green": 40}).choose() is None


def test_a_mirror_copies_its_share_and_never_its_own_answers() -> None:
    table = slots({"blue": 100}, {"green": 25})
    blue, green = table.ready["blue"], table.ready["green"]
    copied = [table.copies_to(blue) for _ in range(1000)]
    assert sum(each is green for each in copied) == pytest.approx(250, abs=2)
    assert all(table.copies_to(green) is None for _ in range(50))


@pytest.mark.proof
def test_a_running_endpoint_changes_without_a_failed_request(
    deployed: Settings, light: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = LocalEndpoint(deployed, "sample").status()
    hasty = deployed.model_copy(update={"endpoint": deployed.endpoint.model_copy(update={"start_timeout": 0.5})})

    def deploy(settings: Settings, name: str, version: str) -> LocalStatus:
        return LocalEndpoint(settings, "sample").deploy("green", ServedVersion.in_folder(light[name], version=version))

    with Load(first.port, ROW, connections=3, pause=0.002) as load:
        # Loaded beside the other, it gets nothing that does not name it.
        deploy(deployed, "shifted", "2")
        mark = LocalEndpoint(deployed, "sample").counts()
        load.wait(50)
        since = LocalEndpoint(deployed, "sample").counts(mark)
        assert since["green"].requests == 0
        assert since["blue"].requests >= 40
        assert since["blue"].p95 is not None

        # Mirrored, it is asked beside the other, and nobody gets its answers.
        LocalEndpoint(deployed, "sample").set_mirror({"green": 50})
        load.wait(60)
        found = LocalEndpoint(deployed, "sample").counts(mark)["green"]
        assert (found.requests, found.mirror_failed) == (0, 0)
        assert found.rows_compared == found.rows_different == found.mirrored > 5
        assert found.largest_difference == pytest.approx(0.2)
        assert {body for _, _, body in load.answers} == {ANSWERS["double"]}

        # Split, both answer; what a slot answers is said in the header.
        LocalEndpoint(deployed, "sample").set_traffic({"blue": 75, "green": 25})
        mark = LocalEndpoint(deployed, "sample").counts()
        load.wait(100)
        since = LocalEndpoint(deployed, "sample").counts(mark)
        share = since["green"].requests / (since["green"].requests + since["blue"].requests)
        assert share == pytest.approx(0.25, abs=0.03)
        assert LocalEndpoint(deployed, "sample").status().slots["green"].mirror == 0

        # Models that crash, hang or raise while they are loaded change nothing.
        LocalEndpoint(deployed, "sample").set_traffic({"blue": 100})
        with pytest.raises(EndpointError, match="crashed with SIGSEGV"):
            deploy(deployed, "crashing", "3")
        with pytest.raises(EndpointError, match="not loaded after 0.5 s"):
            deploy(hasty, "hanging", "3")
        kept = LocalEndpoint(deployed, "sample").status()
        assert (kept.pid, kept.slots["green"].version, kept.slots["green"].state) == (first.pid, "2", "ready")
        assert "not loaded" in kept.last_error

        # All the traffic moves, the old slot goes, another takes its place.
        LocalEndpoint(deployed, "sample").set_traffic({"green": 100})
        LocalEndpoint(deployed, "sample").delete_slot("blue")
        load.wait(30)
        last = LocalEndpoint(deployed, "sample").deploy(
            "green", ServedVersion.in_folder(light["triple"], version="4"), traffic=True
        )
        load.wait(30)
    assert (last.version, last.pid) == ("4", first.pid)
    assert load.failed == {}
    assert {(slot, body) for _, slot, body in load.answers} == {
        ("blue", ANSWERS["double"]),
        ("green", ANSWERS["shifted"]),
        ("green", ANSWERS["triple"]),
    }


def test_a_slot_that_is_not_there_is_not_found(deployed: Settings) -> None:
    address = http_client.Address("127.0.0.1", LocalEndpoint(deployed, "sample").status().port)
    code, content = http_client.send_request(address, "POST", "/invocations", b"{}", slot="red")
    assert (code, content["error_code"]) == (404, "SLOT_NOT_FOUND")
