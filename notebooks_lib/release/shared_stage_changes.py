"""Changes of a stage whose endpoint other machines reach, too: lock and journals are runs of the tracking store.

The run by which a process holds the lock also has the journal of its change, and nobody else writes to that. Who goes
on with an interrupted change first locks its owner out, then copies the journal to a run of their own. So an entry that
a process writes late is in a copy that counts no more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import PromotionError, StageBusyError, TrackingError
from notebooks_lib.release.journal import ChangeRecord, Journal, JournalEntry, describe, parse, to_line
from notebooks_lib.release.stage_changes import KEPT, StageChanges
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import lock_claim, run_text
from notebooks_lib.tracking.lock_claim import HELD, Claim
from notebooks_lib.tracking.run_text import RunText
from notebooks_lib.tracking.shared_lock import SharedLock
from notebooks_lib.tracking.store import translate_store_errors

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store

_LONGEST = 2000
"""Characters of a text within an entry, so that an entry fits a run; the ledger keeps 1,000 of a reason."""


class RunJournal(Journal):
    """A journal in the run by which this process holds the lock."""

    def __init__(
        self, lock: SharedLock, claim: Claim, id: str, change: ChangeRecord, entries: Sequence[JournalEntry] = ()
    ) -> None:
        super().__init__(id, change, entries)
        self._lock = lock
        self._claim = claim
        self._text = RunText(lock.store, claim.run_id)
        self._write(asdict(change), *(entry.as_json() for entry in entries))
        with translate_store_errors(lock.store):  # last: without it, the run holds no journal
            lock.store.client.set_tag(claim.run_id, Tag.CHANGE_ID, id)
        lock.confirm(claim)

    def _append(self, entry: JournalEntry) -> None:
        self._write(entry.as_json())
        self.entries.append(entry)
        # Written first, then asked: either this process sees that it was locked out, or who did it sees the entry.
        self._lock.confirm(self._claim)

    def _write(self, *lines: Mapping[str, Any]) -> None:
        try:
            self._text.append([_line(line) for line in lines])
        except TrackingError:
            self._lock.confirm(self._claim)  # who locks this process out may have deleted the run
            raise


class SharedStageChanges(StageChanges):
    """The changes of one stage, in the tracking store."""

    def __init__(self, store: Store, model: str, stage: str, *, heartbeat: float) -> None:
        super().__init__(model, stage)
        self._store = store
        self._shared_lock = SharedLock(store, model, stage, heartbeat=heartbeat)
        self._journal: RunJournal | None = None
        """What was begun or resumed since the lock was taken."""

    @property
    def taken(self) -> bool:
        """True if this object holds the lock and has not found out that it was locked out."""
        return self._shared_lock.claim is not None

    def begin(self, change: ChangeRecord, *, kept: int = KEPT) -> Journal:
        """Write the description of the change to the run of the lock."""
        if self._journal is not None:  # the run has that of a change that was recovered first
            self._shared_lock.renew()
        claim = self._claim()
        self._prune(kept)
        change = replace(change, time=round(time.time(), 3), pid=os.getpid())
        self._journal = RunJournal(self._shared_lock, claim, claim.run_id, change)
        return self._journal

    def resume(self) -> Journal | None:
        """Lock out the owner of the interrupted change, then copy its journal to the run of the lock."""
        if self._journal is None:
            self._journal = self._copy_of_unfinished()
        return None if self._journal is None or self._journal.ended else self._journal

    def newest(self) -> Journal | None:
        """Return a copy of the journal that was begun by the newest holder of the lock."""
        return _newest(self._store, lock_claim.claims(self._store, self.model, self.stage))

    @property
    def _key(self) -> Hashable:
        return self._store.uri, self.model, self.stage

    def _lock(self) -> None:
        self._journal = None
        try:
            self._shared_lock.take()
        except StageBusyError as error:
            other = self.pending()
            if other is None:
                raise
            raise StageBusyError(f"{error}; it is {describe(other)}") from error

    def _unlock(self) -> None:
        self._shared_lock.release()

    def _claim(self) -> Claim:
        if self._shared_lock.claim is None:
            raise PromotionError(f"stage {self.stage!r} of {self.model!r} is not locked")
        return self._shared_lock.claim

    def _copy_of_unfinished(self) -> RunJournal | None:
        mine = self._claim()
        for claim in lock_claim.claims(self._store, self.model, self.stage):
            journal = None if claim.run_id == mine.run_id else _read(self._store, claim)
            if journal is not None and not journal.ended:
                lock_claim.take_over(self._store, claim)
                journal = _read(self._store, claim)  # with what its owner wrote until then
            if journal is not None:
                change, entries = journal.change, journal.entries
                return None if journal.ended else RunJournal(self._shared_lock, mine, journal.id, change, entries)
        return None

    def _prune(self, kept: int) -> None:
        """Delete the oldest runs, so that `kept` remain with the one that begins."""
        newest_first = lock_claim.claims(self._store, self.model, self.stage)
        for claim in [claim for claim in newest_first if claim.lock != HELD][kept - 1 :]:
            with suppress(TrackingError):  # another time
                run_text.delete_text(self._store, claim.run_id)


def unfinished_shared_changes(store: Store, model: str = "") -> list[Journal]:
    """Return the journals in the store of changes that have not ended, of one model or of all."""
    by_stage: dict[tuple[str, str], list[Claim]] = {}
    for claim in lock_claim.claims(store, model):
        by_stage.setdefault((claim.model, claim.stage), []).append(claim)
    newest = (_newest(store, by_stage[key]) for key in sorted(by_stage))
    return [journal for journal in newest if journal is not None and not journal.ended]


def _newest(store: Store, newest_first: Sequence[Claim]) -> Journal | None:
    journals = (_read(store, claim) for claim in newest_first)
    return next((journal for journal in journals if journal is not None), None)


def _read(store: Store, claim: Claim) -> Journal | None:
    """Return the journal that a run holds; None if it holds none. The run is read, not what a search said of it."""
    change = lock_claim.read_claim(store, claim.run_id).change
    if not change:
        return None
    lines = run_text.read_text(store, claim.run_id).split("\n")
    where = f"run {claim.run_id} of the experiment {lock_claim.EXPERIMENT}"
    content = parse(lines, where, "delete that run: the next promotion begins anew")
    return Journal(change, *content) if content else None


def _line(content: Mapping[str, Any]) -> str:
    return to_line(_shortened(content), ascii_only=True)


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(item) for key, item in value.items()}
    return value[:_LONGEST] if isinstance(value, str) else value
