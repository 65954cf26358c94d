"""The environment in which a model version is served on Azure: its own requirements, and the inference server's.

It is data, named by the hash of its content: models with the same requirements share one environment, and so one image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebooks_lib import errors, pinned_versions
from notebooks_lib.azure.assets.environment import Environment
from notebooks_lib.azure.project_files import file_kinds
from notebooks_lib.models import model_folder

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "nbops-scoring"
SERVER = "azureml-inference-server-http"
SERVER_VERSION = "1.5.1"
_ADDED = {SERVER: SERVER_VERSION, "azureml-ai-monitoring": "1.0.0", "gunicorn": "26.2.0"}
"""What score.py needs besides the model's requirements. The server leaves gunicorn's version open."""
_BATCH = {"azureml-core": "1.61.0.post4"}
"""What Azure's driver of batches imports. Its examples have azureml-dataset-runtime, too, which goes neither with the
pyarrow nor with the cloudpickle of our models; it is for inputs of SDK v1."""
SERVER_NEEDS = {
    "certifi": ">=2024.7.4",
    "flask": "~=3.1.0",
    "flask-cors": "~=6.0.0",
    "gunicorn": ">=23.0.0",
    "inference-schema": "~=1.8.0",
    "opentelemetry-api": "==1.33.0",
    "opentelemetry-sdk": "==1.33.0",
    "pydantic": "~=2.12.0",
    "werkzeug": ">=3.0.3",
}
"""Packages of which this version of the server takes some versions only."""
_MODEL_NEEDS = ("mlflow", "pandas")
"""Packages by which nbops loads any model: those that a model does not name are added as nbops pins them."""
_OLDEST_PYTHON = (3, 11)
_LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


@dataclass(frozen=True)
class ScoringRequirements:
    """What the environment of one model version holds."""

    python: str
    """Such as "3.11"."""
    packages: tuple[str, ...]
    """Requirements as pip reads them, sorted by name."""
    conda: tuple[str, ...] = ()
    """Packages that the model wants from conda, besides Python and pip."""
    channels: tuple[str, ...] = ("conda-forge",)

    def environment(self) -> Environment:
        """Return the environment as Azure builds it."""
        import yaml

        content = {
            "channels": list(self.channels),
            "dependencies": [f"python={self.python}", *self.conda, "pip", {"pip": list(self.packages)}],
        }
        properties = {"image": file_kinds.BASE_IMAGE, "condaFile": yaml.safe_dump(content, sort_keys=False)}
        return Environment(properties, {}, NAME)


def scoring_requirements(folder: Path, *, batch: bool = False) -> ScoringRequirements:
    """Return what a model needs to be served on Azure, by the files in its folder: requirements.txt or conda.yaml.

    With `batch`, add what Azure runs a batch deployment with.

    Raises ModelError, naming both, when a requirement of the model does not go together with the inference server.
    """
    conda = _read_conda(folder)
    file = folder / "requirements.txt"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else conda.pip
    packages = set(_packages(lines, folder))
    named, pins = {name for name, _ in packages}, pinned_versions.pins()
    added = {**_ADDED, **{name: pins[name] for name in _MODEL_NEEDS}, **(_BATCH if batch else {})}
    packages |= {(name, f"{name}=={version}") for name, version in added.items() if name not in named}
    lines = tuple(line for _, line in sorted(packages))
    return ScoringRequirements(_python(folder), lines, conda.others, conda.channels)


def _packages(lines: Iterable[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and line of each requirement of a model. nbops is left out: score.py brings it."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in (text.partition(" #")[0].strip() for text in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith(("-r", "--requirement", "-c", "--constraint", "-e", "--editable", ".", "/")):
            raise errors.ModelError(f"{folder} requires {line!r}, a file that no other machine has: name the package")
        if line.startswith("-") or "://" in line.partition("@")[0]:
            yield line, line  # such as --extra-index-url, or the address of a wheel
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise errors.ModelError(f"{folder} requires {line!r}, which is no requirement of a package") from error
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name == "nbops":
            continue
        _check_pin(name, requirement)
        yield name, line


def _check_pin(name: str, requirement: Requirement) -> None:
    """Raise ModelError if a model pins a version that the inference server or score.py does not take."""
    from packaging.specifiers import SpecifierSet

    wanted = f"=={_ADDED[name]}" if name in _ADDED and name not in SERVER_NEEDS else SERVER_NEEDS.get(name)
    pins = [
        part.version for part in requirement.specifier if part.operator in ("==", "===") and "*" not in part.version
    ]
    if requirement.marker is not None and not requirement.marker.evaluate(_LINUX):
        return
    if wanted is None or not pins or SpecifierSet(wanted).contains(pins[0], prereleases=True):
        return
    by = f"{SERVER} {SERVER_VERSION}" if name in SERVER_NEEDS else "score.py"
    raise errors.ModelError(
        f"the model requires {requirement}, and {by} needs {name}{wanted}: no environment has both; log the model "
        f"with a version of {name} that fits, or without this requirement if it does not need it"
    )


def _python(folder: Path) -> str:
    """Return the Python of a model, without its last number: that is what must be the same for its pickles."""
    of_pyfunc = model_folder.read_mlmodel(folder)["flavors"].get(model_folder.PYFUNC, {})
    version = str(of_pyfunc.get("python_version", ""))
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        return ".".join(map(str, _OLDEST_PYTHON))
    if (int(match[1]), int(match[2])) < _OLDEST_PYTHON:
        raise errors.ModelError(
            f"the model was made with Python {version}, and score.py needs 3.11 or newer: log it again"
        )
    return match[0]


@dataclass(frozen=True)
class _CondaFile:
    channels: tuple[str, ...] = ("conda-forge",)
    others: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


def _read_conda(folder: Path) -> _CondaFile:
    import yaml

    path = folder / "conda.yaml"
    if not path.is_file():
        return _CondaFile()
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        names = content["dependencies"]
        pip = [line for entry in names if isinstance(entry, dict) for line in entry.get("pip") or ()]
        others = [entry for entry in names if isinstance(entry, str) and not re.match(r"(python|pip)\b(?!-)", entry)]
        return _CondaFile(tuple(content.get("channels") or ("conda-forge",)), tuple(others), tuple(pip))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise errors.ModelError(f"{path} is not a conda file: {type(error).__name__}; log the model again") from error
