"""Which files of a model are code that runs when it is loaded, and whether that is allowed.

Loading a model may run code of its author, before any rule has seen its figures. So a model's folder must be
self-contained, and a promotion runs code only for flavours that the settings name ([promotion] trusted_flavors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from notebooks_lib.errors import ModelError
from notebooks_lib.models.model_folder import MLMODEL, PYFUNC, check_folder, files_below, library_flavor, read_mlmodel

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


def code_in(folder: Path) -> str:
    """Describe the files of a model that may run code when it is loaded; empty if there are none."""
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
    for path in files_below(folder):
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

    Some of NumPy, SciPy and scikit-learn is not safe: `scipy.stats` runs text from a distribution's state when it is
    loaded, and `numpy.testing` has a function that runs its argument.
    """
    return _TRUSTED.match(name) is not None


def check_folder_trusted(folder: Path, trusted: Sequence[str], subject: str) -> None:
    """Raise ModelError when a model brings code and its flavour is not one of `trusted`.

    `subject` names the model in the message.
    """
    check_folder(folder)
    brings = code_in(folder)
    if brings and library_flavor(folder) not in trusted:
        raise ModelError(
            f"{subject} brings code, which would run here before any rule: {brings}; if you trust everybody who can "
            "log models here, say so in production/settings.toml: [promotion] trusted_flavors = "
            f'["{library_flavor(folder)}"]'
        )
