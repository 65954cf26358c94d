"""Who answers the next request, and what a running endpoint does while its slots change."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import EndpointError
from notebooks_lib.models import model_files
from notebooks_lib.serving import http_client
from notebooks_lib.serving.endpoint import ServedVersion
from notebooks_lib.serving.endpoint_state import EndpointState, SlotState
from notebooks_lib.serving.hot_reload import StateFollower
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.local_status import LocalStatus
from notebooks_lib.serving.prediction_diff import compare
from notebooks_lib.serving.slot_counts import TIME_BOUNDS, SlotCounter, SlotCounts, read_counts
from notebooks_lib.serving.slots import Slot, Slots
from notebooks_lib.settings import Settings
from tests.serving.load import Load

ROW = {"dataframe_records": [{"x": 2.0}]}
ANSWERS = {"double": '{"predictions":[4.0]}', "triple": '{"predictions":[6.0]}', "shifted": '{"predictions":[5.0]}'}


def slots(traffic: dict[str, int], mirror: dict[str, int] | None = None) -> Slots:
    model: Any = None
    return Slots({name: Slot(model, {}, name) for name in ("blue", "green", "red")}, traffic, mirror)


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


def test_percentiles_are_off_by_a_step_of_the_bounds_at_most() -> None:
    tally = SlotCounter("a")
    assert tally.counts().p50 is None
    for number in range(1000):
        tally.answered(200, 0.001 * (number + 1))
    tally.answered(400, 5.0)  # a refusal is quick or slow for other reasons
    found = tally.counts()
    assert (found.requests, found.refused, found.failed) == (1001, 1, 0)
    assert found.p50 == pytest.approx(0.5, rel=0.13)
    assert found.p95 == pytest.approx(0.95, rel=0.13)
    tally.answered(200, 1e9)
    assert tally.counts().times[-1] == 1
    assert all(one < other for one, other in itertools.pairwise(TIME_BOUNDS))


def test_a_mark_is_subtracted_unless_the_slot_was_deployed_anew() -> None:
    tally = SlotCounter("a")
    tally.answered(200, 0.01)
    for number, apart in enumerate((0.9, 0.00012345, 0.3)):
        tally.mirrored = number + 1
        tally.differed(apart)
    mark = read_counts(tally.counts().as_json())
    assert mark == tally.counts()
    tally.answered(500, 0.01)
    since = tally.counts() - mark
    assert (since.requests, since.failed, since.p50) == (1, 1, None)
    assert (mark.largest_difference, since.largest_difference) == (0.9, 0.0)
    tally.mirrored += 1
    tally.differed(0.00123456)
    assert [(tally.counts() - each).largest_difference for each in (mark, SlotCounts())] == [0.00123, 0.9]
    assert (tally.counts() - SlotCounts()).requests == 2
    other = SlotCounter("b")
    other.answered(200, 0.01)
    assert (other.counts() - mark).requests == 1


def test_files_that_were_swapped_are_not_served(tmp_path: Path, light: dict[str, Path]) -> None:
    """By a server that starts, one that follows, and one that is told what was scored."""
    shutil.copytree(light["double"], tmp_path / "models" / "1")
    slot = SlotState("1", "1", since="now", sha256=model_files.read(light["double"]).sha256)
    wanted = EndpointState("sample", "127.0.0.1", 1, {"blue": slot}, {"blue": 100})
    StateFollower(tmp_path, Slots()).load_first(wanted, {"blue"})
    next((tmp_path / "models" / "1").rglob("weights.json")).write_text("3")
    with pytest.raises(EndpointError, match=r"version 1 in .* are not those that were deployed .* deploy the version"):
        StateFollower(tmp_path, Slots()).load_first(wanted, {"blue"})
    empty = Slots()
    StateFollower(tmp_path, empty).load_first(wanted, set())
    assert empty.choose() is None
    older = wanted.with_slot("blue", replace(slot, sha256=""))
    StateFollower(tmp_path, Slots()).load_first(older, {"blue"})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], (2, 0, 0, 0.0)),
        ([1.0, 2.0], [1.0, 4.0], (2, 1, 0, 0.5)),
        (["yes", "no"], ["yes", "yes"], (2, 1, 0, 0.0)),
        ([["a", "b"]], [["a"]], (1, 1, 0, 0.0)),
        ([1.0, None], [None, None], (2, 1, 0, 0.0)),
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 1.0}], (1, 1, 0, 0.5)),
        ([1.0, 2.0], ["1", 2.0], (2, 1, 1, 0.0)),
        ([True], [1], (1, 1, 1, 0.0)),
        ([[0.5, 0.5]], [[0.2, 0.3, 0.5]], (1, 1, 1, 0.0)),
        ([{"a": 1.0}], [{"b": 1.0}], (1, 1, 1, 0.0)),
        (["a"], ["a", "b"], (1, 1, 1, 0.0)),
        ({"mean": [1.0]}, {"mean": [1.0]}, (1, 0, 0, 0.0)),
        ([1.0], [1.0 + 1e-9], (1, 0, 0, pytest.approx(1e-9))),
    ],
)
def test_answers_are_compared_row_by_row(one: Any, other: Any, expected: Any) -> None:
    found = compare(one, other)
    assert (found.rows, found.different, found.misshapen, found.largest) == expected


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
    code, content = http_client.ask(address, "POST", "/invocations", b"{}", slot="red")
    assert (code, content["error_code"]) == (404, "SLOT_NOT_FOUND")
