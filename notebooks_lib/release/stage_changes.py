"""The changes of one stage of a model: a lock, so that one process at a time changes it, and a journal of each change.

Where they are kept depends on what runs the stage's endpoint: each machine that reaches it must find them.

    this machine      files (`local_stage_changes.py`)
    anything else     the tracking store (`shared_stage_changes.py`), so that another machine can go on
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable

from notebooks_lib.release.journal import ChangeRecord, Journal

KEPT = 20
"""How many journals of a stage are kept; the ledger records all changes."""

_held: dict[Hashable, tuple[int, StageChanges]] = {}
"""Lock -> the thread of this process that holds it, and the object with which it does."""


class StageChanges(ABC):
    """The lock of one stage of a model, and the journals of its changes."""

    def __init__(self, model: str, stage: str) -> None:
        self.model = model
        self.stage = stage

    def take(self) -> None:
        """Lock the stage. Raises StageBusyError, naming the other change, when another process or thread holds it.

        A thread that begins a second change, as when notebook cells are run again, releases its first lock.
        """
        thread, former = _held.get(self._key, (0, self))
        if thread == threading.get_ident():
            former.release()
        self._lock()
        _held[self._key] = (threading.get_ident(), self)

    def release(self) -> None:
        """Release the lock, so that others can change the stage."""
        if _held.get(self._key, (0, None))[1] is self:
            del _held[self._key]
        self._unlock()

    def pending(self) -> Journal | None:
        """Return the journal of a change that is running or was interrupted; None if all changes have ended."""
        newest = self.newest()
        return None if newest is None or newest.ended else newest

    @property
    @abstractmethod
    def taken(self) -> bool:
        """True if this object holds the lock, as far as it knows without asking."""

    @abstractmethod
    def begin(self, change: ChangeRecord, *, kept: int = KEPT) -> Journal:
        """Begin the journal of a change. The caller holds the lock. Of all journals, the `kept` newest remain."""

    @abstractmethod
    def resume(self) -> Journal | None:
        """Return the journal of an interrupted change, to go on in it; None if there is none.

        The caller holds the lock. From now on, what another process writes to that journal does not count.
        """

    @abstractmethod
    def newest(self) -> Journal | None:
        """Return the journal of the last change, whether it has ended or not; None if there was no change."""

    @property
    @abstractmethod
    def _key(self) -> Hashable:
        """What is the same for all objects in this process that stand for the same lock."""

    @abstractmethod
    def _lock(self) -> None:
        """Take the lock, or raise StageBusyError."""

    @abstractmethod
    def _unlock(self) -> None:
        """Release the lock if this object holds it."""
