"""A file is replaced whole or not at all, and only its owner reads it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from notebooks_lib import atomic_private_files


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "notebook.ipynb"
    target.write_text("before")
    write = f"atomic_private_files.write(Path({str(target)!r}), 'x' * 100_000)"
    code = f"from pathlib import Path; from notebooks_lib import atomic_private_files; {write}"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],  # bytecode that is cut would stay in this tree
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError" in done.stderr
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_folder_is_made_and_the_text_is_utf8(tmp_path: Path) -> None:
    atomic_private_files.write(tmp_path / "a" / "b.ipynb", "☃")
    assert (tmp_path / "a" / "b.ipynb").read_bytes() == "☃".encode()


def test_rights_are_kept_when_asked_for_and_the_owners_alone_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(0o644)
    atomic_private_files.write(file, "kept", keep_rights=True)
    assert file.stat().st_mode & 0o777 == 0o644
    atomic_private_files.write(file, "closed")
    assert not atomic_private_files.readable_by_others(file)


@pytest.mark.parametrize("fault", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_a_folder_is_no_fault(
    fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", refuse)
    atomic_private_files.sync_folder(tmp_path)


def test_a_disk_that_fails_while_a_folder_is_synced_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "the disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="the disk"):
        atomic_private_files.sync_folder(tmp_path)
