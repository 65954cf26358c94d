"""The measurements of a profile, as plain values. It measures and recommends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from notebooks_lib.serving.profile.profile_plan import GIB, LoadGrid, LoadTarget, Machine
from notebooks_lib.serving.profile.unprivileged_limits import PERIOD

MIB = 2**20
LOST = 0.1
"""Share of its CPUs that a server may lose to others before its figures are too low to use."""
CLOSE = 1.1
"""A limit exceeded by more than a tenth was not enforced."""


@dataclass(frozen=True)
class LoadPoint:
    """The measurement of one concurrency and one batch size, over some seconds."""

    concurrency: int
    """Clients at once; for arrivals, the number of connections."""
    batch: int
    """Rows of a request."""
    rate: float
    """Requests answered with 200 a second."""
    requests: int
    """Number of requests behind the percentiles."""
    p50: float | None
    """Seconds; None when nothing was answered."""
    p95: float | None
    p99: float | None
    arrivals: float = 0.0
    """Requests that fell due a second, whatever the answers; 0 for a closed loop."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Status, or name of the fault -> how often."""
    wall: float = 4.0
    """Seconds that it took, warm-up included."""
    cpu: float = 0.0
    """Cores that the server used meanwhile."""
    client: float = 0.0
    """Cores that the client used, on cores of its own unless `shared`."""
    shared: bool = False
    """True if client and server ran on the same cores, because there are no others."""
    others: float = 0.0
    """Cores that everything else on the machine used meanwhile."""
    lost: float = 0.0
    """Cores that the server was entitled and ready to use, but that others used."""

    @property
    def faultless(self) -> bool:
        """True if there were requests and every one was answered with 200."""
        return not self.errors and self.p95 is not None


@dataclass(frozen=True)
class LimitTrial:
    """The measurements of one server process under one limit."""

    cpus: float
    memory_gib: float
    outcome: Literal["served", "memory", "died"]
    """"memory": killed because it wanted more than `memory_gib`."""
    cells: tuple[LoadPoint, ...] = ()
    cpu_by: str = "nothing"
    """How the CPU limit was enforced: cgroup, pauses, affinity; "nothing": it was not."""
    memory_by: str = "nothing"
    """How the memory limit was enforced: cgroup, watch; "nothing": it was not."""
    load_seconds: float | None = None
    """Seconds until the model was ready; the CPU limit held from then on."""
    peak: int = 0
    """Peak memory in bytes."""
    checked: LoadPoint | None = None
    """After the closed loops: arrivals at the recommended rate, of the first batch size."""
    told: str = ""
    """A remark: why it ended, or why a limit was not enforced."""

    @property
    def starved(self) -> bool:
        """True if other processes used so much CPU that the server would be faster on a machine without them."""
        cells = (*self.cells, *([self.checked] if self.checked else []))
        return any(cell.lost > LOST * self.cpus for cell in cells)

    @property
    def held(self) -> bool:
        """True if the CPU limit was kept, so that the results are those of a server with that many CPUs."""
        most = (CLOSE * self.cpus * cell.wall + self.cpus * PERIOD for cell in self.cells)
        used = (cell.cpu * cell.wall for cell in self.cells)
        return self.cpu_by != "nothing" and all(seconds <= limit for seconds, limit in zip(used, most, strict=True))


@dataclass(frozen=True)
class Profile:
    """All measurements of one model version."""

    model: str
    """Its registered name, or the folder."""
    version: str
    """Empty for a folder."""
    target: LoadTarget
    grid: LoadGrid
    machine: Machine
    trials: tuple[LimitTrial, ...]
    when: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the profile as plain values, with times in seconds."""
        trials = [
            {**asdict(trial), "peak_gib": trial.peak / GIB, "held": trial.held, "starved": trial.starved}
            for trial in self.trials
        ]
        return {
            "model": self.model,
            "version": self.version,
            "when": self.when,
            "seconds": round(self.seconds, 1),
            "target": asdict(self.target),
            "grid": self.grid.as_json(),
            "machine": asdict(self.machine),
            "trials": trials,
        }
