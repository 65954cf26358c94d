"""What every endpoint promises (serving/endpoint.py): on this machine, in memory, in a workspace, on Kubernetes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import EndpointError, InputError, ModelError, UnknownNameError, UsageError
from notebooks_lib.models import model_files
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.endpoint import (
    DeploymentDetail,
    Endpoint,
    EndpointStatus,
    FetchedModel,
    ServedVersion,
    SlotStatus,
)
from notebooks_lib.serving.local_endpoint import LocalEndpoint
from notebooks_lib.serving.request_counts import RequestCounts
from notebooks_lib.settings import load
from tests.serving.azure_project import azure_project
from tests.serving.memory_endpoint import InMemoryEndpoint

ROW = {"dataframe_records": [{"x": 2.0}]}
DOUBLE, TRIPLE, SHIFTED = {"predictions": [4.0]}, {"predictions": [6.0]}, {"predictions": [5.0]}
DETAIL = DeploymentDetail(model="houses", run_id="r1", dataset="houses@1, streets@2", reason="a test")


@dataclass(frozen=True)
class Place:
    """An implementation of the protocol."""

    open: Callable[[str], Endpoint]
    files: Callable[[Endpoint, str], Path]
    """Endpoint and slot -> the folder of the files that the slot holds."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables by which a process reaches it."""


IN_AZURE = [pytest.param(name, marks=pytest.mark.proof) for name in ("managed", "kubernetes")]


@pytest.fixture(scope="module", params=["local", "memory", *IN_AZURE])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp(request.param)
    made: dict[str, Endpoint] = {}
    if request.param in ("managed", "kubernetes"):
        with azure_project(request.getfixturevalue("azure_server"), root, request.param) as project:
            yield Place(
                lambda name: AzureEndpoint(project, name, "prod"),
                lambda *_: pytest.skip("its files are not on this machine"),
                request.getfixturevalue("azure_server").environment,
            )
        return
    if request.param == "local":
        settings = load(root, {})
        create: Callable[[str], Endpoint] = lambda name: LocalEndpoint(settings, name)  # noqa: E731

        def files(endpoint: Endpoint, slot: str) -> Path:
            return settings.layout.endpoints / endpoint.name / "models" / endpoint.status().slots[slot].version
    else:
        create = lambda name: InMemoryEndpoint(name, root)  # noqa: E731

        def files(endpoint: Endpoint, slot: str) -> Path:
            assert isinstance(endpoint, InMemoryEndpoint)
            assert endpoint.held is not None
            return endpoint.held[slot].folder

    def opened(name: str) -> Endpoint:
        made[name] = made.get(name) or create(name)
        return made[name]

    yield Place(opened, files)
    for endpoint in made.values():
        if status(endpoint) is not None:
            endpoint.stop()


@pytest.fixture(autouse=True)
def reached(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)


LOCAL_IN_PROOF = pytest.mark.parametrize(
    "place", [pytest.param("local", marks=pytest.mark.proof), "memory", *IN_AZURE], indirect=True, scope="module"
)
"""For promises that take a local endpoint seconds. `test_local_endpoint.py` keeps a whole way in the daily tests."""


def status(endpoint: Endpoint) -> EndpointStatus | None:
    try:
        return endpoint.status()
    except UnknownNameError:
        return None


@pytest.fixture
def endpoint(place: Place, light: dict[str, Path]) -> Endpoint:
    """It runs: blue doubles and has all traffic, green triples."""
    found = place.open("sample")
    now = status(found)
    if now is not None and now.slots and now.state == "stopped":
        now = found.start()
    versions = {name: (slot.version, slot.detail) for name, slot in now.slots.items()} if now else {}
    if versions.get("blue") != ("double", DETAIL):
        found.deploy("blue", version(light, "double"), traffic=True)
    if versions.get("green") != ("triple", DETAIL):
        found.set_traffic({"blue": 100})
        found.deploy("green", version(light, "triple"))
    found.set_traffic({"blue": 100}, mirror={})
    return found


def version(light: dict[str, Path], name: str, *, sha256: str = "") -> ServedVersion:
    return ServedVersion.in_folder(light[name], version=name, detail=DETAIL, sha256=sha256)


def test_nothing_is_known_of_an_endpoint_before_its_first_deployment(place: Place) -> None:
    bare = place.open("bare")
    asked: list[Callable[[], Any]] = [
        bare.status,
        bare.stop,
        bare.example,
        bare.session,
        bare.counts,
        bare.logs,
        lambda: bare.invoke(ROW),
        lambda: bare.set_traffic({}),
        lambda: bare.set_mirror({}),
        lambda: bare.delete_slot("blue"),
        lambda: bare.is_intact("blue"),
    ]
    for ask in asked:
        with pytest.raises(UnknownNameError, match="unknown endpoint 'bare'"):
            ask()
    assert bare.idle_slot() == "blue"
    with pytest.raises(EndpointError, match="has no slot left to serve"):
        bare.start()


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "a/b", "a" * 101])
def test_a_name_that_cannot_be_an_address_is_refused(place: Place, name: str) -> None:
    with pytest.raises(UsageError, match=r"^endpoint '.*': (expected|Azure takes) letters, digits"):
        place.open(name)


def test_a_version_is_deployed_beside_what_serves_and_answers_nobody_who_does_not_name_it(endpoint: Endpoint) -> None:
    now = endpoint.status()
    assert (now.state, now.version, now.detail) == ("running", "double", DETAIL)
    assert {name: (slot.version, slot.traffic, slot.mirror, slot.state) for name, slot in now.slots.items()} == {
        "blue": ("double", 100, 0, "ready"),
        "green": ("triple", 0, 0, "ready"),
    }
    assert all(slot.sha256 and slot.since and slot.detail == DETAIL for slot in now.slots.values())
    assert all(endpoint.invoke(ROW) == DOUBLE for _ in range(20))
    assert endpoint.invoke(ROW, slot="green") == TRIPLE
    assert endpoint.is_intact("green")
    plain = json.loads(json.dumps(now.as_json()))
    assert plain.keys() >= {each.name for each in fields(EndpointStatus)}
    assert plain["slots"]["green"].keys() == {each.name for each in fields(SlotStatus)}
    told = {"model": "houses", "run_id": "r1", "dataset": "houses@1, streets@2", "reason": "a test"}
    assert plain["detail"] == plain["slots"]["green"]["detail"] == told


def test_a_slot_with_traffic_is_only_replaced_where_the_caller_says_so(
    endpoint: Endpoint, light: dict[str, Path]
) -> None:
    with pytest.raises(UsageError, match="has 100 % of the traffic"):
        endpoint.deploy("blue", version(light, "shifted"))
    assert endpoint.invoke(ROW) == DOUBLE
    assert endpoint.deploy("blue", version(light, "shifted"), traffic=True).version == "shifted"
    assert endpoint.invoke(ROW) == SHIFTED


@LOCAL_IN_PROOF
def test_what_cannot_be_deployed_leaves_what_serves(endpoint: Endpoint, light: dict[str, Path], tmp_path: Path) -> None:
    before = endpoint.status().slots

    def lost(_: Path) -> FetchedModel:
        raise ModelError("the files are gone")

    for refused, error, reason in (
        (version(light, "damaged"), EndpointError, "cannot serve version damaged: .*the weights are damaged"),
        (version(light, "shifted", sha256="0" * 64), EndpointError, "are not those that were deployed"),
        (ServedVersion("9", {}, lost), ModelError, "the files are gone"),
        (ServedVersion.in_folder(tmp_path, version="9"), UsageError, "holds no MLmodel file"),
        (ServedVersion.in_folder(light["double"], version="../9"), UsageError, "version '../9'"),
    ):
        with pytest.raises(error, match=f"(?s){reason}"):
            endpoint.deploy("green", refused)
        with pytest.raises(UsageError, match="slot '../red'"):
            endpoint.deploy("../red", refused)
    assert endpoint.status().slots == before
    assert (endpoint.invoke(ROW), endpoint.invoke(ROW, slot="green")) == (DOUBLE, TRIPLE)


def test_files_are_held_to_the_digest_that_they_must_have(endpoint: Endpoint, light: dict[str, Path]) -> None:
    digest = model_files.read_model_files(light["triple"]).sha256
    fetched: list[Path] = []

    def fetch(scratch: Path) -> FetchedModel:
        fetched.append(scratch)
        assert list(scratch.iterdir()) == []
        shutil.copytree(light["triple"], scratch / "model")
        return FetchedModel(scratch / "model", digest, "as scored")

    slot = endpoint.deploy("green", ServedVersion("triple", DETAIL, fetch)).slots["green"]
    assert (len(fetched), slot.sha256, slot.detail) == (1, digest, replace(DETAIL, files="as scored"))


def test_shares_that_no_endpoint_can_have_are_refused(endpoint: Endpoint) -> None:
    for shares in ({"blue": 50}, {"blue": 120, "green": -20}, {"blue": 99.5, "green": 0.5}, {"blue": True}):
        with pytest.raises(UsageError, match="expected"):
            endpoint.set_traffic(shares)  # type: ignore[arg-type]
    for change in (endpoint.set_traffic, endpoint.set_mirror):
        with pytest.raises(UnknownNameError, match="unknown slot 'greeen', did you mean 'green'"):
            change({"greeen": 100})
    with pytest.raises(UsageError, match="has traffic; only one without is mirrored to"):
        endpoint.set_mirror({"blue": 10})
    with pytest.raises(UsageError, match="has traffic; only one without is mirrored to"):
        endpoint.set_traffic({"blue": 90, "green": 10}, mirror={"green": 10})
    idle = endpoint.set_traffic({})
    assert (idle.version, idle.detail, idle.as_json()["detail"]) == ("", DeploymentDetail(), {})
    with pytest.raises(UsageError, match="2 slots to mirror to; expected one at most"):
        endpoint.set_mirror({"green": 10, "blue": 10})
    assert {name: slot.traffic for name, slot in endpoint.status().slots.items()} == {"blue": 0, "green": 0}
    assert endpoint.status().version == ""
    with pytest.raises(EndpointError, match="no slot has traffic"):
        endpoint.invoke(ROW)
    assert endpoint.invoke(ROW, slot="blue") == DOUBLE


def test_traffic_is_split_as_set_and_a_slot_with_traffic_is_not_mirrored_to(endpoint: Endpoint) -> None:
    most = endpoint.capabilities.most_mirrored
    if most < 100:
        with pytest.raises(UsageError, match=f"{most} at most"):
            endpoint.set_mirror({"green": most + 1})
    share = min(most, 50)
    endpoint.set_mirror({"green": share})
    assert endpoint.set_traffic({"blue": 100}).slots["green"].mirror == share
    now = endpoint.set_traffic({"blue": 75, "green": 25}).slots
    assert {name: (slot.traffic, slot.mirror) for name, slot in now.items()} == {"blue": (75, 0), "green": (25, 0)}
    answers = [endpoint.invoke(ROW) for _ in range(100)]
    assert answers.count(TRIPLE) == pytest.approx(25, abs=3)
    assert answers.count(DOUBLE) + answers.count(TRIPLE) == 100
    with pytest.raises(EndpointError, match="both slots have traffic"):
        endpoint.idle_slot()
    now = endpoint.set_traffic({"green": 100}, mirror={"blue": most}).slots
    assert {name: (slot.traffic, slot.mirror) for name, slot in now.items()} == {"blue": (0, most), "green": (100, 0)}
    assert endpoint.idle_slot() == "blue"
    assert endpoint.status().version == "triple"
    assert endpoint.set_mirror({"blue": 0}).slots["blue"].mirror == 0


def test_mirrored_requests_are_compared_and_reach_no_caller(endpoint: Endpoint) -> None:
    if not endpoint.capabilities.compares_mirrored:
        pytest.skip("it says so itself")
    mark = endpoint.counts()
    endpoint.set_traffic({"blue": 100}, mirror={"green": 100})
    session = endpoint.session()
    assert all(session.ask(ROW).result() == DOUBLE for _ in range(10))
    assert session.ask(ROW, slot="blue").result() == DOUBLE  # who names a slot is not mirrored
    green = waited(endpoint, mark, lambda counts: counts["green"].mirrored >= 10)["green"]
    assert (green.requests, green.mirrored, green.mirror_failed, green.probes) == (0, 10, 0, 10)
    assert (green.rows_compared, green.rows_different, green.rows_misshapen) == (10, 10, 0)
    assert green.largest_difference == pytest.approx(1 / 3, rel=0.01)


def waited(
    endpoint: Endpoint, mark: dict[str, RequestCounts], enough: Callable[[dict[str, RequestCounts]], bool]
) -> dict[str, RequestCounts]:
    deadline = time.monotonic() + 20
    while not enough(counts := endpoint.counts(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return counts


def test_a_slot_is_counted_since_a_mark_or_since_it_was_deployed(endpoint: Endpoint, light: dict[str, Path]) -> None:
    mark = endpoint.counts()
    endpoint.invoke(ROW)
    endpoint.invoke(ROW, probe=True)
    with pytest.raises(InputError, match=r"refused the request \(400\): .*missing column 'x'"):
        endpoint.invoke({"dataframe_records": [{"y": 1}]})
    now = endpoint.counts(mark)
    assert (now["blue"].requests, now["blue"].refused, now["blue"].failed, now["blue"].probes) == (3, 1, 0, 1)
    assert now["blue"].p95 is not None or endpoint.capabilities.counts_late
    assert now["green"].requests == 0
    if not endpoint.capabilities.counts_late:
        assert endpoint.counts()["blue"].requests == mark["blue"].requests + 3
    endpoint.deploy("green", version(light, "triple"))
    endpoint.invoke(ROW, slot="green")
    green = endpoint.counts(mark)["green"]  # on Azure the example that a deployment is asked is a probe
    assert green.requests - green.probes == 1


def test_a_session_answers_many_at_once_whatever_the_status(endpoint: Endpoint) -> None:
    session = endpoint.session()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: session.ask(ROW, slot=("blue", "green")[number % 2]), range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert [answer.content for answer in answers] == [DOUBLE, TRIPLE] * 20
    refused = session.ask({})
    assert refused.status == 400
    with pytest.raises(InputError, match=f"{refused.source} refused the request"):
        refused.result()
    unknown = session.ask(ROW, slot="red")
    assert unknown.status == 404
    with pytest.raises(EndpointError, match="answered 404"):
        unknown.result()
    with pytest.raises(InputError, match="cannot be written as JSON"):
        session.ask({"inputs": object()})
    with pytest.raises(UnknownNameError, match="unknown slot 'gren', did you mean 'green'"):
        endpoint.invoke(ROW, slot="gren")


@LOCAL_IN_PROOF
def test_an_example_is_a_request_that_the_model_answers(
    endpoint: Endpoint, light: dict[str, Path], tmp_path: Path
) -> None:
    assert endpoint.invoke(endpoint.example()) == {"predictions": [2.0]}
    assert endpoint.invoke(endpoint.example(slot="green"), slot="green") == {"predictions": [3.0]}
    with pytest.raises(UnknownNameError, match="did you mean 'green'"):
        endpoint.example(slot="gren")
    bare = tmp_path / "bare"
    shutil.copytree(light["triple"], bare)
    text = (bare / "MLmodel").read_text()
    (bare / "MLmodel").write_text(text[: text.index("saved_input_example_info")])
    endpoint.deploy("green", ServedVersion.in_folder(bare, version="bare"))
    with pytest.raises(EndpointError, match="logged without an example"):
        endpoint.example(slot="green")


@LOCAL_IN_PROOF
def test_stopped_it_keeps_slots_and_shares_for_the_next_start(endpoint: Endpoint) -> None:
    endpoint.set_traffic({"blue": 40, "green": 60})
    mark = endpoint.counts()
    address = endpoint.status().address
    assert (endpoint.start().changed, endpoint.stop().changed, endpoint.stop().changed) == (False, True, False)
    now = endpoint.status()
    assert (now.state, now.address) == ("stopped", address)
    assert {name: (slot.traffic, slot.state) for name, slot in now.slots.items()} == {
        "blue": (40, "stopped"),
        "green": (60, "stopped"),
    }
    for ask in (endpoint.session, endpoint.counts, lambda: endpoint.invoke(ROW)):
        with pytest.raises(EndpointError, match="is stopped; start it with: nbops endpoint start sample"):
            ask()
    share = min(5, endpoint.capabilities.most_mirrored)
    endpoint.set_traffic({"green": 100}, mirror={"blue": share})
    now = endpoint.start()
    assert (now.state, now.changed, now.version, now.address) == ("running", True, "triple", address)
    assert {name: (slot.traffic, slot.mirror) for name, slot in now.slots.items()} == {
        "blue": (0, share),
        "green": (100, 0),
    }
    assert now.detail == DETAIL
    assert all(slot.detail == DETAIL for slot in now.slots.values())
    assert endpoint.invoke(ROW) == TRIPLE
    assert endpoint.counts(mark)["green"].requests == 1


@LOCAL_IN_PROOF
def test_deploying_starts_a_stopped_endpoint_with_all_its_slots(endpoint: Endpoint, light: dict[str, Path]) -> None:
    endpoint.stop()
    assert endpoint.deploy("green", version(light, "shifted")).state == "running"
    assert (endpoint.invoke(ROW), endpoint.invoke(ROW, slot="green")) == (DOUBLE, SHIFTED)


@LOCAL_IN_PROOF
def test_files_that_were_changed_are_noticed(endpoint: Endpoint, place: Place) -> None:
    with (place.files(endpoint, "green") / "MLmodel").open("a") as file:
        file.write("\n# somebody was here\n")
    assert endpoint.is_intact("blue")
    assert not endpoint.is_intact("green")
    with pytest.raises(UnknownNameError, match="did you mean 'green'"):
        endpoint.is_intact("gren")
    endpoint.stop()
    slot = endpoint.start().slots["green"]  # what has no traffic may fail to load
    assert slot.state == "failed"
    assert "are not those that were deployed" in slot.error
    with pytest.raises(EndpointError, match="slot 'green' .*could not be loaded"):
        endpoint.set_traffic({"green": 100})
    assert endpoint.invoke(ROW) == DOUBLE
    endpoint.stop()
    endpoint.set_traffic({"green": 100})
    with pytest.raises(EndpointError, match="cannot serve version triple: .*are not those that were deployed"):
        endpoint.start()
    endpoint.set_traffic({"blue": 100})
    endpoint.delete_slot("green")


@LOCAL_IN_PROOF
def test_a_deleted_slot_is_gone_and_without_any_it_stops(endpoint: Endpoint, light: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="has 100 % of the traffic"):
        endpoint.delete_slot("blue")
    with pytest.raises(UnknownNameError, match="did you mean 'green'"):
        endpoint.delete_slot("gren")
    endpoint.set_mirror({"green": min(10, endpoint.capabilities.most_mirrored)})
    assert list(endpoint.delete_slot("green").slots) == ["blue"]
    assert endpoint.invoke(ROW) == DOUBLE
    endpoint.set_traffic({})
    address = endpoint.status().address
    now = endpoint.delete_slot("blue")
    assert (now.state, now.slots, now.version) == ("stopped", {}, "")
    with pytest.raises(EndpointError, match="has no slot left to serve"):
        endpoint.start()
    now = endpoint.start(version(light, "shifted"))
    assert (now.state, now.version, now.slots["blue"].traffic) == ("running", "shifted", 100)
    assert now.address == address
    assert endpoint.start(ServedVersion("9", {}, lambda _: pytest.fail("it has slots"))).version == "shifted"
    assert endpoint.invoke(ROW) == SHIFTED


def test_the_log_ends_with_what_happened_last(endpoint: Endpoint) -> None:
    assert len(endpoint.logs(2)) <= 2
    assert all("\n" not in line for line in endpoint.logs())
