"""The slots of an endpoint: which of them answers the next request, and what each has counted. Speaks no HTTP."""

from __future__ import annotations

import itertools
import math
import os
import uuid
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from notebooks_lib.models.scorer import ServedModel

TIME_BOUNDS: tuple[float, ...] = tuple(10 ** (step / 20 - 4) for step in range(121))
"""Seconds, from 0.1 ms to 100 s in steps of 12 %: the largest error of a percentile."""


@dataclass(frozen=True)
class SlotCounts:
    """What a slot has done since its model was deployed, or since a mark."""

    requests: int = 0
    """Requests answered by it, whatever the status, without mirrored ones."""
    refused: int = 0
    """Requests answered with a status of 4xx."""
    failed: int = 0
    """Requests answered with a status of 5xx."""
    times: tuple[int, ...] = ()
    """Predictions (status 200) by time: up to each of TIME_BOUNDS, and longer than all."""
    mirrored: int = 0
    """Copies of requests that another slot answered."""
    mirror_failed: int = 0
    """Of these, how many it failed although the other slot answered."""
    mirror_dropped: int = 0
    """Copies that were dropped because it was still busy."""
    probes: int = 0
    """Requests and copies that nbops itself sent."""
    rows_compared: int = 0
    rows_different: int = 0
    """Rows of mirrored requests whose prediction differs from that of the slot that answered."""
    rows_misshapen: int = 0
    """Of these, how many have another form."""
    peaks: tuple[tuple[int, float], ...] = ()
    """Relative differences of numbers that no later one has reached, each with the number of its mirrored request."""
    since: str = ""
    """Identifies the deployment in the running server: counts of another one are not subtracted."""

    @property
    def p50(self) -> float | None:
        """Return the median seconds of a prediction; None without any."""
        return percentile(self.times, 0.5)

    @property
    def p95(self) -> float | None:
        """Return the seconds that 95 % of the predictions took at most; None without any."""
        return percentile(self.times, 0.95)

    @property
    def largest_difference(self) -> float:
        """Return the largest relative difference of mirrored numbers, to three digits."""
        return self.peaks[0][1] if self.peaks else 0.0

    def __sub__(self, mark: SlotCounts) -> SlotCounts:
        """Return what came after `mark`; everything, when the slot was deployed or the server started anew
        meanwhile.
        """
        if mark.since != self.since:
            return self
        before = mark.times or (0,) * len(self.times)
        less: dict[str, Any] = {
            each.name: getattr(self, each.name) - getattr(mark, each.name)
            for each in fields(self)
            if each.type == "int"
        }
        times = tuple(now - then for now, then in zip(self.times, before, strict=True))
        peaks = tuple(peak for peak in self.peaks if peak[0] > mark.mirrored)
        return SlotCounts(**less, times=times, peaks=peaks, since=self.since)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with the percentiles and the largest difference."""
        return {**asdict(self), "largest_difference": self.largest_difference, "p50": self.p50, "p95": self.p95}


def read_counts(content: Mapping[str, Any]) -> SlotCounts:
    """Read counts from what `as_json` returned; a server started by an older nbops counts less."""
    known = {each.name: content[each.name] for each in fields(SlotCounts) if each.name in content}
    peaks = tuple((int(number), float(apart)) for number, apart in content.get("peaks", ()))
    return SlotCounts(**{**known, "times": tuple(content["times"]), "peaks": peaks})


@dataclass
class SlotCounter:
    """The counts of a slot as they grow in the server; changed by its event loop only."""

    since: str = ""
    codes: dict[int, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=lambda: [0] * (len(TIME_BOUNDS) + 1))
    seconds: float = 0.0
    mirrored: int = 0
    mirror_failed: int = 0
    mirror_dropped: int = 0
    probes: int = 0
    rows_compared: int = 0
    rows_different: int = 0
    rows_misshapen: int = 0
    peaks: list[tuple[int, float]] = field(default_factory=list)

    def answered(self, status: int, seconds: float, *, probe: bool = False) -> None:
        """Count an answered request; a `probe` is one of our own."""
        self.probes += probe
        self.codes[status] = self.codes.get(status, 0) + 1
        if status == 200:
            self.times[bisect_left(TIME_BOUNDS, seconds)] += 1
            self.seconds += seconds

    def differed(self, apart: float) -> None:
        """Record how far numbers of the last mirrored request differ. Rounded, so that the peaks stay few."""
        rounded = float(f"{apart:.3g}")
        while self.peaks and self.peaks[-1][1] <= rounded:
            self.peaks.pop()
        self.peaks.append((self.mirrored, rounded))

    def counts(self) -> SlotCounts:
        """Return the counts so far."""
        return SlotCounts(
            requests=sum(self.codes.values()),
            refused=sum(count for status, count in self.codes.items() if 400 <= status < 500),
            failed=sum(count for status, count in self.codes.items() if status >= 500),
            times=tuple(self.times),
            mirrored=self.mirrored,
            mirror_failed=self.mirror_failed,
            mirror_dropped=self.mirror_dropped,
            probes=self.probes,
            rows_compared=self.rows_compared,
            rows_different=self.rows_different,
            rows_misshapen=self.rows_misshapen,
            peaks=tuple(self.peaks),
            since=self.since,
        )


def percentile(times: Sequence[int], share: float) -> float | None:
    """Return the bound under which `share` of the requests stayed; None when there were none."""
    total, seen = sum(times), 0
    for place, count in enumerate(times):
        seen += count
        if count and seen >= share * total:
            return TIME_BOUNDS[min(place, len(TIME_BOUNDS) - 1)]
    return None


_STEP = 0.6180339887498949
"""The golden section: multiples of it, less their whole part, fill every share evenly, and no rhythm of the requests
(every second one from the same client, say) meets the same slot each time."""


@dataclass
class Slot:
    """One model version behind the endpoint."""

    model: ServedModel
    info: Mapping[str, Any]
    """What `/version` answers: model, version, run_id, dataset, since and more."""
    name: str = "blue"
    tally: SlotCounter = field(default_factory=lambda: SlotCounter(since=uuid.uuid4().hex))

    pace: float = math.inf
    """CPU seconds of its last predictions, roughly; unknown at first."""
    size: float = 1.0
    """Bytes of their bodies, as roughly."""
    busy: int = 0
    """Predictions in progress."""

    def __post_init__(self) -> None:
        self.header = self.name.encode()
        # A pool for each slot, so that a model that hangs delays no requests of other slots. More threads than cores
        # would only take the interpreter's lock from each other, and from the event loop.
        self.workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=f"predict-{self.name}")
        # Large bodies one after the other: reading one holds the interpreter's lock for a tenth of a second and more.
        self.one_by_one = ThreadPoolExecutor(1, thread_name_prefix=f"predict-large-{self.name}")

    def expected(self, size: int) -> float:
        """Return the expected seconds of a prediction for a body of `size` bytes, if time grows no faster than the
        body.
        """
        return self.pace * max(1.0, size / self.size)

    def took(self, seconds: float, size: int) -> None:
        """Take the time of a prediction into account."""
        known = 0.9 if self.pace < math.inf else 0.0
        self.pace = known * self.pace + 0.1 * seconds if known else seconds
        self.size = known * self.size + 0.1 * size if known else float(size)

    def released(self) -> None:
        """Note the end of a prediction that was given up before."""
        self.busy -= 1


class Slots:
    """The slots in service. Replaced as a whole by the event loop, so that a request sees the old or the new ones."""

    def __init__(
        self,
        ready: Mapping[str, Slot] | None = None,
        traffic: Mapping[str, int] | None = None,
        mirror: Mapping[str, int] | None = None,
    ) -> None:
        self._turns = itertools.count()
        self._copies = itertools.count()
        self.replace(ready or {}, traffic or {}, mirror or {})

    def replace(self, ready: Mapping[str, Slot], traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        """Put these slots in service; requests in progress are answered by the slot that they began with."""
        self.ready = dict(ready)
        self.traffic = {name: percent for name, percent in traffic.items() if percent}
        self.mirror = next(((name, percent) for name, percent in mirror.items() if percent), None)
        self._only = self.ready.get(next(iter(self.traffic))) if len(self.traffic) == 1 else None

    def choose(self) -> Slot | None:
        """Return the slot for a request that names none, by its share of the traffic; None when it is not loaded."""
        if self._only is not None:
            return self._only
        place = 100 * ((next(self._turns) * _STEP) % 1.0)
        for name, percent in self.traffic.items():
            place -= percent
            if place < 0:
                return self.ready.get(name)
        return None

    def main(self) -> Slot | None:
        """Return the slot with most of the traffic; without any traffic, some slot."""
        named = sorted(self.ready, key=lambda name: -self.traffic.get(name, 0))
        return self.ready[named[0]] if named else None

    def copies_to(self, answered: Slot) -> Slot | None:
        """Return the slot that gets a copy of what `answered` answered, if this request is in the mirrored share."""
        if self.mirror is None or self.mirror[0] == answered.name:
            return None
        name, percent = self.mirror
        return self.ready.get(name) if 100 * ((next(self._copies) * _STEP) % 1.0) < percent else None
