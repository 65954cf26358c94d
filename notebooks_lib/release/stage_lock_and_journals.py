"""The lock of a stage, so that one process changes it at a time, and the journals of its changes.

.nbops/changes/MODEL/STAGE/
    TIME-ID.jsonl      the journal of one change
    lock               held by the process that makes a change; released when the change or that process ends
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from notebooks_lib.errors import PromotionError
from notebooks_lib.release.journal import ChangeRecord, Journal, begin_journal, describe, read_journal
from notebooks_lib.settings import Settings

KEPT = 20
"""How many journals of ended changes are kept; the ledger records all changes."""
_NAMED = "%Y%m%dT%H%M%S.%f"
_held: dict[Path, tuple[int, FileLock]] = {}
"""Lock file -> the thread of this process that holds it, and its lock."""


class StageLock:
    """The lock of one stage of a model, with the journals of changes of that stage."""

    def __init__(self, settings: Settings, model: str, stage: str) -> None:
        self.model = model
        self.stage = stage
        self.folder = settings.layout.changes / model / stage
        self._lock = FileLock(self.folder / "lock", timeout=0, thread_local=False)

    def take(self) -> None:
        """Lock the stage. Raises PromotionError, naming the other change, when another process holds the lock.

        A thread that begins a second change, as when notebook cells are run again, releases its first lock.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        thread, former = _held.get(self.folder, (0, self._lock))
        if thread == threading.get_ident():
            former.release(force=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            other = self.pending()
            about = f" ({describe(other)})" if other else ""
            message = f"stage {self.stage!r} of {self.model!r} is being changed by another process{about}"
            raise PromotionError(f"{message}: try again when that change has ended") from error
        _held[self.folder] = (threading.get_ident(), self._lock)

    @property
    def taken(self) -> bool:
        """True if this object holds the lock."""
        return bool(self._lock.is_locked)

    def release(self) -> None:
        """Release the lock, so that others can change the stage."""
        if self._lock.is_locked:
            _held.pop(self.folder, None)
            self._lock.release(force=True)

    def begin(self, change: ChangeRecord) -> Journal:
        """Begin the journal of a change. Remove the oldest journals, so that KEPT remain."""
        before = self._paths()
        for old in before[: -KEPT + 1]:
            old.unlink(missing_ok=True)
        now = datetime.now(UTC)
        name = f"{_after(before, now).strftime(_NAMED)}-{secrets.token_hex(3)}"
        return begin_journal(self.folder / f"{name}.jsonl", replace(change, time=round(now.timestamp(), 3)))

    def pending(self) -> Journal | None:
        """Return the journal of a change that is running or was interrupted; None if all changes have ended."""
        newest = self.newest()
        return None if newest is None or newest.ended else newest

    def newest(self) -> Journal | None:
        """Return the journal of the last change, whether it has ended or not; None if there was no change."""
        for path in reversed(self._paths()):
            journal = read_journal(path)
            if journal is not None:
                return journal
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def _after(paths: Sequence[Path], now: datetime) -> datetime:
    """Return a time after the newest journal, so that names stay in order even if the clock was set back."""
    with suppress(ValueError, IndexError, OverflowError):
        last = datetime.strptime(paths[-1].stem.rpartition("-")[0], _NAMED).replace(tzinfo=UTC)
        return max(now, last + timedelta(microseconds=1))
    return now


def unfinished_changes(settings: Settings, model: str | None = None) -> list[Journal]:
    """Return the journals of changes that have not ended, of one model or of all. Nothing is locked or recovered."""
    folder = settings.layout.changes
    places = sorted(folder.glob(f"{model or '*'}/*/lock"))
    pending = (StageLock(settings, place.parent.parent.name, place.parent.name).pending() for place in places)
    return [journal for journal in pending if journal is not None]
