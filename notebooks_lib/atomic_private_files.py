"""Files and folders that only their owner reads, and that a reader sees whole or not at all, also after a crash."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

FOLDER = 0o700
FILE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""What file systems answer that cannot sync a folder, such as mounted shares."""


def make_folder(path: Path) -> Path:
    """Make a folder, with its parents, and let only its owner enter it. Raises OSError when it cannot be made."""
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    restrict_to_owner(path)
    return path


def restrict_to_owner(path: Path) -> None:
    """Remove all rights of other users to a file or folder. Nothing happens if it belongs to another user."""
    with suppress(OSError):  # it belongs to another user, who decides
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)


def readable_by_others(path: Path) -> bool:
    """Return True if users other than the owner have any right to a file. Always False on systems other than POSIX."""
    return os.name == "posix" and bool(path.stat().st_mode & _OTHERS)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that they survive a power cut, if its file system can do that.

    Raises OSError when it fails.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(handle)


def write(path: Path, text: str, *, durable: bool = True, keep_rights: bool = False) -> None:
    """Replace the content of a file atomically. Raises OSError when that fails; the file is then unchanged.

    With `durable` the new content survives a power cut. Afterwards only the owner may read the file. With
    `keep_rights`, the file keeps its owner, group and rights.
    """
    draft = write_draft(path, text, durable=durable)
    try:
        if keep_rights:
            _copy_rights(path, draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_draft(path: Path, text: str, *, durable: bool = True, draft: Path | None = None) -> Path:
    """Write the new content for `path` to a draft file beside it; return the draft's path.

    A `durable` draft survives a power cut. It gets a unique name, unless `draft` is given: then only one process at a
    time may write it. Raises OSError when the draft cannot be written; it is then deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if draft is None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=".tmp")
        draft = Path(name)
    else:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _copy_rights(source: Path, target: Path) -> None:
    before = source.stat()
    shutil.copystat(source, target)
    if hasattr(os, "chown"):
        with suppress(OSError):  # only root may give a file away
            os.chown(target, before.st_uid, before.st_gid)
    target.chmod(stat.S_IMODE(before.st_mode))  # which giving it away may have changed
    os.utime(target)
