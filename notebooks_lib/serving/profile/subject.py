"""Finds what to profile: a version of a registered model, or a folder that holds one. It loads and marks nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.errors import UsageError, reason

if TYPE_CHECKING:
    from notebooks_lib.models.registry import Version
    from notebooks_lib.tracking.store import Store


@dataclass(frozen=True)
class Subject:
    """A model to profile."""

    name: str
    """Registered, or the folder as it was given."""
    folder: Path
    version: Version | None = None
    """None for a folder."""


def as_folder(text: str, version: str | None, stage: str | None) -> Subject | None:
    """The subject when `text` is the folder of a model; None when it can only be a registered name.

    Raises UsageError when it is a folder of something else, or a version is asked of a folder.
    """
    path = Path(text)
    if not (path / "MLmodel").is_file():
        if path.is_dir() or "/" in text:
            raise UsageError(
                f"{text}: holds no MLmodel file; expected the folder of an MLflow model, or a model's name"
            )
        return None
    if version is not None or stage is not None:
        raise UsageError(f"{text} is a folder, which has no versions; leave --version and --stage out")
    return Subject(text, path.resolve())


def find(store: Store, name: str, version: str | None, stage: str | None) -> Version:
    """A version of the registered model: the one asked for, or the champion. Raises UsageError or UnknownNameError."""
    from notebooks_lib.models import champions, registry

    if version is not None and stage is not None:
        raise UsageError("give --version or --stage, not both")
    if version is not None:
        return registry.get(store, name, version)
    known = registry.versions(store, name)
    if not known:
        registry.get(store, name, "1")  # says which models and versions there are
    found = champions.champion(store, name, stage or champions.PROD)
    if found is None:
        where = f" in {stage}" if stage else ""
        raise UsageError(f"model {name!r} has no champion{where} yet; say which version: --version {known[0].version}")
    return found


def check_example(folder: Path) -> None:
    """Raise UsageError when a model was logged without an example: there is nothing to ask it."""
    import yaml

    try:
        described = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
        found = (described.get("saved_input_example_info") or {}).get("serving_input_path")
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{folder / 'MLmodel'}: cannot be read: {reason(error)}") from error
    if not found:
        raise UsageError("the model was logged without an example; give a request of your own with --data @FILE")


@contextmanager
def fetched(version: Version) -> Iterator[Subject]:
    """The version's files: where they are, when that is this machine, else a copy for the length of the block."""
    from notebooks_lib.models import model_files

    here = Path(version.source.removeprefix("file://"))
    if (here / "MLmodel").is_file():
        yield Subject(version.model, here, version)
        return
    with tempfile.TemporaryDirectory(prefix="nbops-profile-") as scratch:
        yield Subject(version.model, model_files.download(version.source, Path(scratch)), version)
