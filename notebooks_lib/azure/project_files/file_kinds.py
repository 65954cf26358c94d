"""The kinds of files under production/azure: what nbops decides in each, its default, and rules beyond the schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notebooks_lib import secret_forms
from notebooks_lib.azure.project_files import yaml_file
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_schema import Kind
from notebooks_lib.tags import ENV_NAMES

BASE_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:20260514.v1"
"""The one place where the base image is pinned."""
MAX_INSTANCES = 4
"""Machines of a cluster at most, if its file does not say: the SDK's own default."""
Faults = Iterator[tuple[KeyPath, str]]


@dataclass(frozen=True)
class FileKind:
    """What holds for all files of one kind."""

    name: Kind
    decided: Mapping[str, str]
    """The keys that nbops decides, with the reason: each is refused in a file and filled in."""
    filled_in: Callable[[Path], dict[str, Any]]
    """What nbops fills in, for a file of this path; in capitals, what is known only when it is sent."""
    default: Mapping[str, Any] | None
    """What holds without a file; None: then there is no such thing."""
    rules: Callable[[Path, dict[str, Any]], Faults]
    """Yields what is wrong with values that fit the schema."""
    inherited: Callable[[Path], dict[str, Any]] = lambda path: {}
    """What holds for the keys that a file of this path leaves out."""
    completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values
    """Returns values with what nbops fills in below the top level."""
    misfit: Callable[[Mapping[str, Any]], tuple[KeyPath, str] | None] = lambda values: None
    """Returns the fault of a file that describes something else altogether."""
    written_out: Callable[[KeyPath], str] = lambda path: ""
    """Returns why the text at a key must have no `${NAME}`; empty where it may."""
    stand_in: Mapping[str, Any] = field(default_factory=dict)
    """Values in place of those that the SDK could judge only once they are completed; their own file is checked."""


def wrong_content(kind: FileKind, values: Mapping[str, Any]) -> tuple[KeyPath, str] | None:
    """Return the fault of a file that describes something else altogether: its other faults would mislead."""
    if kind.name == "environment" and "dependencies" in values:
        return ("dependencies",), "this is a conda file: keep it elsewhere, and write conda_file: with its path here"
    if kind.name != "job":
        return kind.misfit(values)
    name = values.get("type")
    if name is None:
        name = next((job for key, job in _KEYS_OF_OTHER_JOBS.items() if key in values), None)
    if not isinstance(name, str) or name.lower() not in _OTHER_JOBS:
        return None
    key = "type" if "type" in values else next(key for key in _KEYS_OF_OTHER_JOBS if key in values)
    return (key,), f"describes a {name.lower()} job, and a command job is wanted: {_OTHER_JOBS[name.lower()]}"


_OTHER_JOBS = {
    "pipeline": "job.yml says only what the job of one notebook needs; move the pipeline to another file",
    "sweep": "`nbops sweep` makes the sweep; write only what each trial needs, such as resources",
    "parallel": "nbops runs one notebook in a job; write only what it needs, such as resources",
    "spark": "nbops runs notebooks in Python; write only what the job needs, such as resources",
    "automl": "nbops runs your notebook; write only what its job needs, such as resources",
    "import": "datasets are added by `nbops data add`; write only what a job needs, such as resources",
}
_KEYS_OF_OTHER_JOBS = {
    "jobs": "pipeline",
    "trial": "sweep",
    "search_space": "sweep",
    "sampling_algorithm": "sweep",
    "objective": "sweep",
}


def _environment_rules(path: Path, values: dict[str, Any]) -> Faults:
    image, build, conda = (values.get(key) for key in ("image", "build", "conda_file"))
    if image is not None and build is not None:
        yield ("build",), "stands beside image: keep image (with conda_file), or build (with your own Dockerfile)"
        return
    if "image" not in values and "build" not in values:
        yield ("image",), f"is missing: write image: {BASE_IMAGE}, or build: with the path of a Dockerfile's folder"
    if conda is not None and build is not None:
        yield ("conda_file",), "goes with image only: with build, let the Dockerfile install the packages"
    if image == "":
        yield ("image",), f"is empty: write {BASE_IMAGE}, or another"
    if isinstance(conda, str):
        yield from _conda_file(path, conda)
    if isinstance(build, dict) and not str(build.get("path", "")).startswith("http"):
        yield from _build_folder(path, build)


def _conda_file(path: Path, conda: str) -> Faults:
    file = path.parent / conda
    if not exists(file, "file"):
        yield ("conda_file",), f"no file {conda} beside this one: write a path relative to {path.name}"
        return
    content, faults = yaml_file.read(file)
    if faults or content is None:
        yield ("conda_file",), f"{conda}:{faults[0].line}: {faults[0].text}"
    elif "dependencies" not in content.values:
        yield ("conda_file",), f"{conda} has no key `dependencies`: is it a conda environment?"
    for line, kind, _ in secret_forms.find_secrets(content.text) if content else ():
        yield ("conda_file",), f"{conda}:{line}: {kind} stands in the file: revoke it, and take it out"


def _build_folder(path: Path, build: dict[str, Any]) -> Faults:
    folder = build.get("path")
    if not folder:
        yield ("build", "path"), "is missing: write the path of the folder with the Dockerfile"
    elif not exists(path.parent / folder, "folder"):
        yield ("build", "path"), f"no folder {folder} beside this file: write a path relative to {path.name}"
    elif not exists(path.parent / folder / (name := build.get("dockerfile_path") or "Dockerfile"), "file"):
        yield ("build", "path"), f"no file {name} in {folder}: write it, or name it by dockerfile_path"


def exists(path: Path, kind: str) -> bool:
    """Return whether there is such a file or folder; also for a path that no disk takes."""
    try:
        return path.is_file() if kind == "file" else path.is_dir()
    except OSError:
        return False


def _compute_rules(path: Path, values: dict[str, Any]) -> Faults:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,31}", path.stem):
        yield (), "is no name of a compute: rename the file; a letter, then letters, digits and -, 2 to 32 in all"
    least, most = whole_number(values.get("min_instances")), whole_number(values.get("max_instances"))
    for key, number in (("min_instances", least), ("max_instances", most)):
        if number is not None and number < (key == "max_instances"):
            yield (key,), f"{number} is too few: write {int(key == 'max_instances')} or more"
    most = MAX_INSTANCES if most is None else most
    if least is not None and least > most:
        yield ("min_instances",), f"{least} is more than max_instances ({most}): make one fit"
    identity = values.get("identity")
    if isinstance(identity, dict) and "type" not in identity:
        yield ("identity", "type"), "is missing: write type: system_assigned or user_assigned"
    yield from _subnet(values.get("network_settings"))
    ssh = values.get("ssh_settings")
    if isinstance(ssh, dict) and "admin_username" not in ssh:
        yield ("ssh_settings", "admin_username"), "is missing: write the name of the administrator"
    if str(values.get("type")).lower() in ("kubernetes", "virtualmachine"):
        resource = values.get("resource_id")
        if resource is None:
            yield ("resource_id",), "is missing: write the id of the cluster or machine to attach, /subscriptions/…"
        elif not str(resource).startswith(("/subscriptions/", "${")):
            yield ("resource_id",), "is no id of a resource: write one that begins with /subscriptions/"


def _subnet(network: object) -> Faults:
    """Yield what is wrong with a subnet, which the SDK takes as it is."""
    if not isinstance(network, dict):
        return
    subnet, path = network.get("subnet"), ("network_settings", "subnet")
    if not subnet:
        yield path, "is missing: write the name of a subnet and its vnet_name, or the id of one"
    elif not str(subnet).startswith(("/subscriptions/", "${")) and not network.get("vnet_name"):
        yield path, "is a name without its network: write vnet_name, too, or the id of the subnet, /subscriptions/…"


def job_rules(values: dict[str, Any]) -> Faults:
    """Yield what is wrong with what a job needs: a job of one notebook, or a step of a pipeline."""
    resources = values.get("resources") or {}
    if (count := whole_number(resources.get("instance_count"))) is not None and count < 1:
        yield ("resources", "instance_count"), f"{count} is too few: write 1 or more"
    distribution = values.get("distribution") or {}
    for key in ("process_count_per_instance", "worker_count"):
        if (count := whole_number(distribution.get(key))) is not None and count < 1:
            yield ("distribution", key), f"{count} is too few: write 1 or more"
    limits = values.get("limits") or {}
    if (seconds := whole_number(limits.get("timeout"))) is not None and seconds < 1:
        yield ("limits", "timeout"), f"{seconds} s is too short: write seconds, 1 or more"
    yield from variable_faults(values, _SET_BY_NBOPS.__contains__, ", which ties the notebook to its run")


def variable_faults(values: Mapping[str, Any], is_reserved: Callable[[str], bool], why: str = "") -> Faults:
    """Yield the environment variables that are no text, and those that nbops and the service set themselves."""
    for name, value in (values.get("environment_variables") or {}).items():
        path = ("environment_variables", name)
        if is_reserved(name):
            yield path, f"nbops and the service set this variable{why}: take the line out"
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            yield path, f'is no text: write it in quotes, as in {name}: "{str(value).lower()}"'


_SET_BY_NBOPS = ENV_NAMES | {
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID"),
    *("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "IPYNB_FILE", "AZUREML_RUN_ID", "NBOPS_TRACKING_URI"),
}
"""Variables by which a notebook attaches to its run. Another value would open a second run."""


def tag_faults(values: Mapping[str, Any]) -> Faults:
    """Yield the tags that only nbops writes."""
    tags = values.get("tags")
    for name in tags if isinstance(tags, dict) else ():
        if name.startswith("nbops."):
            yield ("tags", name), "tags that begin with nbops. are written by nbops: choose another name"


def whole_number(value: object) -> int | None:
    """Return a value that Azure takes as a whole number; also a text of digits, as a variable fills in."""
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"-?\d+", str(value)) else None


def _compute_instance(values: Mapping[str, Any]) -> tuple[KeyPath, str] | None:
    """Return the fault of a file for a compute instance, which belongs to one person."""
    if str(values.get("type")).lower().replace("_", "") != "computeinstance":
        return None
    way = "`az ml compute create --type ComputeInstance --name NAME`, then --on azureml:NAME without a file"
    return ("type",), f"nbops makes no compute instances: {way}"


ENVIRONMENT = FileKind(
    "environment",
    {
        "name": "an environment is named after the project",
        "version": "a version is the hash of the content, so that the same content is never built twice",
    },
    lambda path: {"name": "nbops", "version": "HASH"},
    {"image": BASE_IMAGE, "conda_file": "../../environment.yml"},
    _environment_rules,
)
COMPUTE = FileKind(
    "compute",
    {"name": "the file's name is the name of the compute"},
    lambda path: {"name": path.stem},
    None,
    _compute_rules,
    misfit=_compute_instance,
)
JOB = FileKind(
    "job",
    {
        "name": "each run has a name of its own",
        "display_name": "it is the notebook's",
        "experiment_name": "it is the notebook's experiment",
        "parent_job_name": "a trial's parent is its sweep",
        "command": "the job runs the notebook that `nbops run` names",
        "code": "the snapshot is made of the files that git tracks",
        "environment": "it is what production/azure/environment.yml describes",
        "compute": "`nbops run --on azureml:NAME` says where",
        "inputs": "they are the notebook's parameters",
        "outputs": "what a notebook makes is kept in its run",
    },
    lambda path: {
        "type": "command",
        "command": "nbops run NOTEBOOK",
        "code": ".",
        "environment": "azureml:nbops:HASH",
    },
    {},
    lambda _, values: job_rules(values),
)
