"""Where the project is and what is in force there: one frozen value from one file and NBOPS_* variables.

It reads only what it is given (a root and an environment mapping) and never writes.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from notebooks_lib import current_notebook, errors, regular_file
from notebooks_lib.paths import Layout
from notebooks_lib.project_root import find_root, is_project
from notebooks_lib.settings.sections import (
    Azure,
    CanaryStep,
    Check,
    Data,
    EndpointOptions,
    Kernels,
    ModelPolicy,
    Project,
    Promotion,
    ReviewOptions,
    Section,
    Stages,
    Tracking,
)
from notebooks_lib.tags import ENV_NAMES, Env

PREFIX = "NBOPS_"
_MANY: dict[str, type[Section]] = {"canary": CanaryStep, "models": ModelPolicy}
"""Keys that hold several sections."""


class Settings(Section):
    """The checked settings of a project, with its root."""

    root: Path
    project: Project = Project()
    tracking: Tracking = Tracking()
    azure: Azure = Azure()
    data: Data = Data()
    promotion: Promotion = Promotion()
    stages: Stages = Stages()
    endpoint: EndpointOptions = EndpointOptions()
    kernels: Kernels = Kernels()
    check: Check = Check()
    review: ReviewOptions = ReviewOptions()

    @property
    def layout(self) -> Layout:
        """The paths of the project's files."""
        return Layout(self.root)

    @property
    def project_name(self) -> str:
        """The project's name from the settings, else the name of its folder."""
        return self.project.name or self.root.name or "nbops"

    @property
    def experiment(self) -> str:
        """The experiment of runs that do not name one."""
        return self.tracking.experiment or self.project_name

    @property
    def data_folder(self) -> Path:
        """The folder of versioned datasets."""
        return self.root / self.data.folder


def load(root: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the project at `root`. NBOPS_SECTION_KEY variables override the file.

    A variable is ignored when its first word neither is the name of a section nor looks like a misspelt one. Raises
    SettingsError for an invalid value or an unknown key.
    """
    layout = Layout(root)
    origin: dict[str, str] = {}
    try:
        content = tomllib.loads(regular_file.read_text(layout.settings_file))
    except FileNotFoundError:
        content = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise errors.SettingsError(f"{layout.settings_file}: cannot be read: {error}") from error
    for variable, value in environ.items():
        if variable.startswith(PREFIX) and variable not in ENV_NAMES:
            section, _, key = variable[len(PREFIX) :].lower().partition("_")
            if section not in Settings.model_fields and not errors.nearest(section, Settings.model_fields):
                continue  # another tool's variable, such as NBOPS_CLONE; a misspelt section is refused below
            table = content.setdefault(section, {})
            if not key or not isinstance(table, dict):
                raise errors.SettingsError(f"{variable}: say NBOPS_SECTION_KEY, as in NBOPS_TRACKING_URI")
            table[key] = value
            origin[f"{section}.{key}"] = variable
    if "root" in content:
        raise errors.SettingsError(f"{layout.settings_file}: root: the root is where the file lies; take the key out")
    try:
        return Settings.model_validate({**content, "root": root})
    except ValidationError as error:
        problems = "; ".join(_explain(problem, origin, layout.settings_file) for problem in error.errors())
        raise errors.SettingsError(problems) from error


def here(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
    """Return the settings of the project that this process works in.

    A kernel's owner has named the project. Otherwise it is the project around the current folder; else the one around
    the notebook, which papermill may have started from anywhere; else the current folder, without settings.
    """
    environ = os.environ if environ is None else environ
    root = environ.get(Env.ROOT)
    if root:
        return load(Path(root), environ)
    folder = (cwd or Path.cwd()).resolve()
    around = find_root(folder)
    notebook = None if is_project(around) else current_notebook.notebook(environ)
    if notebook is not None and notebook.is_absolute():
        around = find_root(notebook, fallback=folder)
    return load(around, environ)


def existing() -> Settings:
    """Return the settings of the project here, for commands that only read. Raises UsageError outside a project or run.

    Reading must not create an empty store.
    """
    settings = here()
    elsewhere = settings.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not (elsewhere or is_project(settings.root) or settings.layout.state.is_dir()):
        raise errors.UsageError(
            f"no project and no runs here: {settings.root} and the folders above it have no production/settings.toml; "
            "go to the project's folder"
        )
    return settings


def _explain(problem: Any, origin: Mapping[str, str], file: Path) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    where = origin.get(path, str(file))
    if problem["type"] == "extra_forbidden":
        model: Any = Settings
        for part in problem["loc"][:-1]:
            inner = getattr(model, "model_fields", {}).get(part)
            # A canary step is in a list, a model's policy under the model's name: neither is a key of a section.
            model = _MANY.get(part) or (inner.annotation if inner is not None else model)
        allowed = set(getattr(model, "model_fields", {})) - {"root"}
        kind = "key" if len(problem["loc"]) > 1 else "section"
        return f"{where}: {errors.unknown(kind, str(problem['loc'][-1]), allowed)}"
    shown = "" if isinstance(problem["input"], dict | BaseModel) else f" (found {problem['input']!r})"
    return f"{where}: {path}: {problem['msg'].removeprefix('Value error, ')}{shown}"
