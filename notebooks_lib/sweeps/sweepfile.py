"""Owns `-f sweep.yaml`, which says the same things as the options of `nbops sweep`; and how a goal and a pruner are
written. What it says about parameters is checked by `space`, against the notebook.

    notebook: ridge.ipynb           # from the file's own folder
    parameters: {dataset: diabetes@1}
    grid: {alpha: [0.01, 0.1, 1], seed: 1..5}       # this, or
    space: {alpha: "loguniform(1e-3, 10)", depth: {int: [2, 8]}}
    trials: 50                      # sampler, seed, metric, jobs, on, prune, timeout, cell_timeout,
    metric: rmse                    # experiment, name and fail_fast as on the command line
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from notebooks_lib import errors
from notebooks_lib.metrics import directions
from notebooks_lib.notebooks import parameter_types, parameter_values
from notebooks_lib.notebooks.container_types import Table
from notebooks_lib.notebooks.parameter_types import Boolean, Bounds, Kind, Number, Text
from notebooks_lib.sweeps.records import Goal

Sampler = Literal["tpe", "random"]
PRUNERS = ("median", "percentile:25", "hyperband")


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says; None, or an empty mapping, where it says nothing. An option given wins over it."""

    notebook: Path | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    """Fixed values, as `-p`. The words in these three are as the file has them: the notebook's schema settles them."""
    grid: Mapping[str, object] = field(default_factory=dict)
    space: Mapping[str, object] = field(default_factory=dict)
    trials: int | None = None
    sampler: Sampler | None = None
    seed: int | None = None
    metric: str | None = None
    """Checked: `goal(metric)` does not raise."""
    jobs: int | None = None
    on: str | None = None
    prune: str | None = None
    """Checked: `pruning(prune)` does not raise."""
    timeout: float | None = None
    cell_timeout: float | None = None
    experiment: str | None = None
    name: str | None = None
    fail_fast: bool | None = None


_SECONDS = Number("float", Bounds(gt=0, lt=math.inf))
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("notebook", "metric", "on", "prune", "experiment", "name"), Text()),
    **dict.fromkeys(("parameters", "grid", "space"), Table(Text())),
    **dict.fromkeys(("trials", "jobs"), Number("int", Bounds(ge=1))),
    "sampler": parameter_types.Choice(get_args(Sampler)),
    "seed": Number("int", Bounds(ge=0, lt=2**32)),
    "timeout": _SECONDS,
    "cell_timeout": _SECONDS,
    "fail_fast": Boolean(),
}


def load(path: Path) -> SweepFile:
    """What the YAML or JSON file says. Raises UsageError that names the file and each key that is wrong."""
    try:
        content = parameter_values.load(path)
        given, problems = _examined(content)
    except RecursionError:
        given, problems = {}, ["a value holds itself, or is nested too deeply"]
    except (OSError, ValueError) as error:
        given, problems = {}, [(error.strerror if isinstance(error, OSError) else None) or str(error)]
    for key, read in (("metric", goal), ("prune", pruning)):
        try:
            if key in given:
                read(given[key])
        except errors.UsageError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise errors.UsageError(f"{path}: {'; '.join(problems)}")
    if "notebook" in given:
        given["notebook"] = path.parent / given["notebook"]
    return SweepFile(**given)


def goal(text: str) -> Goal:
    """The goal that `rmse` or `cost:min` stands for. Raises UsageError, as where nobody says which way is better."""
    return Goal(*directions.parse(text))


def pruning(text: str) -> tuple[str, float]:
    """The pruner's name, and the percentage of trials that it keeps (of a percentile). Raises UsageError."""
    name, colon, number = text.strip().lower().partition(":")
    try:
        share = float(number) if colon else {"median": 50.0, "hyperband": 0.0}[name]
    except (KeyError, ValueError):
        share = math.nan
    if (name == "percentile" and 0 < share < 100) or (name in ("median", "hyperband") and not colon):
        return name, share
    match = errors.nearest(name, [pruner.partition(":")[0] for pruner in PRUNERS])
    nearest = f", did you mean {match!r}?" if match and match != name else ""
    raise errors.UsageError(
        f"found the pruner {text!r}{nearest} (allowed: {', '.join(PRUNERS)}; "
        "the number is the percentage of trials to keep, between 0 and 100)"
    )


def _examined(content: Mapping[object, object]) -> tuple[dict[str, Any], list[str]]:
    given: dict[str, Any] = {}
    problems = []
    for key, value in content.items():
        # A key or a text may be a word that YAML has two readings of, such as `on`.
        name = str.__str__(key) if isinstance(key, str) else str(key)
        kind = _KINDS.get(name)
        if kind is None:
            problems.append(errors.unknown("key", name, [one.name for one in fields(SweepFile)]))
        elif isinstance(kind, Table):
            problem, given[name] = _table(value)
            problems += [f"{name}: {problem}"] if problem else []
        elif value is not None:
            try:
                given[name] = kind.check(parameter_values.settled(value, kind))
            except parameter_types.Mismatch as mismatch:
                problems.append(f"{name}: {mismatch}")
    return given, problems


def _table(value: object) -> tuple[str, dict[str, object]]:
    """A problem or nothing, and the table with its words left as they are."""
    if value is None:
        return "", {}
    if not isinstance(value, dict):
        return (
            f"found {parameter_types.shown(value)} ({type(value).__name__}), allowed a mapping of parameters to values",
            {},
        )
    odd = next((key for key in value if not isinstance(key, str)), None)
    if odd is not None:
        return f"found the key {odd!r} ({type(odd).__name__}), allowed names of parameters", {}
    return "", {str.__str__(key): item for key, item in value.items()}
