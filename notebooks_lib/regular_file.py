"""Reads regular files only. A pipe waits for ever, a device such as /dev/zero never ends; a link may lead to either."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

MOST_BYTES = 500_000_000
"""A larger file is not read. GitHub refuses more than 100 MB."""


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, or of the file that a link leads to.

    Raises OSError, with the reason as its `strerror`; also for a pipe, a socket, a device or a file that is too large.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise OSError(errno.EINVAL, "not a regular file, but a pipe, a socket or a device", str(path))
    if about.st_size > MOST_BYTES:
        size = f"it has {about.st_size / 1e6:,.0f} MB, {MOST_BYTES / 1e6:,.0f} MB is the most that is read"
        raise OSError(errno.EFBIG, size, str(path))
    return path.read_bytes()


def read_text(path: Path, on_error: str = "strict") -> str:
    """Return the content of a file as UTF-8 text, with line ends as \\n. Raises OSError as `read_bytes` does.

    Raises UnicodeDecodeError for other text, if `on_error` is "strict".
    """
    return read_bytes(path).decode("utf-8", on_error).replace("\r\n", "\n").replace("\r", "\n")
