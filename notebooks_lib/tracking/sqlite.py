"""The project's SQLite database: its address, its schema, and settings for many processes that write at once.

With a write-ahead log, SQLite's `synchronous=NORMAL` saves one flush of the disk per commit. A process that is killed
loses nothing by it, and the file is never broken; after a power failure the last commits may be missing.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from notebooks_lib import atomic_private_files, errors
from notebooks_lib.log_levels import quiet_loggers

ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""Tells MLflow where artifacts of its own experiments go; unset, `mlruns` under the current folder."""

PREFIX = "sqlite:///"
PREFIX_WITH_DRIVER = "sqlite+pysqlite:///"

_known: set[Path] = set()


def sqlite_url(path: Path) -> str:
    """Return the address of a database file for SQLAlchemy and MLflow; `database_file` is the inverse.

    SQLAlchemy decodes `%20`, and takes what follows `?` for options; all other characters stand for themselves. The
    address names the driver: otherwise MLflow would also create a folder with the encoded path.
    """
    encoded = str(path).replace("%", "%25").replace("?", "%3F")
    return (PREFIX if encoded == str(path) else PREFIX_WITH_DRIVER) + encoded


def is_sqlite(uri: str) -> bool:
    """Return whether a tracking URI is the address of a SQLite database."""
    return uri.startswith((PREFIX, PREFIX_WITH_DRIVER))


def database_file(url: str) -> Path:
    """Return the database file of a SQLite address; options after `?` are ignored."""
    return Path(unquote(url.removeprefix(PREFIX).removeprefix(PREFIX_WITH_DRIVER).partition("?")[0]))


def relax_flushing(uri: str) -> None:
    """Set `synchronous=NORMAL` on every connection that SQLAlchemy opens in this process to the database of `uri`."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not _known:
        event.listen(Engine, "connect", _connected)
    _known.add(database_file(uri))


def _connected(connection: Any, record: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    (_, _, file) = connection.execute("PRAGMA database_list").fetchone()
    if Path(file) in _known and connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")


def note_sizes(uri: str) -> None:
    """Give SQLite rough row counts of the tables, unless it has them. Takes milliseconds; errors are ignored.

    Without these counts MLflow's sorting by a metric compares every run with every other: 17 s for 20,000 runs instead
    of 0.1 s.
    """
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(database_file(uri), timeout=1, isolation_level=None)) as connection,
    ):
        (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        noted = 0
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
            (stat,) = connection.execute("SELECT max(stat) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
            noted = int((stat or "0").split()[0])
        if runs > 4 * noted:
            connection.execute("PRAGMA analysis_limit = 400")
            connection.execute("ANALYZE")


def prepare_schema(uri: str) -> None:
    """Create or check MLflow's schema once, under a lock, because parallel first starts race (docs/design trap 4)."""
    database = database_file(uri)
    ready = database.with_name(database.name + ".ready")
    if database.is_file() and ready.is_file():
        _check_database(database, ready)
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        # Outside .nbops only the artifacts folder is ours.
        atomic_private_files.make_folder(artifact_root(uri))
        from filelock import FileLock  # not above: every kernel imports this module

        with FileLock(f"{database}.lock", timeout=300):
            if not (database.is_file() and ready.is_file()):
                # With WAL readers do not wait for writers; the file keeps the mode. It comes first, because it also
                # makes the many small commits of the migration cheap.
                _pragma(database, "journal_mode=WAL")
                atomic_private_files.restrict_to_owner(database)
                _migrate(uri)
                _pragma(database, "wal_checkpoint(TRUNCATE)")
                ready.touch()
    except sqlite3.DatabaseError as error:
        advice = errors.machine_fault(error) or "move it away"
        raise errors.TrackingError(f"{database} is not a database of MLflow ({error}): {advice}") from error
    except OSError as error:
        raise errors.TrackingError(
            f"the database {database} cannot be made ready: {error}; check that its folder is writable and not full"
        ) from error


def _check_database(database: Path, ready: Path) -> None:
    """Raise TrackingError when the database is damaged or was emptied: MLflow would retry, or start a new one.

    It reads what every use reads, one row of a table at most; other damage is reported when it is met.
    """
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=60)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in ("alembic_version", "experiments", "runs"):
                if table in tables:
                    connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
    except sqlite3.Error as error:
        advice = errors.machine_fault(error) or "move it away and put a backup in its place"
        raise errors.TrackingError(f"{database} cannot be read ({error}): {advice}") from error
    if "alembic_version" not in tables:
        raise errors.TrackingError(
            f"{database} is empty, and it was not: put a backup in its place; or to begin without the runs that it "
            f"held, remove it and {ready.name}"
        )


def _pragma(database: Path, pragma: str) -> None:
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute(f"PRAGMA {pragma}")


def _migrate(uri: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with quiet_loggers("mlflow.store.db.utils", "alembic"):
        try:
            SqlAlchemyStore(uri, os.environ[ARTIFACT_ROOT])
        except Exception as error:
            if errors.machine_fault(error):
                raise errors.TrackingError(f"{uri} cannot be made ready: {errors.machine_fault(error)}") from error
            raise errors.TrackingError(
                f"{uri} is not a database of this MLflow ({errors.reason(error)}): "
                f"back the file up, then run `mlflow db upgrade {uri}`"
            ) from error


def artifact_root(uri: str) -> Path:
    """Return the folder of a SQLite store's artifacts: beside its database."""
    return database_file(uri).parent / "artifacts"
