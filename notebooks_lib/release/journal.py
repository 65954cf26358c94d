"""The journal of a change of a stage: what it is about to do, on disk before it does it. It changes nothing itself.

.nbops/changes/MODEL/STAGE/
    TIME-ID.jsonl      one change: a line for what it is, one before each of its steps, one for how it ended
    lock               held by the process that carries a change out; released when it ends, in whatever way

Each line is flushed to disk before the step begins. So the last line of a journal without an end names the only step
that may or may not have been done; everything before it was done.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from notebooks_lib import safe_files
from notebooks_lib.errors import PromotionError
from notebooks_lib.models import champions
from notebooks_lib.settings import Settings

KEPT = 20
"""Journals of ended changes that are kept; the ledger has the rest."""
END = "end"
MOVES = ("traffic", "ledger")
"""Entries that are written within a step."""
NAMES = {"share": "canary"}
"""Names of steps for people, where they differ."""
_CHANGE: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("kind", "model", "stage", "version", "who"), str),
    "pid": int,
    "time": (int, float),
}
_STEP: Mapping[str, type | tuple[type, ...]] = {"step": str}
_LATEST = 32503680000
"""Seconds: the year 3000, beyond which not every system can format a time."""
_NAMED = "%Y%m%dT%H%M%S.%f"
_held: dict[Path, tuple[int, FileLock]] = {}
"""Lock file -> the thread of this process that holds it, and its lock."""


class Journal:
    """The journal of one change."""

    def __init__(self, path: Path, entries: list[dict[str, Any]]) -> None:
        self.path = path
        self.entries = entries

    @property
    def id(self) -> str:
        """Return the id of the change."""
        return self.path.stem

    @property
    def change(self) -> Mapping[str, Any]:
        """Return what the change is: the first line."""
        return self.entries[0]

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.entries[-1].get("step") == END

    @property
    def steps(self) -> list[str]:
        """Return the names of the steps begun so far, in order."""
        return [str(entry["step"]) for entry in self.entries[1:]]

    def last(self, step: str) -> Mapping[str, Any] | None:
        """Return what was written before this step was last begun; None if it never was."""
        return next((entry for entry in reversed(self.entries) if entry.get("step") == step), None)

    def write(self, step: str, **detail: Any) -> None:
        """Write that this step begins now. When it returns, the line is on disk."""
        self._append({"step": step, "time": round(time.time(), 3), **detail})

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        with self.path.open("a+b") as file:
            if file.tell() and _torn(file):
                line = f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)


class StageLock:
    """The lock of one stage of a model, and the journals of its changes."""

    def __init__(self, settings: Settings, model: str, stage: str) -> None:
        self.model = model
        self.stage = stage
        self.folder = settings.layout.changes / model / stage
        self._lock = FileLock(self.folder / "lock", timeout=0, thread_local=False)

    def take(self) -> None:
        """Lock the stage. Raises PromotionError, naming the other change, when another process holds it.

        A thread that begins a second change, as when cells of a notebook are run again, gives up its first one.
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
            what = f"stage {self.stage!r} of {self.model!r} is being changed by another process{about}"
            raise PromotionError(f"{what}: try again when it is done") from error
        _held[self.folder] = (threading.get_ident(), self._lock)

    @property
    def taken(self) -> bool:
        """Whether this object holds the lock."""
        return bool(self._lock.is_locked)

    def release(self) -> None:
        """Release the lock, so that others can change the stage."""
        if self._lock.is_locked:
            _held.pop(self.folder, None)
            self._lock.release(force=True)

    def begin(self, change: Mapping[str, Any]) -> Journal:
        """Begin a new journal; remove ended ones beyond KEPT."""
        before = self._paths()
        for old in before[: -KEPT + 1]:
            old.unlink(missing_ok=True)
        now = datetime.now(UTC)
        name = f"{_after(before, now).strftime(_NAMED)}-{secrets.token_hex(3)}"
        journal = Journal(self.folder / f"{name}.jsonl", [])
        journal._append({"pid": os.getpid(), "time": round(now.timestamp(), 3), **change})
        safe_files.sync_folder(self.folder)
        return journal

    def pending(self) -> Journal | None:
        """Return the journal of a change that has not ended: it is running, or was cut short."""
        newest = self.newest()
        return None if newest is None or newest.ended else newest

    def newest(self) -> Journal | None:
        """Return the journal of the last change, ended or not."""
        for path in reversed(self._paths()):
            entries = _read(path)
            if entries:
                return Journal(path, entries)
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def _after(paths: Sequence[Path], now: datetime) -> datetime:
    """Return now, or a moment after the last journal: names stay in order even when the clock was set back."""
    with suppress(ValueError, IndexError, OverflowError):
        last = datetime.strptime(paths[-1].stem.rpartition("-")[0], _NAMED).replace(tzinfo=UTC)
        return max(now, last + timedelta(microseconds=1))
    return now


def unfinished(settings: Settings, model: str | None = None) -> list[Journal]:
    """Return the changes that have not ended, of one model or of all. Nothing is locked or recovered."""
    folder = settings.layout.changes
    places = sorted(folder.glob(f"{model or '*'}/*/lock"))
    pending = (StageLock(settings, place.parent.parent.name, place.parent.name).pending() for place in places)
    return [journal for journal in pending if journal is not None]


def describe(journal: Journal) -> str:
    """Describe a change in one line, for people."""
    change = journal.change
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(change["time"])))
    steps = [step for step in journal.steps if step not in MOVES]
    at = f"at step {NAMES.get(steps[-1], steps[-1])!r}" if steps else "before its first step"
    what = f"the {change['kind']} of version {change['version']} to {change['stage']}"
    return f"{what}, begun {began} UTC by {change['who']} (process {change['pid']}), {at}"


def recovery_hint(journal: Journal) -> str:
    """Return what to do about a change that has not ended."""
    back = champions.rollback_command(str(journal.change["model"]), str(journal.change["stage"]))
    return (
        f"it goes on, or was cut short: then {back} takes the stage back to the version before, and the same "
        "nbops promote --live again mends it and goes on"
    )


def _torn(file: BinaryIO) -> bool:
    """Whether the last line is incomplete, as after a crash of the machine."""
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines. An incomplete one announced a step that was never begun.

    Raises PromotionError when a complete line was not written by this module: what it announced is unknown.
    """
    entries: list[dict[str, Any]] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise PromotionError(f"{path}: the journal of a change cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        problem = _problem(entry, first=not entries)
        if problem:
            raise PromotionError(
                f"{path}: line {number} is none of a change's journal ({problem}); look at nbops endpoint status "
                "and nbops history, then move the file away: the next promotion begins anew"
            )
        entries.append(entry)
    return entries


def _problem(entry: Any, *, first: bool) -> str:
    """Return what a line lacks; empty when it has what every reader needs."""
    if not isinstance(entry, dict):
        return f"it is {type(entry).__name__}, expected an object"
    kinds = _CHANGE if first else _STEP
    missing = [key for key in kinds if key not in entry]
    if missing:
        return f"{missing[0]!r} is missing"
    wrong = [key for key, kind in kinds.items() if not isinstance(entry[key], kind) or isinstance(entry[key], bool)]
    if wrong:
        return f"{wrong[0]!r} is {type(entry[wrong[0]]).__name__}"
    return "'time' is out of range" if first and not 0 <= entry["time"] < _LATEST else ""
