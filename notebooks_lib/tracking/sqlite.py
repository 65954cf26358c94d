"""How this project's SQLite database is written: many small commits of several processes at once, without a pause each.

With a write-ahead log, SQLite's `synchronous=NORMAL` leaves out one flush of the disk per commit. A process that is
killed loses nothing by it, and the file is never broken; after a power failure the last commits may be missing.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

_known: set[Path] = set()


def relax(uri: str) -> None:
    """From now on, every connection that SQLAlchemy opens in this process to the database of `uri` is such a one."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not _known:
        event.listen(Engine, "connect", _connected)
    _known.add(Path(uri.removeprefix("sqlite:///")))


def _connected(connection: Any, record: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    if Path(path) in _known and connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")
