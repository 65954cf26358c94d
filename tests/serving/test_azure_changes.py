"""Stop and start of an endpoint on Azure, killed at each request: it serves, or is stopped, and starts as it was."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import pytest

from notebooks_lib.azure.endpoints.online_endpoint import OnlineEndpoint
from notebooks_lib.errors import AzureError, EndpointError, UsageError
from notebooks_lib.serving import azure_changes
from notebooks_lib.serving.azure_changes import AzureChanges
from notebooks_lib.serving.azure_endpoint import AzureEndpoint
from notebooks_lib.serving.azure_status import azure_status
from notebooks_lib.serving.endpoint import EndpointAnswer
from notebooks_lib.serving.endpoint_capabilities import EndpointCapabilities
from notebooks_lib.settings import Settings
from notebooks_lib.settings.sections import Azure
from notebooks_lib.tags import Tag
from tests.serving.azure_documents import PLACE, Documents, Killed, changes, held, serving

QUOTA = AzureError("slot green failed: OutOfQuota: not enough", status=200, code="OutOfQuota")
SHARES = {"blue": 80, "green": 20}


@pytest.fixture
def settings(empty_project: Settings) -> Settings:
    return empty_project.model_copy(update={"azure": Azure(subscription="s", resource_group="g", workspace="w")})


def found(change: AzureChanges) -> OnlineEndpoint:
    endpoint = change.find()
    assert endpoint is not None
    return endpoint


def state(change: AzureChanges) -> tuple[str, dict[str, tuple[str, int, str]]]:
    endpoint = found(change)
    status = azure_status(endpoint.name, endpoint, change.slots(endpoint), PLACE)
    return status.state, {name: (slot.version, slot.traffic, slot.state) for name, slot in status.slots.items()}


def start(change: AzureChanges) -> None:
    endpoint = found(change)
    change.restore(endpoint, change.slots(endpoint))


def traffic(change: AzureChanges, **shares: int) -> None:
    change.share(found(change), shares, None, EndpointCapabilities())


RUNNING = ("running", {"blue": ("1", 80, "ready"), "green": ("2", 20, "ready")})
STOPPED = ("stopped", {"blue": ("1", 80, "stopped"), "green": ("2", 20, "stopped")})


def killed(documents: Documents, at: int, after: bool, change: Any) -> bool:
    """Carry a change out, killed at its request number `at`; return whether it came so far."""
    documents.writes.clear()
    documents.die_at, documents.die_after = at, after
    try:
        change()
    except Killed:
        return True
    finally:
        documents.die_at = 0
    return False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("then", ["start", "stop, then start"])
def test_a_stop_that_is_killed_leaves_an_endpoint_that_starts_as_it_was(
    then: str, after: bool, settings: Settings
) -> None:
    seen = []
    for at in itertools.count(1):
        documents = serving(settings, **SHARES)
        change = changes(documents, settings)
        cut = killed(documents, at, after, lambda change=change: change.stop(found(change)))
        assert state(change) in (RUNNING, STOPPED)
        assert documents.traffic == (SHARES if state(change) == RUNNING else {})
        seen.append(state(change)[0])
        if then.startswith("stop"):
            change.stop(found(change))
            assert (documents.deployments, state(change)) == ([], STOPPED)
        start(change)
        assert (state(change), documents.traffic, found(change).tags) == (RUNNING, SHARES, {"team": "sales"})
        if not cut:
            break
    assert seen == sorted(seen), "from some request on it is stopped"
    assert at == 4, "the notes, then one deployment after the other"


@pytest.mark.parametrize("after", [False, True])
def test_a_start_that_is_killed_is_completed_by_the_next(after: bool, settings: Settings) -> None:
    for at in itertools.count(1):
        documents = serving(settings, **SHARES)
        change = changes(documents, settings)
        change.stop(found(change))
        cut = killed(documents, at, after, lambda change=change: start(change))
        assert state(change) in (RUNNING, STOPPED)
        documents.writes.clear()
        if state(change) == STOPPED:
            start(change)
        assert (state(change), documents.traffic) == (RUNNING, SHARES)
        assert len(documents.writes) <= 4 - at + (not after), "what was made is not made again"
        if not cut:
            break


@pytest.mark.parametrize("at", [2, 3])
def test_what_is_done_by_hand_after_a_killed_stop_holds_from_the_start_on(at: int, settings: Settings) -> None:
    documents = serving(settings, **SHARES)
    change = changes(documents, settings)
    assert killed(documents, at, False, lambda: change.stop(found(change)))
    traffic(change, green=100)
    assert state(change) == ("stopped", {"blue": ("1", 0, "stopped"), "green": ("2", 100, "stopped")})
    change.delete_slot(found(change), "blue")
    assert state(change) == ("stopped", {"green": ("2", 100, "stopped")})
    start(change)
    assert state(change) == ("running", {"green": ("2", 100, "ready")})
    assert documents.traffic == {"green": 100}


def test_what_serves_is_running_whatever_an_old_note_says(settings: Settings) -> None:
    """As when somebody gives traffic in the portal after a stop that was killed."""
    documents = serving(settings, **SHARES)
    change = changes(documents, settings)
    assert killed(documents, 2, False, lambda: change.stop(found(change)))
    change.change(found(change), traffic={"green": 100})
    assert state(change) == ("running", {"blue": ("1", 0, "ready"), "green": ("2", 100, "ready")})
    change.delete_slot(found(change), "blue")
    assert state(change) == ("running", {"green": ("2", 100, "ready")})
    traffic(change)
    assert (documents.traffic, state(change)[1]) == ({}, {"green": ("2", 0, "ready")})


def test_a_slot_without_traffic_that_does_not_start_stays_for_the_next_start(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="nbops.endpoint")
    documents = serving(settings, blue=100)
    change = changes(documents, settings)
    change.stop(found(change))
    documents.broken = {"green": QUOTA}
    start(change)
    assert state(change) == ("running", {"blue": ("1", 100, "ready"), "green": ("2", 0, "stopped")})
    assert (
        "slot green of endpoint houses stays stopped: endpoint 'houses' cannot serve version 2 (quota)" in caplog.text
    )
    with pytest.raises(EndpointError, match="slot 'green' of endpoint 'houses' could not be loaded"):
        traffic(change, blue=50, green=50)
    documents.broken = {}
    start(change)
    assert state(change) == ("running", {"blue": ("1", 100, "ready"), "green": ("2", 0, "ready")})
    assert found(change).tags == {"team": "sales"}


def test_a_start_that_fails_names_what_it_made(settings: Settings) -> None:
    documents = serving(settings, **SHARES)
    change = changes(documents, settings)
    change.stop(found(change))
    documents.broken = {"green": QUOTA}
    with pytest.raises(EndpointError, match="; made already, without traffic: blue; nbops endpoint start houses tries"):
        start(change)
    assert state(change) == STOPPED
    documents.broken = {}
    start(change)
    assert state(change) == RUNNING


def test_a_start_deploys_by_the_files_as_they_are(settings: Settings) -> None:
    documents = serving(settings, **SHARES)
    change = changes(documents, settings)
    slot = change.slots(found(change))["blue"]
    assert change.at.differing_keys("blue", slot) == []
    file = settings.root / "production" / "azure" / "deployment.yml"
    file.parent.mkdir(parents=True)
    file.write_text("instance_count: 2\nenvironment_variables: {TOKEN: new}\n")
    assert change.at.differing_keys("blue", slot) == ["environment_variables", "instance_count"]
    change.stop(found(change))
    start(change)
    assert change.at.differing_keys("blue", change.slots(found(change))["blue"]) == []
    assert [documents.there[path]["sku"]["capacity"] for path in documents.there if "deployments" in path] == [2, 2]


def test_an_endpoint_is_bound_to_the_first_store_that_releases_to_it(settings: Settings) -> None:
    documents = serving(settings, blue=100)
    change = changes(documents, settings)
    endpoint = AzureEndpoint(settings, "houses", "prod")
    endpoint.__dict__["_at"] = change.at  # its client
    endpoint.bind_store("a")
    assert Tag.ENDPOINT_STORE not in found(change).tags, "an endpoint that nbops did not make"
    change.change(found(change), tags={Tag.ENDPOINT_MODEL: "houses"})
    endpoint.bind_store("a")
    documents.writes.clear()
    endpoint.bind_store("a")
    assert documents.writes == []
    with pytest.raises(UsageError, match=r"is released by another tracking store \(a\), not by this one \(b\)"):
        endpoint.bind_store("b")
    assert found(change).traffic == {"blue": 100}


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def answers(*statuses: int) -> Any:
    """Answers with these statuses, the last for ever; 0 is no answer at all."""
    left = list(statuses)

    def ask() -> EndpointAnswer:
        status = left.pop(0) if len(left) > 1 else left[0]
        if not status:
            raise EndpointError("Azure does not answer")
        return EndpointAnswer(status, {"message": "out of weights"}, "https://houses")

    return ask


@pytest.mark.parametrize(
    ("asked", "error", "remains"),
    [
        (answers(200), "", True),
        (answers(500, 429, 0, 503, 200), "", True),
        (
            answers(0),
            "cannot be asked for its example: Azure does not answer; the same command asks again, nbops",
            True,
        ),
        (answers(500), "it answers its own example with 500: out of weights", False),
        (answers(400), "it answers its own example with 400: out of weights", False),
    ],
)
def test_a_new_slot_is_asked_until_it_answers_and_goes_if_it_is_wrong(
    asked: Any, error: str, remains: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_changes, "time", Clock())
    documents = serving(settings, blue=100)
    change = changes(documents, settings)
    with pytest.raises(EndpointError, match=error) if error else nullcontext():
        change._check_answer("green", held(change, "green"), asked)
    assert ("green" in documents.deployments) == remains
    assert documents.traffic == {"blue": 100}


def test_a_slot_with_traffic_is_never_deleted_for_its_answer(settings: Settings) -> None:
    documents = serving(settings, blue=100)
    change = changes(documents, settings)
    with pytest.raises(EndpointError, match="with 400"):
        change._check_answer("blue", held(change, "blue"), answers(400))
    assert documents.deployments == ["blue", "green"]
