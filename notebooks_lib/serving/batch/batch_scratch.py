"""The folders of batches that run: rows and models on their way, below the project's `.nbops`.

A batch removes its own at its end. What a killed one left is removed at the next batch, not while its process lives.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notebooks_lib import process_identity
from notebooks_lib.settings import Settings

_OWNER = "owner"
"""The file that says whose a folder is: the machine, then the birth of the process whose number begins its name."""
_MAKING = 60.0
"""Seconds in which a folder without that file may be one that is being made, also on another machine."""


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Yield a new folder that nobody else may read; it is removed at the end of the block."""
    batches = settings.layout.batches
    batches.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(batches)
    own = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=batches))
    try:
        (own / _OWNER).write_text(f"{process_identity.machine()}\n{process_identity.birth()}")
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _remove_left_behind(batches: Path) -> None:
    """Remove the folders of processes that have ended. Those of another machine are left alone."""
    for folder in batches.iterdir():
        pid, born, machine = folder.name.partition("-")[0], "", process_identity.machine()
        try:
            machine, born = (folder / _OWNER).read_text().split("\n")
        except (OSError, ValueError):  # its process was killed before it wrote the file, or is about to
            if _age(folder) < _MAKING:
                continue
        here = machine == process_identity.machine()
        if here and pid.isdecimal() and not process_identity.alive(int(pid), born):
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    """Return the seconds since a folder was made or changed; 0 if it is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0
