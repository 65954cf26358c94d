"""Faults of the machine are known by what libraries raise; processes are known without the clock."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import atomic_private_files, errors, process_identity
from notebooks_lib.__main__ import run as nbops
from notebooks_lib.errors import TrackingError
from notebooks_lib.settings import Settings
from notebooks_lib.tracking import store


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: the disk is full"),
        (OSError(errno.EDQUOT, "quota"), "share of the disk"),
        (OSError(errno.EROFS, "ro"), "read-only"),
        (OSError(errno.EMFILE, "files"), "too many files"),
        (sqlite3.OperationalError("database or disk is full"), "disk is full"),
        (sqlite3.OperationalError("disk I/O error"), "full or broken"),
        (sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
        (sqlite3.DatabaseError("file is not a database"), "damaged"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "read-only"),
        (sqlite3.OperationalError("unable to open database file"), "cannot be opened"),
        (MemoryError(), "no memory"),
        (ValueError("database or disk is full"), ""),
        (OSError(errno.ENOENT, "gone"), ""),
    ],
)
def test_a_fault_of_the_machine_is_reported_with_its_remedy(error: Exception, words: str) -> None:
    wrapped = RuntimeError("somebody's own words")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        said = errors.machine_fault(each)
        assert words in said
        assert bool(said) == bool(words)
        assert "\n" not in said


def test_a_process_is_known_by_its_birth() -> None:
    born = process_identity.birth()
    assert process_identity.alive(os.getpid(), born)
    assert process_identity.alive(os.getpid(), "")
    assert not process_identity.alive(os.getpid(), born + "0")
    assert not process_identity.alive(os.getpid(), "12.5"), "an older nbops wrote the time"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = process_identity.birth(child.pid)
    assert process_identity.alive(child.pid, born)
    child.communicate(b"\n")
    assert not process_identity.alive(child.pid, born)
    for wrong in ("x/y", "soon", "/"):
        assert not process_identity.alive(os.getpid(), wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="the boot and its ticks are Linux's")
def test_a_clock_that_was_set_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    born = process_identity.birth()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1.0)
    assert process_identity.birth() == born
    assert re.fullmatch(r"[0-9a-f-]+/\d+", born)


def damaged(database: Path) -> bytes:
    with database.open("r+b") as file:
        file.write(os.urandom(100))
    return database.read_bytes()


def emptied(database: Path) -> bytes:
    database.write_bytes(b"")
    return b""


def cut(database: Path) -> bytes:
    content = database.read_bytes()[:5000]
    database.write_bytes(content)
    return content


def text(database: Path) -> bytes:
    database.write_text("no database at all\n" * 1000)
    return database.read_bytes()


@pytest.mark.tracking
@pytest.mark.parametrize("harm", [damaged, emptied, cut, text])
def test_a_damaged_database_is_reported_at_once_and_left_unchanged(harm: object, project: Settings) -> None:
    assert callable(harm)
    store.connect(project)
    database = project.layout.database
    for left in database.parent.glob(f"{database.name}-*"):
        left.unlink()
    content = harm(database)
    with pytest.raises(TrackingError, match="backup") as caught:
        store.connect(project)
    assert "\n" not in str(caught.value)
    assert database.read_bytes() == content


@pytest.mark.tracking
def test_files_with_personal_data_are_readable_by_their_owner_only(project: Settings) -> None:
    database = project.layout.database
    database.with_name(f"{database.name}.ready").unlink()  # as before the first use
    database.chmod(0o644)
    store.connect(project)
    for path in (project.layout.state, project.layout.database):
        assert not atomic_private_files.readable_by_others(path), path
    project.layout.state.chmod(0o755)
    store.connect(project)
    assert not atomic_private_files.readable_by_others(project.layout.state)


def test_output_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for target, code in (("/dev/full", 1), ("&-", 2)):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m notebooks_lib --version >{target}"], capture_output=True, text=True
        )
        assert done.returncode == code
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_an_unforeseen_error_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from notebooks_lib.cli import check

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("http://user:pa55w0rd@host\x1b[31m")

    monkeypatch.setattr(check.command, "callback", fail)
    assert nbops(["check"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "pa55w0rd" not in said
    assert "\x1b" not in said
