"""The journal of a change of a stage: what it is about to do, written before it does it. It changes nothing itself.

Its lines: one for what the change is, one before each of its steps, one for how it ended. `stage_changes.py` says where
they are kept.

Each line is durable before its step begins. So the last line of a journal without an end names the only step that may
or may not have been done; everything before it was done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from notebooks_lib import json_shape
from notebooks_lib.errors import PromotionError
from notebooks_lib.models import champions
from notebooks_lib.tracking.release_ledger import LedgerEntry

FORMAT = 1
"""Format of the lines; those of version 0.1 do not name it."""
Kind = Literal["promotion", "rollback", "repair"]
"""A repair brings an endpoint back in line with the champion's mark."""
END = "end"
MOVES = ("traffic", "ledger")
"""Entries that are written within a step."""
NAMES = {"share": "canary"}
"""Names of steps for people, where they differ."""
_LATEST = 32503680000
"""Seconds: the year 3000, beyond which not every system can format a time."""


@dataclass(frozen=True)
class ChangeRecord:
    """The description of a change, which is the first line of its journal."""

    kind: Kind
    model: str
    stage: str
    version: str
    """The version that is to enter."""
    who: str
    endpoint: str = ""
    before: str = ""
    """The champion when the change began; empty when there was none."""
    reason: str = ""
    run: str = ""
    """The promotion run that decided it, if any."""
    pid: int = 0
    time: float = 0.0
    """Seconds since 1970."""
    format: int = FORMAT

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the first line of a journal.

        Raises ValueError when a field is missing or invalid, or the format is unknown.
        """
        required = {**dict.fromkeys(("kind", "model", "stage", "version", "who"), str), "pid": int}
        json_shape.expect_keys(content, {**required, "time": (int, float)})
        if not 0 <= content["time"] < _LATEST:
            raise ValueError("'time' is out of range")
        json_shape.expect_format(content, (FORMAT,), unnamed=FORMAT)
        values = {attribute.name: content[attribute.name] for attribute in fields(cls) if attribute.name in content}
        json_shape.expect_keys(
            values, {name: str for name in ("endpoint", "before", "reason", "run") if name in values}
        )
        return cls(**values)


@dataclass(frozen=True)
class TrafficMove:
    """A move of traffic, in the form of the ledger: "1=90,2=10" is percent by version."""

    before: str
    after: str
    reason: str = ""


@dataclass(frozen=True)
class LedgerNote:
    """A ledger entry that is about to be written, with its key."""

    key: str
    entry: LedgerEntry


@dataclass(frozen=True)
class JournalEntry:
    """A line of a journal: a step that begins, or one of the MOVES within a step."""

    step: str
    time: float = 0.0
    detail: TrafficMove | LedgerNote | Mapping[str, Any] = field(default_factory=dict)
    """What the step is about to do; for other steps than MOVES plain values for people."""

    def as_json(self) -> dict[str, Any]:
        """Return the line as plain values."""
        detail = self.detail if isinstance(self.detail, Mapping) else asdict(self.detail)
        return {"step": self.step, "time": self.time, **detail}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a line. Raises ValueError when a field is missing or invalid."""
        json_shape.expect_keys(content, {"step": str})
        rest = {key: value for key, value in content.items() if key not in ("step", "time")}
        when = content.get("time", 0.0)
        if content["step"] == "traffic":
            json_shape.expect_keys(rest, dict.fromkeys(("before", "after", "reason"), str))
            return cls("traffic", when, TrafficMove(rest["before"], rest["after"], rest["reason"]))
        if content["step"] == "ledger":
            json_shape.expect_keys(rest, {"key": str, "entry": dict})
            values = {attribute.name: rest["entry"].get(attribute.name, "") for attribute in fields(LedgerEntry)}
            return cls("ledger", when, LedgerNote(rest["key"], LedgerEntry(**values)))
        return cls(content["step"], when, rest)


class Journal:
    """The journal of one change of a stage. This class only reads; what keeps journals has one that writes."""

    def __init__(self, id: str, change: ChangeRecord, entries: Sequence[JournalEntry] = ()) -> None:
        self.id = id
        """The id of the change. Keys of ledger entries begin with it, so it stays when another process goes on."""
        self.change = change
        self.entries = list(entries)
        """The steps and moves begun so far, in order."""

    @property
    def ended(self) -> bool:
        """True if the change has ended, so that nothing is left to do."""
        return bool(self.entries) and self.entries[-1].step == END

    @property
    def steps(self) -> list[str]:
        """Return the names of the steps begun so far, in order."""
        return [entry.step for entry in self.entries]

    def write(self, step: str, detail: TrafficMove | LedgerNote | None = None, /, **more: Any) -> None:
        """Write that this step begins now. When it returns, the entry is durable.

        If it raises, the step must not begin. Raises PromotionError when another machine has taken the change over.
        """
        self._append(JournalEntry(step, round(time.time(), 3), more if detail is None else detail))

    def _append(self, entry: JournalEntry) -> None:
        raise PromotionError(f"the journal of {describe(self)}, was opened for reading only")


def describe(journal: Journal) -> str:
    """Describe a change in one line, for messages."""
    change = journal.change
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(change.time))
    steps = [step for step in journal.steps if step not in MOVES]
    at = f"at step {NAMES.get(steps[-1], steps[-1])!r}" if steps else "before its first step"
    about = f"the {change.kind} of version {change.version} to {change.stage}"
    return f"{about}, begun {began} UTC by {change.who} (process {change.pid}), {at}"


def can_continue(journal: Journal) -> bool:
    """Return True for a promotion that was cut short, unless it was being undone: then its version has failed."""
    return journal.change.kind == "promotion" and "undo" not in journal.steps


def recovery_hint(journal: Journal) -> str:
    """Return advice on how to finish or undo a change that has not ended."""
    change = journal.change
    back = champions.rollback_command(change.model, change.stage)
    continued = f"nbops promote --continue {change.model}@{change.version}"
    again = continued if can_continue(journal) else "the next nbops promote --live"
    return (
        f"it is still running, or was cut short; if cut short, {back} takes the stage back to the version before, and "
        f"{again} finishes or undoes it first"
    )


def to_line(content: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return the text of one line, with its end."""
    return json.dumps(content, ensure_ascii=ascii_only, default=str) + "\n"


def parse(lines: Iterable[str | bytes], where: str, way_out: str) -> tuple[ChangeRecord, list[JournalEntry]] | None:
    """Read the lines of a journal; None if none of them is complete.

    A half-written line is ignored, because its step never began. Raises PromotionError when a complete line was not
    written by this module, because the step that it announced is unknown. `where` and `way_out` are for its message.
    """
    change: ChangeRecord | None = None
    entries: list[JournalEntry] = []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        try:
            if change is None:
                change = ChangeRecord.from_json(content)
            else:
                entries.append(JournalEntry.from_json(content))
        except ValueError as error:
            raise PromotionError(
                f"{where}: line {number} is no line of a change's journal ({error}); look at nbops endpoint status "
                f"and nbops history, then {way_out}"
            ) from error
    return None if change is None else (change, entries)
