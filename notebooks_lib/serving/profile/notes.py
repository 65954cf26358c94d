"""What is said beside the figures of a profile: how limits were enforced, what the figures cannot say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from notebooks_lib.serving.profile.grid import GIB, Machine
from notebooks_lib.serving.profile.limits import MEANS
from notebooks_lib.serving.profile.recommending import Recommendation
from notebooks_lib.serving.profile.results import CLOSE, Cell, Trial

BUSY = 0.1
"""Of the machine's cores, what others may use before it is worth saying."""
FEW = 100
"""Requests below which a p99 is the slowest or nearly so."""


def notes(trials: Sequence[Trial], machine: Machine, advised: Sequence[Recommendation]) -> list[str]:
    """A sentence each, the most important first."""
    return [
        *_cpu(trials),
        *_memory(trials),
        *_unused(trials),
        *_shared(trials),
        *_busy(trials, machine),
        *_few(trials),
        "each client of a closed loop waits for its answer before it asks again; arrivals wait for nobody, and their "
        "times count from when they were due",
        f"a CPU is a core of this machine ({machine.processor}); another processor is faster or slower",
        *_azure(advised),
    ]


def _cpu(trials: Sequence[Trial]) -> Iterator[str]:
    served = [trial for trial in trials if trial.cells]
    for means in dict.fromkeys(trial.cpu_by for trial in served):
        which = sorted({trial.cpus for trial in served if trial.cpu_by == means})
        yield f"{_listed(which)} CPU: {MEANS[means]}"
    for trial in served:
        if trial.cpu_by != "nothing" and not trial.held:
            most = max(cell.cpu for cell in trial.cells)
            yield (
                f"{trial.cpus:g} CPU was not held: the server used {most:.2f} cores, over {CLOSE:g} times as much: "
                "its figures are left out of the recommendation"
            )


def _memory(trials: Sequence[Trial]) -> Iterator[str]:
    for means in dict.fromkeys(trial.memory_by for trial in trials):
        which = sorted({trial.memory_gib for trial in trials if trial.memory_by == means})
        yield f"{_listed(which)} GiB: {MEANS[means]}"
    peak = max((trial.peak for trial in trials), default=0)
    if peak:
        yield f"the server held {peak / GIB:.2f} GiB of memory at most (VmHWM, shared libraries included)"
    yield from dict.fromkeys(trial.told for trial in trials if trial.told)


def _unused(trials: Sequence[Trial]) -> Iterator[str]:
    """Whether more CPUs were of no use: the server neither used them nor waited for them."""
    ready: dict[float, float] = {}
    for trial in trials:
        several = [cell.cpu + cell.lost for cell in trial.cells if cell.concurrency > 1]
        if several and trial.held:
            ready[trial.cpus] = max(*several, ready.get(trial.cpus, 0.0))
    for fewer, more in pairwise(sorted(ready)):
        if 0 < ready[more] <= CLOSE * fewer:
            yield (
                f"of {more:g} CPU the server had use for {ready[more]:.1f}, however many asked at once: more than "
                f"{fewer:g} CPU makes it no faster, more instances do"
            )
            return


def _shared(trials: Sequence[Trial]) -> Iterator[str]:
    together = [(trial.cpus, cell) for trial in trials for cell in trial.cells if cell.shared]
    if together:
        which = sorted({cpus for cpus, _ in together})
        most = max(cell.client for _, cell in together)
        yield (
            f"at {_listed(which)} CPU the client had no cores of its own: it took up to {most:.2f} of the server's, "
            "so that the server alone is a little faster"
        )


def _busy(trials: Sequence[Trial], machine: Machine) -> Iterator[str]:
    cells = _cells(trials)
    starved = sorted({trial.cpus for trial in trials if trial.starved})
    if starved:
        yield (
            f"other processes took up to {max(cell.lost for cell in cells):.1f} cores from the server "
            f"({_listed(starved)} CPU): it needs no more than is said here, and perhaps less; try again when "
            "the machine is idle"
        )
    most = max((cell.others for cell in cells), default=0.0)
    if most > BUSY * machine.cpus and not starved:
        yield f"the machine was busy: other processes used up to {most:.1f} of its {machine.cpus:g} cores meanwhile"


def _few(trials: Sequence[Trial]) -> Iterator[str]:
    cells = _cells(trials)
    few = [cell for cell in cells if cell.requests < FEW]
    if few:
        yield f"{len(few)} of {len(cells)} combinations had fewer than {FEW} answers; --seconds makes it more"


def _azure(advised: Sequence[Recommendation]) -> Iterator[str]:
    if any(each.azure for each in advised):
        yield "for production Azure advises more than three instances, whatever one of them can do"
    warned = sorted({instance.name for each in advised for instance in each.azure if instance.caution})
    if warned:
        yield f"{', '.join(warned)}: Azure warns that it may be too small for bigger models"


def _cells(trials: Sequence[Trial]) -> list[Cell]:
    return [cell for trial in trials for cell in (*trial.cells, *([trial.checked] if trial.checked else []))]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
