"""The pipeline files under production/azure/pipelines: which keys nbops decides, and what steps may take and give.

A pipeline's order is that of its data: a step that takes no output of another one starts at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.project_files import compute_names, file_kinds
from notebooks_lib.azure.project_files.file_faults import KeyPath
from notebooks_lib.azure.project_files.file_kinds import Faults, FileKind

FOLDER = "pipelines"
"""Below production/azure."""
PROGRAM = "nbops"
"""What the command of a step of ours begins with."""
SOURCE = re.compile(r"\$\{\{\s*parent\.(?:jobs\.(?P<step>\w+)\.outputs|inputs)\.(?P<name>\w+)\s*\}\}")
"""The value of an input that is an output of another step, or an input of the pipeline."""
_USE = re.compile(r"\$\{\{\s*(?P<kind>inputs|outputs)\.(?P<name>\w+)[^}]*\}\}")
_STEP = re.compile(r"[a-z_][a-z0-9_]*")
_ENVIRONMENT = re.compile(r"azureml:[^:@\s]+:[^:@\s]+|azureml://registries/\S+")
_DECIDED_OF_STEP = {
    "code": "each step gets the snapshot of the project",
    "name": "it is the key of the step",
    "display_name": "it is the key of the step, by which its run is found",
    "experiment_name": "it is the pipeline's",
    "parent_job_name": "it is the pipeline",
    "tags": "write tags of the pipeline",
}
_OTHER_STEPS = {
    "sweep": "write `command: nbops sweep …` in a step of type command",
    "pipeline": "write its steps here",
    "automl": "write `command: nbops run …` or `nbops sweep …` in a step of type command",
}


def sources(step: Mapping[str, Any]) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield the inputs of a step that are outputs of another step or inputs of the pipeline, by name."""
    inputs = step.get("inputs")
    for name, value in inputs.items() if isinstance(inputs, dict) else ():
        text = value.get("path") if isinstance(value, dict) else value
        if isinstance(text, str) and (match := SOURCE.fullmatch(text.strip())):
            yield name, match


def with_filled_steps(values: Mapping[str, Any], code: str, environment: str) -> dict[str, Any]:
    """Return the values with code, environment and name of each step that has none of its own."""
    steps = values.get("jobs")
    if not isinstance(steps, dict):
        return dict(values)
    own = {"type": "command", "environment": environment, "code": code}
    filled = {
        name: {**own, **step, "display_name": name} if isinstance(step, dict) else step for name, step in steps.items()
    }
    return {**values, "jobs": filled}


def _rules(_: Path, values: dict[str, Any]) -> Faults:
    steps = values.get("jobs")
    if not steps:
        yield ("jobs",), "is missing: write a step below it, such as train:, with command: nbops run NOTEBOOK"
        return
    for key in ("inputs", "outputs"):
        yield from _no_mapping(values, key)
    default = (values.get("settings") or {}).get("default_compute")
    if default is not None and not _is_compute(default):
        yield ("settings", "default_compute"), _no_compute(default)
    for name, step in steps.items():
        if not _STEP.fullmatch(str(name)):
            yield ("jobs", name), "is no name of a step: write small letters, digits and _, a letter first"
        if isinstance(step, dict):
            for path, text in (*_of_step(step), *_of_data(name, step, values)):
                yield ("jobs", name, *path), text
    yield from _cycles(steps)


def _of_step(step: dict[str, Any]) -> Faults:
    for key, reason in _DECIDED_OF_STEP.items():
        if key in step:
            yield (key,), f"nbops decides it: {reason}; take it out"
    if "compute" in step and not _is_compute(step["compute"]):
        yield ("compute",), _no_compute(step["compute"])
    environment = step.get("environment")
    if "environment" in step and not (isinstance(environment, str) and _ENVIRONMENT.fullmatch(environment)):
        yield (
            ("environment",),
            "is no version of an environment: write azureml:NAME:VERSION, or take the line out for the project's own",
        )
    yield from file_kinds.job_rules(step)


def _is_compute(value: object) -> bool:
    if value == compute_names.SERVERLESS:
        return True
    try:
        return bool(compute_names.compute_name(str(value)))
    except errors.UsageError:
        return False


def _no_compute(value: object) -> str:
    return f"{value!r} is no compute: write {compute_names.FORMS}{compute_names.likely_meant(str(value))}"


def _of_data(name: str, step: dict[str, Any], values: dict[str, Any]) -> Faults:
    """Yield what is wrong with what a step takes and gives."""
    for key in ("inputs", "outputs"):
        yield from _no_mapping(step, key)
    steps, given = values["jobs"], _mapping(values.get("inputs"))
    for key, match in sources(step):
        other, wanted = match["step"], match["name"]
        if other is None:
            known, what = list(given), f"the pipeline has no input {wanted}"
        elif other == name or other not in steps:
            known = [each for each in steps if each != name]
            what, wanted = f"there is no other step {other}", other
        else:
            outputs = _mapping(_mapping(steps[other]).get("outputs"))
            known, what = list(outputs), f"step {other} has no output {wanted}"
        if wanted not in known:
            yield ("inputs", key), f"{what}{_meant(wanted, known)}"
    command = step.get("command")
    for match in _USE.finditer(command if isinstance(command, str) else ""):
        kind, wanted = match["kind"], match["name"]
        known = list(_mapping(step.get(kind)))
        if wanted not in known:
            yield ("command",), f"${{{{{kind}.{wanted}}}}} is not among the {kind} of the step{_meant(wanted, known)}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _no_mapping(values: Mapping[str, Any], key: str) -> Faults:
    """Yield the fault of a key that is no mapping, which the schema leaves open."""
    if key in values and not isinstance(values[key], dict):
        yield (key,), f"is no mapping: write NAME: VALUE below {key}:, indented by two spaces"


def _meant(wanted: str, known: list[str]) -> str:
    nearest = errors.nearest(wanted, known)
    if nearest:
        return f", did you mean {nearest}?"
    return f": write one of {', '.join(known)}" if known else ": declare it first"


def _cycles(steps: Mapping[str, Any]) -> Faults:
    """Yield the steps that would wait for each other."""
    waits = {
        name: {match["step"] for _, match in sources(step) if match["step"] in steps} - {name}
        for name, step in steps.items()
        if isinstance(step, dict)
    }
    while ready := [name for name, others in waits.items() if not others & waits.keys()]:
        for name in ready:
            del waits[name]
    if waits:
        name = next(iter(waits))
        yield ("jobs", name), f"waits for itself: {', '.join(waits)} take each other's outputs; take one of them out"


def wrong_step(values: Mapping[str, Any]) -> tuple[KeyPath, str] | None:
    """Return the fault of a file that describes no pipeline, or has a step that is no command."""
    if values.get("type", "pipeline") != "pipeline" or ("jobs" not in values and "command" in values):
        kind = str(values.get("type", "command"))
        key = "type" if "type" in values else "command"
        return (key,), f"describes a {kind} job, and a pipeline is wanted: write type: pipeline, and steps below jobs:"
    steps = values.get("jobs")
    for name, step in steps.items() if isinstance(steps, dict) else ():
        if not isinstance(step, dict):
            continue
        kind = str(step.get("type", "command")).lower()
        if kind != "command":
            way = _OTHER_STEPS.get(kind, "write a step of type command")
            return ("jobs", name, "type"), f"nbops runs steps of type command, not {kind}: {way}"
        if "component" in step:
            return ("jobs", name, "component"), "nbops makes the component of each step: write command: here instead"
    return None


def _written_out(path: KeyPath) -> str:
    """Return why a text must have no `${NAME}`: the command of a step would have the value in it, for all to read."""
    if len(path) == 3 and (path[0], path[2]) == ("jobs", "command"):
        return (
            "a ${NAME} here would be replaced by its value, and a command can be read in Studio: write $NAME for a "
            "variable of the shell, and NAME: ${NAME} below environment_variables:"
        )
    return ""


PIPELINE = FileKind(
    "pipeline",
    {
        "name": "each submission has a name of its own",
        "compute": "write it as default_compute: below settings:",
        "component": "write the steps below jobs:",
        "services": "a pipeline has none; write them in a step",
    },
    lambda path: {"type": "pipeline", "display_name": path.stem},
    None,
    _rules,
    completed=lambda values: with_filled_steps(values, "azureml:SNAPSHOT:1", "azureml:nbops:HASH"),
    misfit=wrong_step,
    written_out=_written_out,
)
