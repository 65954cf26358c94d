"""One record of a data collector, which is a CloudEvent with the rows of a request, and the faults of damaged ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from notebooks_lib.serving.data_collector import INPUTS, OUTPUTS

COLLECTIONS = (INPUTS, OUTPUTS)
_STEPS = (timedelta(days=366), timedelta(days=31), timedelta(days=1), timedelta(hours=1), timedelta(minutes=1))
"""The longest time that a folder of the year, month, day, hour or minute covers."""
_NUMBERS = re.compile(r"(\d{4})(?:/(\d\d))?(?:/(\d\d))?(?:/(\d\d))?(?:/(\d\d))?/", re.ASCII)


@dataclass(frozen=True)
class CollectedFile:
    """A file that a collector wrote."""

    name: str
    """For messages: its path."""
    slot: str
    collection: str
    begins: datetime | None = None
    """The time that its folder names, UTC; None when it names none."""
    ends: datetime | None = None

    @classmethod
    def at(cls, path: str, name: str) -> CollectedFile | None:
        """Return the file at SLOT/COLLECTION/2026/01/31/23/FILE, a `path`; None for one of another collection.

        A deployment's `rolling_rate` says how many of the numbers there are.
        """
        slot, _, rest = path.partition("/")
        collection, _, rest = rest.partition("/")
        if collection not in COLLECTIONS:
            return None
        match = _NUMBERS.match(rest)
        numbers = [int(number) for number in match.groups() if number] if match else []
        try:
            begins = datetime(*[*numbers, 1, 1][: max(len(numbers), 3)], tzinfo=UTC) if numbers else None  # type: ignore[misc, arg-type]
        except ValueError:
            begins = None
        return cls(name, slot, collection, begins, begins + _STEPS[len(numbers) - 1] if begins else None)

    def may_hold(self, since: datetime) -> bool:
        """Return whether it may have records of `since` or later."""
        return self.ends is None or self.ends > since


@dataclass(frozen=True)
class RecordFault:
    """A part of a file that cannot be used."""

    where: str
    """As "line 3"; empty for the whole file."""
    reason: str


@dataclass(frozen=True)
class CollectedRecord:
    """The inputs or the predictions of one request."""

    collection: str
    slot: str
    event: str
    """Id of the record itself: the same one twice was delivered twice."""
    request: str
    at: datetime
    version: str
    rows: str
    """A list, as JSON."""


@dataclass
class DamagedFile:
    """How much of a file could not be used, and why the first of it."""

    file: str
    count: int
    first: str


@dataclass
class Damages:
    """The damaged files of a collection."""

    files: dict[str, DamagedFile] = field(default_factory=dict)

    def add(self, file: CollectedFile, fault: RecordFault) -> None:
        """Count a fault."""
        first = ": ".join(filter(None, (fault.where, fault.reason)))
        self.files.setdefault(file.name, DamagedFile(file.name, 0, first)).count += 1

    @property
    def count(self) -> int:
        """The number of faults."""
        return sum(damaged.count for damaged in self.files.values())

    def as_json(self) -> list[dict[str, Any]]:
        """Return each file with its number of faults and the first of them."""
        return [asdict(damaged) for damaged in self.files.values()]


def read_records(
    opened: Iterable[tuple[CollectedFile, Iterator[tuple[str, object] | RecordFault]]], damages: Damages
) -> Iterator[CollectedRecord]:
    """Yield the records of files; what cannot be used is counted in `damages`. A file yields places and documents."""
    for file, documents in opened:
        for document in documents:
            if isinstance(document, RecordFault):
                damages.add(file, document)
                continue
            where, content = document
            try:
                yield parse_record(content, file)
            except (ValueError, RecursionError) as error:
                damages.add(file, RecordFault(where, str(error) or "nested too deeply"))


def parse_record(content: object, file: CollectedFile) -> CollectedRecord:
    """Return the record of a CloudEvent. Raises ValueError, with what is wrong with it."""
    if not isinstance(content, dict):
        raise ValueError("is no JSON object")
    request = content.get("correlationid") or content.get("xrequestid")
    if not isinstance(request, str):
        raise ValueError("has no correlationid")
    texts = [json.dumps(_rows(content), ensure_ascii=False, separators=(",", ":")), request]
    texts += [str(content.get(name) or "") for name in ("id", "modelversion")]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a Unicode character") from None
    rows, request, event, version = texts
    at = _time(content.get("time"))
    return CollectedRecord(file.collection, file.slot, event, request, at, version, rows)


def _time(text: object) -> datetime:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise ValueError(f"has no time, found {str(text)[:40]!r}") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _rows(content: dict[str, Any]) -> list[Any]:
    """Return the rows: a list, which the local collector keeps as the text of one."""
    if "data" not in content:
        raise ValueError(
            "its rows are too large for the record and lie elsewhere" if "dataref" in content else "has no data"
        )
    rows = content["data"]
    if isinstance(rows, str):
        try:
            rows = json.loads(rows)
        except ValueError as error:
            raise ValueError(f"its data is no JSON: {error}") from error
    if isinstance(rows, dict):
        return [rows]
    if not isinstance(rows, list):
        raise ValueError("its data is no list of rows")
    return rows
