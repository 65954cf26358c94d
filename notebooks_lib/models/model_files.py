"""The files of a model: digest, size, requirements, and which of them hold code. It loads no model.

Loading a model may run code of whoever logged it, before any rule has seen its figures. So a model's folder must be
self-contained, and a promotion runs code only for flavours that the settings name ([promotion] trusted_flavors).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from notebooks_lib import errors
from notebooks_lib.errors import ModelError

MLMODEL = "MLmodel"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|runs:|models:")
"""Of an address, as in "mlflow-artifacts:/5/x"; one letter is a drive of Windows."""
PYFUNC = "python_function"

_DATA_ONLY = ("sklearn", "xgboost", "lightgbm", "catboost", "onnx")
"""Flavours with a form that holds nothing but numbers and the library's own classes."""
_TRUSTED = re.compile(
    r"sklearn\.(?!(?:utils|datasets|externals|experimental|conftest|_build_utils|tests)\.)(?!.*\.tests\.)"
    r"|scipy\.(?:interpolate|sparse|spatial|special)\."
    r"|numpy\.random\."
    r"|(?:sklearn\.utils\._bunch\.Bunch|sklearn\.utils\._metadata_requests\.\w+"
    r"|scipy\._lib\.array_api_compat\.numpy\._aliases\.asarray|numpy\.ma\.core\.MaskedArray"
    r"|numpy\.(?:dtype|around|clip|max|mean|median|min|nan_to_num|ravel|round|squeeze|std|sum|var))$"
)
_IN_FOLDER = ("data", "model_path", "pickled_model")
"""Keys of MLmodel that name what is loaded, at the top of the folder: MLflow reads beside it how to load it."""
_CODE = frozenset((".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".pkl", ".pickle", ".joblib", ".cloudpickle",
                   ".pt", ".pth", ".bin", ".whl", ".egg", ".zip", ".jar", ".dill"))  # fmt: skip
_NO_PATHS = frozenset(("uri", "env", "python_version", "sklearn_version"))
"""Keys of MLmodel whose values are not paths in the folder."""


def check_folder(folder: Path) -> None:
    """Raise ModelError if the model's folder refers to files outside it, which its digest would not cover."""
    for path in _walk(folder):
        if path.is_symlink():
            raise ModelError(
                f"{path} is a link to {str(path.readlink())!r}: a model's files lie in its own folder; copy it there"
            )
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{path} is neither a file nor a folder; take it out")
    described = read_mlmodel(folder)
    for key, value in _strings([described.get("flavors"), described.get("saved_input_example_info")]):
        if key not in _NO_PATHS and _leaves(value):
            raise ModelError(f"{folder / MLMODEL}: {key} is {value!r}, out of the model's folder; log the model again")


def code_in(folder: Path) -> str:
    """Describe the files of a model that may run code when it is loaded; empty if only installed libraries run."""
    flavors = read_mlmodel(folder).get("flavors", {})
    pyfunc = flavors.get(PYFUNC, {})
    own = [name for name in flavors if name != PYFUNC]
    unknown = [name for name in own if name not in _DATA_ONLY]
    loader = str(pyfunc.get("loader_module", ""))
    if not own or unknown:
        return f"the flavour {(unknown or [PYFUNC])[0]} keeps Python objects"
    if loader not in {f"mlflow.{name}" for name in own}:
        return f"loader_module {loader!r}"
    for name, conf in flavors.items():
        if reason_in_flavor := _code_of_flavor(name, conf):
            return reason_in_flavor
    for path in _walk(folder):
        if path.suffix.lower() in _CODE:
            return f"the file {path.relative_to(folder)}"
        if path.name == MLMODEL and path.parent != folder:
            return f"a model of another description ({path.relative_to(folder)})"
    return ""


def _code_of_flavor(name: str, conf: Mapping[str, Any]) -> str:
    if conf.get("code") or conf.get("code_paths") or conf.get("model_code_path"):
        return f"modules of its own ({name}: code)"
    kind = str(conf.get("model_class", ""))
    if kind and not kind.startswith(f"{name}."):
        return f"a class of its own ({kind})"
    for key in _IN_FOLDER:
        if len(PureWindowsPath(str(conf.get(key) or "")).parts) > 1:
            return f"a file that is loaded from a folder of its own ({name}: {key} {conf[key]!r})"
    # LightGBM pickles its scikit-learn estimators, and saves a booster in its own format.
    if name == "sklearn" or (name == "lightgbm" and kind not in ("", "lightgbm.basic.Booster")):
        if conf.get("serialization_format") != "skops":
            return f"a pickle ({name}: {conf.get('serialization_format', 'pickle')})"
        types = conf.get("skops_trusted_types") or []
        foreign = [name for name in types if not is_data_type(str(name))] if isinstance(types, list) else [types]
        if foreign:
            return f"classes or functions beyond what estimators are made of ({foreign[0]})"
    return ""


def is_data_type(name: str) -> bool:
    """Return True if a class or function in a skops file only holds and computes numbers, so that it is safe to load.

    Not all of NumPy, SciPy and scikit-learn does: `scipy.stats` runs text from a distribution's state when one is
    loaded, and `numpy.testing` has a function that runs its argument.
    """
    return _TRUSTED.match(name) is not None


def library_flavor(folder: Path) -> str:
    """Return the model's flavour as [promotion] trusted_flavors would name it: its library's, else python_function."""
    return next((name for name in read_mlmodel(folder).get("flavors", {}) if name != PYFUNC), PYFUNC)


def check_folder_trusted(folder: Path, trusted: Sequence[str], what: str) -> None:
    """Raise ModelError when a model brings code and its flavour is not trusted; `what` names the model."""
    check_folder(folder)
    brings = code_in(folder)
    if brings and library_flavor(folder) not in trusted:
        raise ModelError(
            f"{what} brings code, which would run here before any rule: {brings}; if you trust everybody who can log "
            "models here, say so in production/settings.toml: [promotion] trusted_flavors = "
            f'["{library_flavor(folder)}"]'
        )


def read_mlmodel(folder: Path) -> dict[str, Any]:
    """Return the content of MLmodel. Raises ModelError when it is not valid."""
    import yaml

    try:
        content = yaml.load((folder / MLMODEL).read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder / MLMODEL} cannot be read: {type(error).__name__}") from error
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(conf, dict) for conf in flavors.values()):
        raise ModelError(f"{folder / MLMODEL} describes no flavour; log the model again")
    return dict(content)


def _walk(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):  # it follows no links
        for name in sorted((*folders, *files)):
            yield Path(top) / name


def _strings(value: Any, key: str = "", seen: set[tuple[int, str]] | None = None) -> Iterator[tuple[str, str]]:
    """Yield all texts with their keys; what YAML's aliases repeat once only, for they may repeat it without end."""
    seen = set() if seen is None else seen
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | list) and (id(value), key) not in seen:
        seen.add((id(value), key))
        for name, item in value.items() if isinstance(value, Mapping) else ((key, item) for item in value):
            yield from _strings(item, str(name), seen)


def _leaves(value: str) -> bool:
    """Return whether a text, taken as a path, leads out of its folder."""
    windows = PureWindowsPath(value)
    absolute = PurePosixPath(value).is_absolute() or bool(windows.drive and windows.root)
    return absolute or ".." in (*PurePosixPath(value).parts, *windows.parts)


def download(source: str | Path, folder: Path) -> Path:
    """Copy the model at a location under `folder`; return the folder that holds its MLmodel. Raises ModelError."""
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
    """Return the folder of a model on this machine; None when it has to be fetched."""
    text = str(source)
    if text.startswith("file:"):
        from mlflow.utils.file_utils import local_file_uri_to_path

        return Path(local_file_uri_to_path(text))
    return None if _SCHEME.match(text) else Path(text)


_NOTE = re.compile(rb"(model_(name|version): [^\r\n]*\n?){2}")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, with their digest: the same files are scored, registered and deployed."""

    sha256: str
    """Digest of the names and contents of all files, except the note that MLflow adds to a downloaded version."""
    size_bytes: int
    requirements: tuple[str, ...] | None
    """Lines of its requirements.txt; None when it has none."""
    code: str = ""
    """What of it is code that runs when it is loaded, in words; empty if nothing is."""


def read_model_files(source: str | Path) -> ModelFiles:
    """Read the files of the model at a location. Raises ModelError."""
    with _folder(source) as folder:
        return _files(folder)


def check_trusted(source: str | Path, trusted: Sequence[str]) -> None:
    """Raise ModelError when the model at a location brings code and its flavour is not trusted."""
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
