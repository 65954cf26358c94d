"""Changes of a stage whose endpoint runs on this machine: a lock file, and a file for each journal.

.nbops/changes/MODEL/STAGE/
    TIME-ID.jsonl      the journal of one change
    lock               held by the process that makes a change; released when the change or that process ends
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from notebooks_lib import atomic_private_files
from notebooks_lib.errors import PromotionError, StageBusyError
from notebooks_lib.release.journal import ChangeRecord, Journal, JournalEntry, describe, parse, to_line
from notebooks_lib.release.stage_changes import KEPT, StageChanges
from notebooks_lib.settings import Settings

_NAMED = "%Y%m%dT%H%M%S.%f"


class FileJournal(Journal):
    """A journal in a file. Each line is flushed to disk before `write` returns."""

    def __init__(self, path: Path, change: ChangeRecord, entries: Sequence[JournalEntry] = ()) -> None:
        super().__init__(path.stem, change, entries)
        self.path = path

    def _append(self, entry: JournalEntry) -> None:
        _write_line(self.path, to_line(entry.as_json()))
        self.entries.append(entry)


class LocalStageChanges(StageChanges):
    """The changes of one stage, in a folder of this machine."""

    def __init__(self, settings: Settings, model: str, stage: str) -> None:
        super().__init__(model, stage)
        self.folder = settings.layout.changes / model / stage
        self._file_lock = FileLock(self.folder / "lock", timeout=0, thread_local=False)

    @property
    def taken(self) -> bool:
        """True if this object holds the lock file."""
        return bool(self._file_lock.is_locked)

    def begin(self, change: ChangeRecord, *, kept: int = KEPT) -> Journal:
        """Write the first line of a new file. When it returns, the file and its name are on disk."""
        before = self._paths()
        for old in before[: -kept + 1]:
            old.unlink(missing_ok=True)
        now = datetime.now(UTC)
        name = f"{_after(before, now).strftime(_NAMED)}-{secrets.token_hex(3)}"
        path = self.folder / f"{name}.jsonl"
        change = replace(change, time=round(now.timestamp(), 3), pid=os.getpid())
        _write_line(path, to_line(asdict(change)))
        atomic_private_files.sync_folder(path.parent)
        return FileJournal(path, change)

    def resume(self) -> Journal | None:
        """Return the interrupted change's own journal: its process lost the lock when it ended."""
        return self.pending()

    def newest(self) -> Journal | None:
        """Return the journal whose file name is the last."""
        for path in reversed(self._paths()):
            journal = _read(path)
            if journal is not None:
                return journal
        return None

    @property
    def _key(self) -> Path:
        return self.folder

    def _lock(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._file_lock.acquire()
        except Timeout as error:
            other = self.pending()
            about = f" ({describe(other)})" if other else ""
            message = f"stage {self.stage!r} of {self.model!r} is being changed by another process{about}"
            raise StageBusyError(f"{message}: try again when that change has ended") from error

    def _unlock(self) -> None:
        if self._file_lock.is_locked:
            self._file_lock.release(force=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def stages_with_files(settings: Settings, model: str | None = None) -> list[tuple[str, str]]:
    """Return model and stage of everything that was ever changed here, of one model or of all."""
    places = sorted(settings.layout.changes.glob(f"{model or '*'}/*/lock"))
    return [(place.parent.parent.name, place.parent.name) for place in places]


def _after(paths: Sequence[Path], now: datetime) -> datetime:
    """Return a time after the newest journal, so that names stay in order even if the clock was set back."""
    with suppress(ValueError, IndexError, OverflowError):
        last = datetime.strptime(paths[-1].stem.rpartition("-")[0], _NAMED).replace(tzinfo=UTC)
        return max(now, last + timedelta(microseconds=1))
    return now


def _write_line(path: Path, line: str) -> None:
    with path.open("a+b") as file:
        if file.tell() and _ends_mid_line(file):
            line = f"\n{line}"
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_mid_line(file: BinaryIO) -> bool:
    """Return True if the last line is incomplete, as after a crash of the machine."""
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _read(path: Path) -> FileJournal | None:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise PromotionError(f"{path}: the journal of a change cannot be read: {error.strerror}") from error
    content = parse(lines, str(path), "move the file away: the next promotion begins anew")
    return FileJournal(path, *content) if content else None
