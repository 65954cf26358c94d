"""Joins the inputs and the predictions of each request, on disk: millions of them do not fit into memory.

A request's two records have the same slot and request id. A client may use one id for many requests: then those of the
same time belong together, in their order, and what remains only where there are as many inputs as predictions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from notebooks_lib.serving.collected.collected_records import CollectedRecord
from notebooks_lib.serving.data_collector import INPUTS

_SCHEMA = """
CREATE TABLE record (
    number INTEGER PRIMARY KEY, inputs INTEGER, slot TEXT, request TEXT, at INTEGER, version TEXT, rows TEXT, event TEXT
);
CREATE UNIQUE INDEX delivered ON record (inputs, slot, event, request, at) WHERE event <> '';
CREATE TABLE pair (inputs INTEGER PRIMARY KEY, outputs INTEGER);
CREATE TABLE label (key TEXT PRIMARY KEY, place INTEGER);
CREATE TABLE chosen (key TEXT PRIMARY KEY, number INTEGER, row INTEGER);
"""
_PAIR = """
INSERT INTO pair
WITH side AS (
    SELECT number, inputs, {key}, row_number() OVER each AS nth, count(*) OVER whole AS many
    FROM record WHERE number NOT IN (SELECT inputs FROM pair UNION ALL SELECT outputs FROM pair)
    WINDOW whole AS (PARTITION BY inputs, {key}), each AS (whole ORDER BY at, number)
)
SELECT asked.number, answered.number FROM side AS asked JOIN side AS answered USING ({key}, nth, many)
WHERE asked.inputs AND NOT answered.inputs
"""
_ORDERED = """
SELECT asked.number, asked.slot, asked.request, asked.at, asked.version, asked.rows, answered.rows
FROM record AS asked LEFT JOIN pair ON pair.inputs = asked.number LEFT JOIN record AS answered
ON answered.number = pair.outputs
WHERE asked.inputs AND asked.at >= ? ORDER BY asked.at, asked.slot, asked.number
"""
_ALONE = """
SELECT count(*) FROM record WHERE NOT inputs AND at >= ? AND number NOT IN (SELECT outputs FROM pair)
"""
_SHARED = """
SELECT count(*) FROM (
    SELECT request FROM record WHERE inputs AND at >= ? GROUP BY request HAVING count(DISTINCT slot) > 1
)
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class JoinedRequest:
    """The rows of one request, with its predictions."""

    number: int
    slot: str
    request: str
    at: datetime
    version: str
    inputs: list[Any]
    predictions: list[Any] | None
    """As many as inputs; None when there are none, or another number of them."""
    answered: bool
    """Whether there is a record of predictions."""


class JoinedRequests:
    """The requests of `since` or later, in the order of their time. `database` also serves to join labels."""

    def __init__(self, database: sqlite3.Connection, since: datetime) -> None:
        self.database = database
        self.repeated = 0
        """Records that were delivered twice."""
        self._since = _microseconds(since)

    def add(self, records: Iterable[CollectedRecord]) -> None:
        """Store records, then pair them."""
        cursor, given = self.database.cursor(), 0
        command = "INSERT OR IGNORE INTO record VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
        for record in records:
            values = (record.collection == INPUTS, record.slot, record.request, _microseconds(record.at))
            cursor.execute(command, (*values, record.version, record.rows, record.event))
            given += 1
        self.repeated = given - self._one("SELECT count(*) FROM record", ())
        for key in ("slot, request, at", "slot, request"):
            cursor.execute(_PAIR.format(key=key))

    def __iter__(self) -> Iterator[JoinedRequest]:
        with closing(self.database.cursor()) as cursor:
            for number, slot, request, at, version, asked, answered in cursor.execute(_ORDERED, (self._since,)):
                inputs = json.loads(asked)
                predictions = None if answered is None else json.loads(answered)
                yield JoinedRequest(
                    number=number,
                    slot=slot,
                    request=request,
                    at=_EPOCH + timedelta(microseconds=at),
                    version=version,
                    inputs=inputs,
                    predictions=predictions if predictions is not None and len(predictions) == len(inputs) else None,
                    answered=predictions is not None,
                )

    def predictions_alone(self) -> int:
        """Return the number of records of predictions without inputs."""
        return self._one(_ALONE, (self._since,))

    def in_several_slots(self) -> int:
        """Return the number of requests that more than one slot answered, as mirrored ones are."""
        return self._one(_SHARED, (self._since,))

    def choose(self, key: str, number: int, row: int) -> None:
        """Remember a row of request `number` as the last one that has a key."""
        command = "INSERT INTO chosen VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number, "
        self.database.execute(f"{command} row = excluded.row", (key, number, row))

    def is_chosen(self, key: str, number: int, row: int) -> bool:
        """Return whether a row was the last that was chosen for a key."""
        return bool(
            self._one("SELECT count(*) FROM chosen WHERE key = ? AND number = ? AND row = ?", (key, number, row))
        )

    def unused_labels(self) -> int:
        """Return the number of keys of labels for which no row was chosen."""
        return self._one("SELECT count(*) FROM label WHERE key NOT IN (SELECT key FROM chosen)", ())

    def _one(self, query: str, values: tuple[object, ...]) -> int:
        return int(self.database.execute(query, values).fetchone()[0])


@contextmanager
def joining(since: datetime) -> Iterator[JoinedRequests]:
    """Open an empty set of requests, in a file that vanishes with the process, however it ends."""
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA cache_size = -65536")  # 64 MiB; what is beyond goes to disk
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        yield JoinedRequests(database, since)


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
