"""Locks and journals keep the same promises in files of this machine and in the tracking store, on any kind of store."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from notebooks_lib.errors import StageBusyError
from notebooks_lib.release import change_storage
from notebooks_lib.release.change_storage import changes_of
from notebooks_lib.release.journal import END, ChangeRecord, Journal, LedgerNote, TrafficMove, describe
from notebooks_lib.release.stage_changes import StageChanges
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import lock_claim
from notebooks_lib.tracking.release_ledger import LedgerEntry
from tests.release.machines import Machine, shared_endpoints

pytestmark = pytest.mark.tracking


@dataclass
class Kept:
    """Where changes are kept."""

    settings: Settings
    start: Callable[..., Machine]
    shared: bool
    model: str = field(default_factory=lambda: f"m-{uuid.uuid4().hex[:8]}")
    """One of its own: the tests of a session share the workspace."""

    @property
    def change(self) -> ChangeRecord:
        return ChangeRecord("promotion", self.model, "prod", "7", "ada@elsewhere")

    def changes(self, stage: str = "prod") -> StageChanges:
        return changes_of(self.settings, self.model, stage)

    def unfinished(self) -> list[Journal]:
        return change_storage.unfinished_changes(self.settings, self.model)

    def process(self) -> Machine:
        """Another process on this machine."""
        return self.start(self.settings.root, shared=self.shared, model=self.model)


@pytest.fixture(params=["file", "sqlite", *(pytest.param(k, marks=pytest.mark.proof) for k in ("http", "azureml"))])
def kept(
    request: pytest.FixtureRequest, start: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kept]:
    kind = request.param
    if kind == "file":
        yield Kept(request.getfixturevalue("empty_project"), start, False)
        return
    project = request.getfixturevalue("project" if kind == "sqlite" else "azure_workspace")
    settings = project if kind == "sqlite" else project.settings
    if kind == "http":
        monkeypatch.setenv("NBOPS_TRACKING_URI", request.getfixturevalue("azure_server").backend)
    with shared_endpoints(heartbeat=0.4):
        yield Kept(settings, start, True)


def in_another_thread(what: Callable[[], Any]) -> Any:
    """The result of a function; an error of it is raised here."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((what(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((result, error),) = outcome
    if error:
        raise error
    return result


def test_a_change_is_unfinished_until_its_journal_has_an_end(kept: Kept) -> None:
    changes = kept.changes()
    assert (changes.pending(), changes.newest(), changes.taken) == (None, None, False)
    changes.take()
    assert (changes.taken, changes.resume()) == (True, None)
    journal = changes.begin(kept.change)
    journal.write("deploy")
    (seen,) = kept.unfinished()
    assert (seen.id, seen.steps, seen.change) == (journal.id, ["deploy"], journal.change)
    assert "the promotion of version 7 to prod, begun" in describe(seen)
    assert change_storage.unfinished_changes(kept.settings, "another") == []
    assert kept.changes("test").pending() is None
    journal.write(END, outcome="done")
    changes.release()
    assert kept.unfinished() == []
    newest = kept.changes().newest()
    assert newest is not None
    assert (newest.ended, newest.id, changes.taken) == (True, journal.id, False)


def test_entries_come_back_as_they_were_written(kept: Kept) -> None:
    reason = 'the callers of "Köln" said: 数が多すぎる 🏠\n\\ ' * 40
    entry = LedgerEntry(kept.model, "prod", "traffic", "1=100", "1=90,2=10", reason, who="ada@here")
    changes = kept.changes()
    changes.take()
    journal = changes.begin(replace(kept.change, reason=reason))
    journal.write("share", traffic=10, mirror=0)
    for number in range(20):
        journal.write("traffic", TrafficMove("1=100", f"1={number}", reason))
        journal.write("ledger", LedgerNote(f"k-{number}", entry))
    changes.release()
    seen = kept.changes().pending()
    assert seen is not None
    assert (seen.change, seen.entries) == (journal.change, journal.entries)
    assert seen.change.reason == reason


def test_one_process_changes_a_stage_and_all_others_are_refused(kept: Kept) -> None:
    other, changes = kept.process(), kept.changes()
    other("take")
    other("begin")
    other("write", step="deploy")
    with pytest.raises(
        StageBusyError, match="'prod' of 'm-.*' is being changed by .*the promotion of version 7 .*'deploy'"
    ):
        changes.take()
    assert not changes.taken
    elsewhere = kept.changes("test")
    elsewhere.take()
    elsewhere.release()
    other("write", step=END)
    other("release")
    changes.take()
    with pytest.raises(StageBusyError):
        in_another_thread(kept.changes().take)
    with pytest.raises(StageBusyError):
        other("take")
    changes.release()
    in_another_thread(kept.changes().take)


def test_what_a_killed_process_began_another_goes_on_with(kept: Kept) -> None:
    first, second, changes = kept.process(), kept.process(), kept.changes()
    first("take")
    id = first("begin")
    first("write", step="deploy")
    first.kill()
    pending = changes.pending()
    assert pending is not None
    assert pending.steps == ["deploy"]
    second("take")
    assert second("resume") == ["deploy"]
    second("write", step="undo")
    second.kill()
    changes.take()
    journal = changes.resume()
    assert journal is not None
    assert (journal.id, journal.steps) == (id, ["deploy", "undo"])
    journal.write(END, outcome="undone")
    assert changes.resume() is None
    following = changes.begin(replace(kept.change, version="8"))
    newest = kept.changes().newest()
    assert newest is not None
    assert (newest.change.version, newest.steps, newest.id != id) == ("8", [], True)
    following.write(END)
    changes.release()
    assert kept.changes().pending() is None


def test_a_second_change_of_a_thread_takes_the_lock_from_its_first(kept: Kept) -> None:
    first, second = kept.changes(), kept.changes()
    first.take()
    first.begin(kept.change).write("deploy")
    second.take()
    assert (first.taken, second.taken) == (False, True)
    journal = second.resume()
    assert journal is not None
    assert journal.steps == ["deploy"]
    second.release()


def test_only_the_newest_journals_are_kept(kept: Kept) -> None:
    changes = kept.changes()
    for number in range(7):
        changes.take()
        changes.begin(replace(kept.change, version=str(number)), kept=4).write(END)
        changes.release()
    newest = changes.newest()
    assert newest is not None
    assert newest.change.version == "6"
    if kept.shared:
        assert len(lock_claim.claims(change_storage.connect(kept.settings), kept.model, "prod")) == 4
    else:
        assert len([*kept.settings.layout.changes.glob("*/prod/*.jsonl")]) == 4


@pytest.mark.proof
def test_of_two_at_once_one_comes_first(kept: Kept, tmp_path: Path) -> None:
    competitors = [kept.process() for _ in range(2)]
    for other in competitors:
        other.begin("compete", times=2, file=str(tmp_path / "held"))
    counts = [other.answer() for other in competitors]
    assert sum(count["at_once"] for count in counts) == 0
    assert sum(count["held"] for count in counts) >= 2
