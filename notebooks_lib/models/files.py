"""A model as a file: digest, size, requirements. It loads nothing."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib import errors
from notebooks_lib.models import contents, logged_models

_NOTE = re.compile(rb"(model_(name|version): [^\r\n]*\n?){2}")


@dataclass(frozen=True)
class Files:
    """What a model is as a file: the thing that is scored, registered and deployed."""

    sha256: str
    """Of the names and contents of all files, but for the note that MLflow puts beside a downloaded version."""
    size_bytes: int
    requirements: tuple[str, ...] | None
    """Lines of its requirements.txt; None when it has none."""
    code: str = ""
    """What of it is code that runs when it is loaded, in words; empty when nothing is."""


def read(source: str | Path) -> Files:
    """The model at a location as a file. Raises ModelError when it cannot be read."""
    with _folder(source) as folder:
        return _files(folder)


def check_trusted(source: str | Path, trusted: Sequence[str]) -> None:
    """Raise ModelError when the model at a location brings code and its flavour is none of those trusted."""
    with _folder(source) as folder:
        contents.check_trusted(folder, trusted, "it")


@contextmanager
def _folder(source: str | Path) -> Iterator[Path]:
    here = logged_models.local(source)
    with errors.as_model_error(f"the model at {source} cannot be read"):
        if here is not None:
            yield here
            return
        with tempfile.TemporaryDirectory() as scratch:
            yield logged_models.download(source, Path(scratch))


def _files(folder: Path) -> Files:
    if not (folder / logged_models.MLMODEL).is_file():
        raise errors.ModelError(f"{folder} holds no {logged_models.MLMODEL} file")
    contents.check(folder)
    total, digest = 0, hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not _is_note(path, folder)):
        content = hashlib.sha256()
        with file.open("rb") as opened:
            for block in iter(lambda: opened.read(1 << 20), b""):
                content.update(block)
                total += len(block)
        digest.update(json.dumps([file.relative_to(folder).as_posix(), content.hexdigest()]).encode())
    needed = folder / "requirements.txt"
    lines = tuple(needed.read_text("utf-8").splitlines()) if needed.is_file() else None
    return Files(digest.hexdigest(), total, lines, contents.code(folder))


def bytecode(folder: Path) -> list[str]:
    """The folders of bytecode that loading a model's modules by plain MLflow leaves: they count, and can be removed."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("__pycache__"))


def _is_note(path: Path, folder: Path) -> bool:
    """The file that MLflow adds to what it downloads from a registry, if it holds that and nothing else."""
    if path != folder / "registered_model_meta" or path.stat().st_size > 1000:
        return False
    return _NOTE.fullmatch(path.read_bytes()) is not None
