"""A model as a file: digest, size, requirements. It loads nothing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.tracking import models


@dataclass(frozen=True)
class Files:
    """What a model is as a file: the thing that is scored, registered and deployed."""

    sha256: str
    """Of the names and contents of all files, but for what loading leaves behind."""
    size_bytes: int
    requirements: tuple[str, ...] | None
    """Lines of its requirements.txt; None when it has none."""


def read(source: str | Path) -> Files:
    """The model at a location as a file. Raises ModelError when it cannot be read."""
    here = models.local(source)
    with errors.as_model_error(f"the model at {source} cannot be read"):
        if here is not None:
            return _files(here)
        with tempfile.TemporaryDirectory() as scratch:
            return _files(models.download(source, Path(scratch)))


def _files(folder: Path) -> Files:
    if not (folder / models.MLMODEL).is_file():
        raise errors.ModelError(f"{folder} holds no {models.MLMODEL} file")
    total, digest = 0, hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not _left_behind(path, folder)):
        content = hashlib.sha256()
        with file.open("rb") as opened:
            for block in iter(lambda: opened.read(1 << 20), b""):
                content.update(block)
                total += len(block)
        digest.update(json.dumps([file.relative_to(folder).as_posix(), content.hexdigest()]).encode())
    needed = folder / "requirements.txt"
    lines = tuple(needed.read_text("utf-8").splitlines()) if needed.is_file() else None
    return Files(digest.hexdigest(), total, lines)


def _left_behind(path: Path, folder: Path) -> bool:
    """Bytecode, and the note that MLflow puts into what it downloads from a registry."""
    return "__pycache__" in path.parts or path == folder / "registered_model_meta"
