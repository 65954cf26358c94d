"""Changes in the tracking store: another machine goes on, a machine that slept does nothing more, nothing is done twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from notebooks_lib.errors import PromotionError, StageBusyError, TrackingError
from notebooks_lib.release.change_storage import bind_endpoint, changes_of, unfinished_changes
from notebooks_lib.release.journal import END, ChangeRecord
from notebooks_lib.release.shared_stage_changes import SharedStageChanges
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import lock_claim
from notebooks_lib.tracking.store import Store, connect
from notebooks_lib.tracking.store_identity import store_identity
from tests.release.machines import Machine, shared_endpoints

pytestmark = pytest.mark.tracking

CHANGE = ChangeRecord("promotion", "m", "prod", "7", "ada@here")


@pytest.fixture
def shared(project: Settings) -> Iterator[Settings]:
    """A project with a local store, whose endpoints are reached from other machines."""
    with shared_endpoints():
        yield project


@pytest.mark.parametrize("owner", ["{}", "[]", "{", None])
def test_a_claim_that_this_nbops_did_not_write_is_named_with_the_way_out(owner: str | None) -> None:
    tags = {Tag.CHANGE_MODEL: "m", Tag.CHANGE_STAGE: "prod", Tag.CHANGE_LOCK: "held"}
    tags |= {Tag.CHANGE_OWNER: owner} if owner is not None else {}
    run = SimpleNamespace(info=SimpleNamespace(run_id="r7"), data=SimpleNamespace(tags=tags))
    with pytest.raises(
        PromotionError, match=r"^run r7 of the experiment nbops-changes is no claim .*, delete that run"
    ):
        lock_claim.Claim.of_run(run)


def test_a_stage_is_changed_by_hand_only_from_the_store_that_releases_to_its_endpoint(
    shared: Settings,
) -> None:
    bound: list[str] = []
    endpoint: Any = SimpleNamespace(bind_store=bound.append)
    bind_endpoint(shared, "prod", endpoint)
    bind_endpoint(shared, "prod", endpoint, store=connect(shared))
    assert bound == 2 * [store_identity(connect(shared))]


def changes(settings: Settings) -> StageChanges:
    return changes_of(settings, "m", "prod")


@pytest.mark.proof
def test_a_machine_that_sleeps_is_taken_over_and_does_nothing_when_it_wakes(
    shared: Settings, start: Callable[..., Machine]
) -> None:
    far, here = start(shared.root, "far", model="m"), changes(shared)
    far("take")
    far("begin")
    far("write", step="deploy")
    with pytest.raises(
        StageBusyError, match=r"by root@far \(process \d+\), since .* UTC: .* after 4 s without a heartb"
    ):
        here.take()
    os.kill(far.pid, signal.SIGSTOP)
    began = time.monotonic()
    here.take()
    assert time.monotonic() - began >= 3.6
    os.kill(far.pid, signal.SIGCONT)
    with pytest.raises(
        PromotionError, match="was taken over by .*, because no heartbeat came for 4 s; this process stops"
    ):
        far("write", step="switch")
    journal = here.resume()
    assert journal is not None
    assert journal.steps in (["deploy"], ["deploy", "switch"])  # announced, but not done: `write` raised
    with pytest.raises(PromotionError, match="has ended; begin again"):
        far("write", step="mark")
    journal.write(END)
    assert here.pending() is None
    here.release()
    far("take")
    assert far("resume") == []


def test_a_step_does_not_begin_when_the_store_fails_and_the_next_one_can(shared: Settings) -> None:
    from mlflow.exceptions import MlflowException

    store = connect(shared)
    here = changes_of(shared, "m", "prod", store=store)
    here.take()
    journal = here.begin(CHANGE)
    journal.write("deploy")
    real = store.client.get_run

    def fails(*_: Any, **__: Any) -> None:
        raise MlflowException("no answer")

    for request in ("log_batch", "get_run"):  # the entry itself, and the question whether the lock is still ours
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store.client, request, fails)
            with pytest.raises(TrackingError, match="no answer"):
                journal.write("test")
    assert store.client.get_run == real
    journal.write("undo")
    assert here.taken
    pending = changes(shared).pending()
    assert pending is not None
    assert pending.entries == journal.entries
    assert pending.steps == ["deploy", "test", "undo"]
    here.release()


def test_a_lock_without_a_change_leaves_nothing_behind(shared: Settings) -> None:
    here = changes(shared)
    here.take()
    here.release()
    assert lock_claim.claims(connect(shared)) == []
    assert unfinished_changes(shared) == []


def test_the_order_of_changes_needs_no_clock(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    here = changes(shared)
    for version, hours in (("1", 0), ("2", -30), ("3", -3)):
        monkeypatch.setattr(time, "time_ns", lambda hours=hours: int((time.time() + hours * 3600) * 1e9))
        here.take()
        here.begin(ChangeRecord("promotion", "m", "prod", version, "ada@here")).write(END)
        here.release()
    newest = here.newest()
    assert newest is not None
    assert newest.change.version == "3"


def test_a_journal_that_nobody_can_read_is_said_in_one_line(shared: Settings) -> None:
    store, here = connect(shared), changes(shared)
    here.take()
    journal = here.begin(CHANGE)
    store.client.set_tag(journal.id, "nbops.change.journal.01", '{"step": 5}\n')
    here.release()
    with pytest.raises(
        PromotionError, match=f"run {journal.id} of the experiment nbops-changes: line 2 .* delete that run"
    ):
        here.pending()


class Lagging:
    """A store whose searches show only what was so a moment ago, as an index may do that is filled in the background."""

    def __init__(self, store: Store, lag: float) -> None:
        self._client = store.client
        self._lag = lag
        self._known: dict[str, float] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_run(self, *given: Any, **named: Any) -> Any:
        with self._lock:  # the index has the order of the store
            run = self._client.create_run(*given, **named)
            self._known[run.info.run_id] = time.monotonic()
        return run

    def search_runs(self, *given: Any, **named: Any) -> Any:
        found = self._client.search_runs(*given, **named)
        until = time.monotonic() - self._lag
        shown = [run for run in found if self._known.get(run.info.run_id, 0.0) < until]
        return type(found)(shown, found.token)


def test_a_search_that_lags_behind_lets_no_two_in(shared: Settings) -> None:
    store = connect(shared)
    store.__dict__["client"] = Lagging(store, 0.3)
    inside, most, held = 0, 0, 0
    guard = threading.Lock()

    def compete() -> None:
        nonlocal inside, most, held
        mine = SharedStageChanges(store, "m", "prod", heartbeat=0.2)
        for _ in range(2):
            try:
                mine.take()
            except StageBusyError:
                continue
            with guard:
                inside += 1
                held += 1
                most = max(most, inside)
            time.sleep(0.05)
            with guard:
                inside -= 1
            mine.release()

    threads = [threading.Thread(target=compete) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert held > 0


@pytest.mark.proof
def test_killed_at_any_request_to_the_store_the_stage_is_free_again_and_the_journal_whole(
    shared: Settings, start: Callable[..., Machine]
) -> None:
    whole = ["deploy", "switch", END]
    outcomes: list[list[str]] = []
    for number in range(1, 100):
        far = start(shared.root, f"far-{number}", model="m", heartbeat=600)  # its requests alone are counted
        far.begin("die_at_request", number=number)
        if not far.died():
            break
        here = changes(shared)
        here.take()
        journal = here.resume()
        outcomes.append(journal.steps if journal else [])
        assert outcomes[-1] == whole[: len(outcomes[-1])]
        if journal:
            journal.write(END, outcome="undone")
        here.begin(CHANGE).write(END)
        here.release()
        assert here.pending() is None
    begun = outcomes[: outcomes.index(["deploy", "switch"]) + 1]
    assert begun == sorted(begun, key=len)
    assert len(outcomes) > 15
    print(f"{len(outcomes)} kills; steps found: {outcomes}")
