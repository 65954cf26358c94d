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
    """Make a folder, and those above it, that only its owner may look into. Raises OSError."""
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    restrict_to_owner(path)
    return path


def restrict_to_owner(path: Path) -> None:
    """Remove all rights of other users to a file or folder; does nothing if it belongs to somebody else."""
    with suppress(OSError):  # it belongs to another user, who decides
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)


def readable_by_others(path: Path) -> bool:
    """Return True if users other than the owner may read a file, where the system has such rights."""
    return os.name == "posix" and bool(path.stat().st_mode & _OTHERS)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, so that they survive a power cut, where possible. Raises OSError."""
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
    """Replace the content of a file at once. Raises OSError.

    With `durable` the new content survives a power cut. The file becomes its owner's alone, unless `keep_rights`, which
    keeps owner, group and rights of the file that is there.
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
    """Write the new content to a draft file beside `path`, and return the draft's path. Raises OSError.

    The draft gets a unique name unless `draft` names it, which is safe only where one writer at a time writes there.
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
