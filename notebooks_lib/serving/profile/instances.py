"""Azure's instance types, from the data file beside it, and which is the smallest that fits. It knows no prices."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

SYSTEM_GIB = 1.0
"""Left for the instance's own system and Azure's agents. Our guess: Azure publishes no figure."""
SHOWN = 3


@dataclass(frozen=True)
class Instance:
    """An instance type that managed online endpoints take."""

    name: str
    vcpus: int
    memory_gib: float
    caution: bool = False
    """Azure's own page warns that it may be too small for bigger models."""


def table() -> tuple[Instance, ...]:
    """All types that we know, smallest first."""
    text = (resources.files(__package__) / "instances.toml").read_text("utf-8")
    return tuple(sorted((Instance(**each) for each in tomllib.loads(text)["instance"]), key=_size))


def smallest(known: Sequence[Instance], cpus: float, memory_gib: float) -> tuple[Instance, ...]:
    """The types with the fewest vCPUs that have so much, those with least memory first, three at most."""
    fitting = [each for each in known if each.vcpus >= cpus and each.memory_gib - SYSTEM_GIB >= memory_gib]
    if not fitting:
        return ()
    fewest = min(each.vcpus for each in fitting)
    return tuple(sorted((each for each in fitting if each.vcpus == fewest), key=_size)[:SHOWN])


def _size(instance: Instance) -> tuple[int, float, str]:
    return instance.vcpus, instance.memory_gib, instance.name
