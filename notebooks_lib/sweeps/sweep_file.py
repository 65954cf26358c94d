"""A sweep file: the options of a sweep in YAML or JSON, checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.notebooks import parameter_types, parameter_values
from notebooks_lib.notebooks.container_types import MappingType
from notebooks_lib.notebooks.parameter_types import BoolType, NumberBounds, NumberType, ParameterType, TextType
from notebooks_lib.sweeps import samplers_and_pruners
from notebooks_lib.sweeps.goal import Goal


@dataclass(frozen=True)
class SweepFile:
    """The content of a sweep file, with None or an empty mapping for a key that it does not have.

    Options override it.
    """

    notebook: Path | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    """Fixed values, as `-p`. These three mappings hold the file's words: the notebook's schema converts them later."""
    grid: Mapping[str, object] = field(default_factory=dict)
    space: Mapping[str, object] = field(default_factory=dict)
    trials: int | None = None
    sampler: str | None = None
    seed: int | None = None
    metric: str | None = None
    """Checked by `Goal.parse`."""
    jobs: int | None = None
    on: str | None = None
    job: Path | None = None
    prune: str | None = None
    """Checked by `samplers_and_pruners`."""
    service: bool | None = None
    timeout: float | None = None
    cell_timeout: float | None = None
    sweep_timeout: float | None = None
    experiment: str | None = None
    name: str | None = None
    fail_fast: bool | None = None


_SECONDS = NumberType("float", NumberBounds(gt=0, lt=math.inf))


_KINDS: Mapping[str, ParameterType] = {
    **dict.fromkeys(("notebook", "metric", "on", "job", "prune", "experiment", "name"), TextType()),
    **dict.fromkeys(("parameters", "grid", "space"), MappingType(TextType())),
    **dict.fromkeys(("trials", "jobs"), NumberType("int", NumberBounds(ge=1))),
    "sampler": parameter_types.LiteralType(samplers_and_pruners.ALL_SAMPLERS),
    "seed": NumberType("int", NumberBounds(ge=0, lt=2**32)),
    "timeout": _SECONDS,
    "cell_timeout": _SECONDS,
    "sweep_timeout": _SECONDS,
    "fail_fast": BoolType(),
    "service": BoolType(),
}


def load_file(path: Path) -> SweepFile:
    """Read a YAML or JSON file. Raise UsageError, naming the file and every wrong key, when it is not valid."""
    try:
        content = parameter_values.load_file(path)
        fields_of_file, problems = _check_keys(content)
    except RecursionError:
        fields_of_file, problems = {}, ["a value holds itself, or is nested too deeply"]
    except (OSError, ValueError) as error:
        fields_of_file, problems = {}, [(error.strerror if isinstance(error, OSError) else None) or str(error)]
    service = bool(fields_of_file.get("service"))
    parse_pruner = samplers_and_pruners.parse_service_pruner if service else samplers_and_pruners.parse_pruner
    for key, read in (("metric", Goal.parse), ("prune", parse_pruner)):
        try:
            if key in fields_of_file:
                read(fields_of_file[key])
        except errors.UsageError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise errors.UsageError(f"{path}: {'; '.join(problems)}")
    for key in {"notebook", "job"} & fields_of_file.keys():
        fields_of_file[key] = path.parent / fields_of_file[key]
    return SweepFile(**fields_of_file)


def _check_keys(content: Mapping[object, object]) -> tuple[dict[str, Any], list[str]]:
    values_by_key: dict[str, Any] = {}
    problems = []
    for key, value in content.items():
        # YAML may read a key or a text in two ways, such as `on`.
        name = str.__str__(key) if isinstance(key, str) else str(key)
        kind = _KINDS.get(name)
        if kind is None:
            problems.append(errors.unknown("key", name, [key.name for key in fields(SweepFile)]))
        elif isinstance(kind, MappingType):
            problem, values_by_key[name] = _read_table(value)
            problems += [f"{name}: {problem}"] if problem else []
        elif value is not None:
            try:
                values_by_key[name] = kind.check(parameter_values.settle(value, kind))
            except parameter_types.Mismatch as mismatch:
                problems.append(f"{name}: {mismatch}")
    return values_by_key, problems


def _read_table(value: object) -> tuple[str, dict[str, object]]:
    """Return a problem, or an empty text, and the table with its words unchanged."""
    if value is None:
        return "", {}
    if not isinstance(value, dict):
        return (
            f"found {parameter_types.short_repr(value)} ({type(value).__name__}), "
            "allowed a mapping of parameters to values",
            {},
        )
    odd = next((key for key in value if not isinstance(key, str)), None)
    if odd is not None:
        return f"found the key {odd!r} ({type(odd).__name__}), allowed names of parameters", {}
    return "", {str.__str__(key): item for key, item in value.items()}
