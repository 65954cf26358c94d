"""The files of a model: digest, size, requirements, and whether they hold code. It loads no model."""

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
from notebooks_lib.errors import ModelError
from notebooks_lib.models.model_folder import MLMODEL, check_folder
from notebooks_lib.models.trusted_flavors import check_folder_trusted, code_in

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|runs:|models:")
"""Of an address, as in "mlflow-artifacts:/5/x"; one letter is a drive of Windows."""


def download(source: str | Path, folder: Path) -> Path:
    """Copy the model at a location under `folder`; return the folder that holds its MLmodel file.

    Raises ModelError when it cannot be fetched.
    """
    import mlflow

    folder.mkdir(parents=True, exist_ok=True)
    here = local_model_folder(source)
    if here is not None and here.is_dir():
        check_folder(here)  # before copying, which would resolve links
    with errors.as_model_error(f"the model at {source} cannot be fetched"):
        downloaded = Path(mlflow.artifacts.download_artifacts(artifact_uri=str(source), dst_path=str(folder)))
    if not (downloaded / MLMODEL).is_file():
        # The Azure plugin can come back without an error and without the files (docs/azure.md).
        raise ModelError(f"the model at {source} cannot be fetched: no {MLMODEL} file came with it")
    return downloaded


def local_model_folder(source: str | Path) -> Path | None:
    """Return the folder of a model that is on this machine; None when it has to be fetched."""
    text = str(source)
    if text.startswith("file:"):
        from mlflow.utils.file_utils import local_file_uri_to_path

        return Path(local_file_uri_to_path(text))
    return None if _SCHEME.match(text) else Path(text)


_NOTE = re.compile(rb"(model_(name|version): [^\r\n]*\n?){2}")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model: digest, size, requirements and code.

    The digest shows that scored and deployed files are equal.
    """

    sha256: str
    """Digest of the names and contents of all files, except the note that MLflow adds to a downloaded version."""
    size_bytes: int
    requirements: tuple[str, ...] | None
    """Lines of its requirements.txt; None when it has none."""
    code: str = ""
    """What of it is code that runs when it is loaded, in words; empty if nothing is."""


def read_model_files(source: str | Path) -> ModelFiles:
    """Read the files of the model at a location.

    Raises ModelError when they cannot be read or refer to files elsewhere.
    """
    with _folder(source) as folder:
        return _files(folder)


def check_trusted(source: str | Path, trusted: Sequence[str]) -> None:
    """Raise ModelError when the model at a location brings code and its flavour is not one of `trusted`."""
    with _folder(source) as folder:
        check_folder_trusted(folder, trusted, "it")


@contextmanager
def _folder(source: str | Path) -> Iterator[Path]:
    here = local_model_folder(source)
    with errors.as_model_error(f"the model at {source} cannot be read"):
        if here is not None:
            yield here
            return
        with tempfile.TemporaryDirectory() as scratch:
            yield download(source, Path(scratch))


def _files(folder: Path) -> ModelFiles:
    if not (folder / MLMODEL).is_file():
        raise errors.ModelError(f"{folder} holds no {MLMODEL} file")
    check_folder(folder)
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
    return ModelFiles(digest.hexdigest(), total, lines, code_in(folder))


def bytecode_folders(folder: Path) -> list[str]:
    """Return the bytecode folders that plain MLflow leaves when it loads a model's modules.

    They count as files of the model, and can be removed.
    """
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("__pycache__"))


def _is_note(path: Path, folder: Path) -> bool:
    """Return whether a file is the note, and only the note, that MLflow adds to what it downloads from a registry."""
    if path != folder / "registered_model_meta" or path.stat().st_size > 1000:
        return False
    return _NOTE.fullmatch(path.read_bytes()) is not None
