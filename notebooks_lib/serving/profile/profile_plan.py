"""What a profile tries and what target it looks for, checked against the machine. It starts nothing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from notebooks_lib import cpu_count
from notebooks_lib.errors import UsageError

CPUS = (0.5, 1.0, 2.0)
MEMORIES = (1.0, 2.0, 4.0)
"""In GiB."""
CONCURRENCIES = (1, 2, 4, 8)
BATCHES = (1, 10, 100)
RATE = 50.0
P95 = 0.1
SECONDS = 3.0
MOST_AT_ONCE = 100
"""Requests that an endpoint answers at once; it refuses more."""
GIB = 2**30

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class LoadTarget:
    """The target of a profile: a rate of requests, and the p95 within which they must be answered."""

    rate: float = RATE
    """Requests a second."""
    p95: float = P95
    """Seconds within which 95 % of them must be answered."""

    def __str__(self) -> str:
        return f"{self.rate:g}/s with a p95 of at most {milliseconds(self.p95)}"


@dataclass(frozen=True)
class Machine:
    """The cores, memory and limits of the machine on which a profile runs."""

    cpus: float
    """CPUs that this process may use."""
    memory_gib: float
    processor: str


@dataclass(frozen=True)
class LoadGrid:
    """The values that a profile tries, each list in ascending order. The target applies to the first batch size."""

    cpus: tuple[float, ...]
    memories: tuple[float, ...]
    concurrencies: tuple[int, ...] = CONCURRENCIES
    batches: tuple[int, ...] = BATCHES
    seconds: float = SECONDS

    @property
    def minutes(self) -> float:
        """Return about how many minutes sending the requests takes, without the time to load models."""
        cells = len(self.cpus) * len(self.concurrencies) * len(self.batches) + len(self.memories) - 1
        return cells * 1.25 * self.seconds / 60

    def as_json(self) -> dict[str, Any]:
        """Return the grid as plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def make_grid(
    machine: Machine,
    *,
    cpus: str | None = None,
    memories: str | None = None,
    concurrencies: str | None = None,
    batches: str | None = None,
    seconds: float = SECONDS,
) -> LoadGrid:
    """Return the grid for lists such as "0.5,1,2". A list that is None is the default, within what this machine has.

    Raises UsageError for a list that is invalid, or exceeds what the machine has.
    """
    if not 0.2 <= seconds <= 600:
        raise UsageError(f"--seconds {seconds:g}: expected 0.2 to 600 for each combination")
    return LoadGrid(
        _limits("--cpu", cpus, CPUS, machine.cpus, "CPUs", least=0.1),
        _limits("--memory", memories, MEMORIES, machine.memory_gib, "GiB of memory", least=0.05),
        tuple(sorted(_list("--concurrency", concurrencies, CONCURRENCIES, int, 1, MOST_AT_ONCE))),
        _list("--batch", batches, BATCHES, int, 1, 100_000),
        seconds,
    )


def make_target(rate: float, p95: str) -> LoadTarget:
    """Return the target. Raises UsageError when `rate` is not positive, or `p95` is not a time."""
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"--rate {rate:g}: expected requests a second, more than 0")
    return LoadTarget(rate, _time(p95))


def this_machine() -> Machine:
    """Return the cores and memory that this process may use. Raises UsageError where processes cannot be limited."""
    import psutil

    if os.name != "posix":
        raise UsageError("nbops profile cannot limit processes on Windows; run it on Linux, in WSL for example")

    return Machine(cpu_count.available_cores(), psutil.virtual_memory().total / GIB, _processor())


def milliseconds(seconds: float) -> str:
    """Format a time in seconds for display: 8.2 ms, 130 ms, 2 s."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1000 * seconds:.2g} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"


def _limits(option: str, text: str | None, default: Sequence[float], most: float, unit: str, *, least: float) -> Any:
    if text is None:
        possible = tuple(value for value in default if value <= most)
        return possible or (math.floor(most * 10) / 10,)
    values = tuple(sorted(_list(option, text, (), float, least, 1e6)))
    if values[-1] > most:
        raise UsageError(
            f"{option} {values[-1]:g}: this machine has {most:.3g} {unit} for this process; more cannot be tried here"
        )
    return values


def _list(option: str, text: str | None, default: Sequence[T], kind: Callable[[str], T], least: T, most: T) -> Any:
    if text is None:
        return tuple(default)
    values: list[T] = []
    for part in text.split(","):
        try:
            value = kind(part.strip())
        except ValueError:
            value = kind("-1")
        if not least <= value <= most:
            word = "whole numbers" if kind is int else "numbers"
            raise UsageError(
                f"{option} {text!r}: found {part.strip()!r}; expected {word} from {least:g} to {most:g}, commas between"
            )
        if value not in values:
            values.append(value)
    return tuple(values)


def _time(text: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s)\s*", text)
    if not match or float(match[1]) <= 0:
        raise UsageError(f"--p95 {text!r}: expected a time with its unit, as 100ms or 0.5s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine()
