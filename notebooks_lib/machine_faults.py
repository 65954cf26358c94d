"""Recognises a fault of the machine in what libraries raise: a full disk, a damaged database, a lack of files."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

_BY_NUMBER = {
    errno.ENOSPC: "the disk is full: make room, then do it again",
    errno.EDQUOT: "your share of the disk is used up: make room, then do it again",
    errno.EROFS: "the disk is mounted read-only: mount it writable, or work elsewhere",
    errno.EMFILE: "this process has too many files open: raise the limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: end other programs",
    errno.ENOMEM: "the machine has no memory left: end other programs",
    errno.EIO: "the disk does not read or write (I/O error): look at the machine's log",
}
_BY_WORDS = {
    "database or disk is full": _BY_NUMBER[errno.ENOSPC],
    "No space left on device": _BY_NUMBER[errno.ENOSPC],
    "disk I/O error": "the database's disk is full or broken: make room and look at the machine's log",
    "unable to open database file": "the database cannot be opened: its folder must be writable, and its disk not full",
    "attempt to write a readonly database": "the database is read-only: look at the rights of its file and folder",
    "database disk image is malformed": "the database is damaged: move it away and put a backup in its place",
    "file is not a database": "the database is damaged: move it away and put a backup in its place",
    "database is locked": "another program holds the database locked: end it, or wait and do it again",
    "Too many open files": _BY_NUMBER[errno.EMFILE],
}


def fault(error: BaseException) -> str:
    """What is wrong with the machine and what to do, in one line; empty when the error is another."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in _BY_NUMBER:
            where = f"{each.filename}: " if each.filename else ""
            return where + _BY_NUMBER[each.errno]
        if isinstance(each, MemoryError):
            return _BY_NUMBER[errno.ENOMEM]
        if isinstance(each, OSError | sqlite3.Error) or type(each).__module__.startswith(("sqlalchemy", "mlflow")):
            for words, said in _BY_WORDS.items():
                if words in str(each):
                    return said
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
