"""Turn what was measured into CPU, memory, number of instances and Azure's instance types. Pure but for that table."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from notebooks_lib.serving.profile.profile_plan import GIB, LoadTarget, milliseconds
from notebooks_lib.serving.profile.results import LimitTrial, LoadPoint

HEADROOM = 0.7
"""Of the rate of a closed loop, what is counted on: arrivals at a rate queue as patient clients never do, and Azure's
own example of autoscaling adds an instance above 70 % CPU (learn.microsoft.com, how-to-autoscale-endpoints)."""

MEMORY_FILL = 0.8
"""Of a memory limit, what the measured peak may fill: a profile takes minutes, servers run for months. Our choice."""

STEP_GIB = 0.5
"""Step to which a memory that was not tried is rounded up."""


@dataclass(frozen=True)
class Capacity:
    """The highest rate at which a server with some number of CPUs stayed within the wanted p95."""

    cpus: float
    batch: int
    p95: float
    """Wanted p95 in seconds."""
    cell: LoadPoint
    checked: LoadPoint | None = None
    """Arrivals at the rate that is counted on, if they were tried."""

    @property
    def fails(self) -> bool:
        """True if the server did not stay within the p95 when requests arrived at random times."""
        return self.checked is not None and not trials_within(self.checked, self.p95)

    @property
    def counted(self) -> float:
        """Return the requests per second to plan with."""
        return HEADROOM * self.cell.rate


@dataclass(frozen=True)
class Recommendation:
    """The recommended size of an endpoint for requests of `batch` rows, or why there is none."""

    batch: int
    met: bool
    text: str
    cpus: float | None = None
    memory_gib: float | None = None
    memory_tried: bool = False
    """True if a server ran under this limit; otherwise it is computed from the measured peak."""
    instances: int | None = None
    rate: float | None = None
    """Requests a second that one instance can be counted on for."""
    disturbed: bool = False
    """True if others took CPU from the servers that this rests on: it may need less, and a profile on an idle machine
    would say so."""
    azure: tuple[Instance, ...] = ()
    """The smallest instance types that are large enough; any of them will do."""


def recommend(
    trials: Sequence[LimitTrial], target: LoadTarget, batch: int, types: Sequence[Instance]
) -> Recommendation:
    """Return the smallest measured size that reaches the target.

    If no size reaches it alone, recommend several instances, with the fewest CPUs in all.
    """
    able = [capacity for capacity in capacities(trials, target, batch) if not capacity.fails]
    if not able:
        return Recommendation(batch, met=False, text=_unmet(trials, target, batch), disturbed=_disturbed(trials))
    alone = next((capacity for capacity in able if capacity.counted >= target.rate), None)
    chosen = alone or min(
        able, key=lambda capacity: (_number(capacity, target) * capacity.cpus, _number(capacity, target))
    )
    number = _number(chosen, target)
    memory, tried = needed_memory(trials)
    return Recommendation(
        batch,
        met=True,
        text=_met(chosen, number, memory, target, tried=tried),
        cpus=chosen.cpus,
        memory_gib=memory,
        memory_tried=tried,
        instances=number,
        rate=chosen.counted,
        disturbed=_disturbed(trials, chosen.cpus),
        azure=smallest_instances(types, chosen.cpus, memory) if memory is not None else (),
    )


def capacities(trials: Sequence[LimitTrial], target: LoadTarget, batch: int) -> Iterator[Capacity]:
    """Yield the capacity for each number of CPUs: the highest rate without errors within the p95.

    Only trials count in which the CPU limit was kept.
    """
    for cpus in sorted({trial.cpus for trial in trials}):
        good = [cell for cell in _cells(trials, batch, cpus) if trials_within(cell, target.p95)]
        if good:
            arrived = [trial.checked for trial in trials if _counts(trial) and trial.cpus == cpus and trial.checked]
            checked = next((cell for cell in arrived if cell.batch == batch), None)
            yield Capacity(cpus, batch, target.p95, max(good, key=lambda cell: cell.rate), checked)


def trials_within(cell: LoadPoint, p95: float) -> bool:
    """Return True if every request of a measurement was answered, with a p95 of at most `p95` seconds."""
    return cell.faultless and cell.p95 is not None and cell.p95 <= p95


def rate_to_confirm(trial: LimitTrial, target: LoadTarget, batch: int) -> float | None:
    """Return the rate of random arrivals with which to confirm a trial; None if the trial was never within the p95."""
    capacity = next(capacities([trial], target, batch), None)
    return min(target.rate, capacity.counted) if capacity else None


def needed_memory(trials: Sequence[LimitTrial]) -> tuple[float | None, bool]:
    """Return the memory to recommend, in GiB, and whether a server ran with that limit.

    It is the smallest limit well above the peak memory, or computed from the peak if no tried limit is. None if no
    server served under its limit.
    """
    served = [trial for trial in trials if trial.outcome == "served" and trial.peak]
    if not served:
        return None, False
    peak = max(trial.peak for trial in served) / GIB
    for trial in sorted(served, key=lambda trial: trial.memory_gib):
        if trial.memory_by != "nothing" and peak <= MEMORY_FILL * trial.memory_gib:
            return trial.memory_gib, True
    return math.ceil(peak / MEMORY_FILL / STEP_GIB) * STEP_GIB, False


def _number(capacity: Capacity, target: LoadTarget) -> int:
    return max(1, math.ceil(target.rate / capacity.counted))


def _disturbed(trials: Sequence[LimitTrial], most: float = math.inf) -> bool:
    """Return True if a server with at most so many CPUs would have done better alone."""
    return any(trial.starved for trial in trials if trial.cpus <= most)


def _counts(trial: LimitTrial) -> bool:
    """Return True if its figures are valid: a server that was killed may have been swapping or failing before."""
    return trial.held and trial.outcome == "served"


def _cells(trials: Sequence[LimitTrial], batch: int, cpus: float | None = None) -> list[LoadPoint]:
    held = [trial for trial in trials if _counts(trial) and cpus in (None, trial.cpus)]
    return [cell for trial in held for cell in trial.cells if cell.batch == batch]


def _met(chosen: Capacity, number: int, memory: float | None, target: LoadTarget, *, tried: bool) -> str:
    cell = chosen.cell
    assert cell.p95 is not None
    several = "" if number == 1 else f"{number} instances of "
    verb = "holds" if number == 1 and memory is None else "hold"
    size = f"{chosen.cpus:g} CPU" + ("" if memory is None else f" and {memory:g} GiB")
    source = "" if tried or memory is None else " (memory worked out from the peak, not tried)"
    return (
        f"{several}{size} {verb} {target}{source}: one does {_rate(cell.rate)} with a p95 of {milliseconds(cell.p95)} "
        f"at {cell.concurrency} at once, and {100 * HEADROOM:.0f} % of that is counted on{_proof(chosen.checked)}"
    )


def _proof(checked: LoadPoint | None) -> str:
    if checked is None or checked.p95 is None:
        return ""
    return f"; arrivals at {_rate(checked.arrivals)} had a p95 of {milliseconds(checked.p95)}"


def _unmet(trials: Sequence[LimitTrial], target: LoadTarget, batch: int) -> str:
    killed = [trial for trial in trials if trial.outcome != "served"]
    if killed and not any(trial.outcome == "served" for trial in trials):
        return f"nothing to recommend: {killed[0].told}; give it more with --memory, or less to do with --batch"
    if trials and not any(trial.held for trial in trials):
        return "nothing to recommend: no CPU limit could be enforced here"
    answered = [cell for cell in _cells(trials, batch) if cell.p95 is not None]
    if not answered:
        return f"nothing to recommend: no request was answered{_errors(_cells(trials, batch))}"
    if all(not cell.faultless for cell in answered):
        return f"nothing to recommend: requests failed in every combination{_errors(answered)}"
    failed = [capacity for capacity in capacities(trials, target, batch) if capacity.checked is not None]
    if failed:
        cell = failed[-1].checked
        assert cell is not None
        came = "failed" if not cell.faultless or cell.p95 is None else f"had a p95 of {milliseconds(cell.p95)}"
        return f"no size tried holds {target}: arrivals at {_rate(cell.arrivals)} {came} ({failed[-1].cpus:g} CPU)"
    best = min((cell for cell in answered if cell.faultless), key=lambda cell: (cell.p95, -cell.rate))
    cpus = next(trial.cpus for trial in trials if best in trial.cells)
    return (
        f"no size tried reaches {target.rate:g}/s at {milliseconds(target.p95)}; the best was {_rate(best.rate)} with "
        f"a p95 of {milliseconds(best.p95 or 0.0)} ({cpus:g} CPU, {best.concurrency} at once)"
    )


def _errors(cells: Sequence[LoadPoint]) -> str:
    """Return what the first that failed met, in brackets."""
    wrong = next((cell.errors for cell in cells if cell.errors), {})
    return f" ({', '.join(f'{count} x {name}' for name, count in wrong.items())})" if wrong else ""


def _rate(value: float) -> str:
    return f"{value:.0f}/s" if value >= 10 else f"{value:.2g}/s"


SYSTEM_GIB = 1.0
"""GiB left for the instance's own system and Azure's agents. Our guess: Azure publishes no figure."""
INSTANCES_SHOWN = 3


@dataclass(frozen=True)
class Instance:
    """An Azure instance type that managed online endpoints accept."""

    name: str
    vcpus: int
    memory_gib: float
    caution: bool = False
    """True if Azure's own page warns that it may be too small for bigger models."""


def instance_types() -> tuple[Instance, ...]:
    """Return all known instance types, smallest first."""
    text = (resources.files(__package__) / "instances.toml").read_text("utf-8")
    return tuple(sorted((Instance(**entry) for entry in tomllib.loads(text)["instance"]), key=_instance_size))


def smallest_instances(types: Sequence[Instance], cpus: float, memory_gib: float) -> tuple[Instance, ...]:
    """Return the instance types with the fewest vCPUs that are large enough: at most three, least memory first."""
    fitting = [
        instance for instance in types if instance.vcpus >= cpus and instance.memory_gib - SYSTEM_GIB >= memory_gib
    ]
    if not fitting:
        return ()
    fewest = min(instance.vcpus for instance in fitting)
    return tuple(
        sorted((instance for instance in fitting if instance.vcpus == fewest), key=_instance_size)[:INSTANCES_SHOWN]
    )


def _instance_size(instance: Instance) -> tuple[int, float, str]:
    return instance.vcpus, instance.memory_gib, instance.name
