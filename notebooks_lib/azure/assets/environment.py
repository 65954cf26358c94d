"""An environment in Azure, of jobs unless it says so: an image and a conda file, or a Dockerfile's folder.

Its version is the hash of its content. So the same content is found again and never built twice, and a change makes a
new version instead of changing one that earlier runs name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from notebooks_lib import errors, pinned_versions, regular_file, safe_text
from notebooks_lib.azure.assets import snapshot
from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.project_files import file_check, file_kinds
from notebooks_lib.azure.storage import file_upload
from notebooks_lib.azure.storage.datastore import default_datastore

API_VERSION = "2023-04-01-preview"
NAME = "nbops"
VERSION_LENGTH = 16
_LEFT_OUT = {".git", ".nbops", ".venv", "__pycache__"}
"""Folders that no Dockerfile copies."""


@dataclass(frozen=True)
class Environment:
    """What a version of the environment is made of."""

    properties: Mapping[str, Any]
    """As Azure names them; of a Dockerfile's folder only the name of its Dockerfile."""
    context: Mapping[str, bytes]
    """The files of the Dockerfile's folder; empty for an image."""
    name: str = NAME

    @property
    def version(self) -> str:
        """The hash of the content. Comments and the order of keys in a conda file do not count."""
        content = dict(self.properties)
        if "condaFile" in content:
            content["condaFile"] = yaml.safe_load(content["condaFile"])
        content["context"] = {path: file_upload.sha256(file) for path, file in self.context.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:VERSION_LENGTH]


def read_environment(root: Path, environ: Mapping[str, str]) -> Environment:
    """Return the environment that production/azure/environment.yml describes, or the default without such a file.

    Raises UsageError with the faults of the file.
    """
    path = file_check.folder(root) / "environment.yml"
    if not path.exists() and not (root / "environment.yml").exists():
        return Environment({"image": file_kinds.BASE_IMAGE, "condaFile": _conda_file(root / "requirements.lock")}, {})
    values = file_check.valid_values(path, file_kinds.ENVIRONMENT, root, environ)
    properties: dict[str, Any] = _in_azures_spelling({key: values[key] for key in _COPIED if key in values})
    properties |= {"tags": values["tags"]} if "tags" in values else {}
    if build := values.get("build"):
        dockerfile = build.get("dockerfile_path") or "Dockerfile"
        return Environment(
            {**properties, "build": {"dockerfilePath": dockerfile}}, _files(path.parent / build["path"], dockerfile)
        )
    if conda_file := values.get("conda_file"):
        properties["condaFile"] = _read(Path(os.path.normpath(path.parent / conda_file)))  # the folder may be missing
    return Environment(properties, {})


def find_or_create_environment(
    client: RestClient,
    workspace: Workspace,
    environment: Environment,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Return the id of the environment's version in a workspace, in which it is made if it is not there."""
    path = f"{workspace.path}/environments/{environment.name}/versions/{environment.version}"
    what = f"environment {environment.name}:{environment.version}"
    try:
        return str(client.request("GET", path, API_VERSION, what=what)["id"])
    except errors.AzureError as error:
        if error.status != 404:
            raise
    tell(f"{what} is new: Azure builds its image when it is first needed, which takes minutes")
    properties = dict(environment.properties)
    if environment.context:
        place = default_datastore(client, workspace).folder(f"LocalUpload/{environment.version}/context")
        file_upload.upload(place, environment.context)
        properties["build"] = {**properties["build"], "contextUri": f"{place.url}/"}
    body = {"properties": {**properties, "isAnonymous": False, "isArchived": False}}
    return str(client.request("PUT", path, API_VERSION, what=what, body=body)["id"])


_COPIED = ("image", "os_type", "description", "inference_config")


def _in_azures_spelling(values: Any) -> Any:
    """Return the values with keys such as `liveness_route` as `livenessRoute`."""
    if not isinstance(values, dict):
        return values
    words = {key: key.split("_") for key in values}
    spelled = {key: first + "".join(map(str.title, others)) for key, (first, *others) in words.items()}
    return {spelled[key]: _in_azures_spelling(value) for key, value in values.items()}


def _read(path: Path) -> str:
    try:
        return regular_file.read_text(path)
    except OSError as error:
        raise errors.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _files(folder: Path, dockerfile: str) -> dict[str, bytes]:
    """Return the files beside a Dockerfile that git does not ignore, by path, read once: the version is their hash.

    Raises UsageError for one that git does not track, or that leads outside: it may hold a password.
    """
    folder = folder.resolve()
    tracked, untracked = (
        {name for name in names if not _LEFT_OUT.intersection(Path(name).parts)}
        for names in snapshot.project_files(folder)
    )
    paths = {name: folder / name for name in sorted(tracked | {dockerfile}) if (folder / name).is_file()}
    if new := sorted(untracked - {dockerfile}):
        raise errors.UsageError(f"git neither tracks nor ignores {new[0]} in {folder}: say which, before it is sent")
    if outside := [name for name, path in paths.items() if not path.resolve().is_relative_to(folder)]:
        raise errors.UsageError(f"{outside[0]} leads outside {folder}, which alone is sent: put the file there")
    try:
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise errors.UsageError(f"a file beside the Dockerfile cannot be read: {error}") from error


def _requirements(lock: Path) -> Iterator[str]:
    """Yield what pip gets in a job: the lock file's packages with their markers, and the options that say where from.

    Raises UsageError for a line that pip cannot obey there, such as the path of a folder.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    text = _read(lock)
    options, lines = list(pinned_versions.source_options(text)), list(pinned_versions.requirement_lines(text))
    instead = f"write production/azure/environment.yml, with a conda file or a Dockerfile, instead of using {lock.name}"
    for line in (*options, *lines):
        if safe_text.masked(line) != line:
            raise errors.UsageError(
                f"{lock}: the address of a package holds a password, and others can read it in the workspace: {instead}"
            )
    for option in options:
        if _ADDRESS.match(option) and "://" not in option:
            raise errors.UsageError(f"{lock}: {option!r} names a folder of this machine, which a job lacks: {instead}")
        yield option
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            raise errors.UsageError(f"{lock}: a job cannot install {line!r}: {instead}") from None
        if canonicalize_name(requirement.name) != "nbops":  # a job brings it
            yield line


_ADDRESS = re.compile(r"(-i|-f|--index-url|--extra-index-url|--find-links)\b")


def _conda_file(lock: Path) -> str:
    """Return a conda file for a project that has none: with the packages of its lock file, else those of nbops."""
    if lock.is_file():
        wanted = sorted(_requirements(lock))
    else:
        wanted = [line for line in importlib.metadata.requires("nbops") or () if "extra ==" not in line]
    python = f"python={sys.version_info.major}.{sys.version_info.minor}"
    content = {"channels": ["conda-forge"], "dependencies": [python, "pip", {"pip": wanted}]}
    return yaml.safe_dump(content, sort_keys=False)
