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
"""Seconds, from 0.1 ms to 100 s in steps of 12 %: as far as a percentile can be wrong."""


@dataclass(frozen=True)
class SlotCounts:
    """What a slot has done since its model was deployed, or since a mark."""

    requests: int = 0
    """Answered by it, whatever the status; mirrored ones are not among them."""
    refused: int = 0
    """With a status of 4xx."""
    failed: int = 0
    """With a status of 5xx."""
    times: tuple[int, ...] = ()
    """How many requests took up to each of BOUNDS, and longer than all; predictions (200) only."""
    mirrored: int = 0
    """Requests that it was asked beside the slot that answered them, and that nobody waited for."""
    mirror_failed: int = 0
    """Of these, how many it did not answer although the other slot did."""
    mirror_dropped: int = 0
    """Not asked, because it was still busy with earlier ones."""
    probes: int = 0
    """Of the requests and the mirrored ones, how many were nbops's own."""
    rows_compared: int = 0
    rows_different: int = 0
    """Rows of mirrored requests whose prediction is not that of the slot that answered."""
    rows_misshapen: int = 0
    """Of these, how many are of another form."""
    peaks: tuple[tuple[int, float], ...] = ()
    """Relative differences of numbers that no later one has reached, each with the number of its mirrored request."""
    since: str = ""
    """Identifies the deployment in the running server: counts of another are not subtracted."""

    @property
    def p50(self) -> float | None:
        """Median of the seconds a prediction took; None without any."""
        return percentile(self.times, 0.5)

    @property
    def p95(self) -> float | None:
        """Seconds that 95 % of the predictions took at most; None without any."""
        return percentile(self.times, 0.95)

    @property
    def largest_difference(self) -> float:
        """Relative, of the numbers in what was mirrored; to three digits."""
        return self.peaks[0][1] if self.peaks else 0.0

    def __sub__(self, mark: SlotCounts) -> SlotCounts:
        """What came after `mark`; everything, when the slot was deployed or the server started anew meanwhile."""
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
        """Plain values, with the percentiles and the largest difference."""
        return {**asdict(self), "largest_difference": self.largest_difference, "p50": self.p50, "p95": self.p95}


def read_counts(content: Mapping[str, Any]) -> SlotCounts:
    """Counts from what `as_json` made; a server that an older nbops started counts less."""
    known = {each.name: content[each.name] for each in fields(SlotCounts) if each.name in content}
    peaks = tuple((int(number), float(apart)) for number, apart in content.get("peaks", ()))
    return SlotCounts(**{**known, "times": tuple(content["times"]), "peaks": peaks})


@dataclass
class SlotCounter:
    """Counts as they grow in the server; touched by its event loop only."""

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
        """A request got its answer; a `probe` is our own."""
        self.probes += probe
        self.codes[status] = self.codes.get(status, 0) + 1
        if status == 200:
            self.times[bisect_left(TIME_BOUNDS, seconds)] += 1
            self.seconds += seconds

    def differed(self, apart: float) -> None:
        """Numbers in the last mirrored request lay so far apart. Rounded, so that the peaks stay few."""
        rounded = float(f"{apart:.3g}")
        while self.peaks and self.peaks[-1][1] <= rounded:
            self.peaks.pop()
        self.peaks.append((self.mirrored, rounded))

    def counts(self) -> SlotCounts:
        """What it has come to."""
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
    """The bound under which `share` of the requests stayed; None when there were none."""
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
    """Seconds of a processor that its last predictions took, roughly; unknown at first."""
    size: float = 1.0
    """Bytes of the bodies that they were made of, as roughly."""
    busy: int = 0
    """Predictions that it was asked for and has not answered yet."""

    def __post_init__(self) -> None:
        self.header = self.name.encode()
        # Its own, so that a model that hangs keeps nobody else's requests waiting. More threads than cores would only
        # take the interpreter's lock from each other, and from the event loop.
        self.workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=f"predict-{self.name}")
        # Large bodies one after the other: reading one holds the interpreter's lock for a tenth of a second and more.
        self.one_by_one = ThreadPoolExecutor(1, thread_name_prefix=f"predict-large-{self.name}")

    def expected(self, size: int) -> float:
        """Seconds that a prediction for a body of so many bytes takes, if time grows no faster than bodies do."""
        return self.pace * max(1.0, size / self.size)

    def took(self, seconds: float, size: int) -> None:
        """Take a prediction into account."""
        known = 0.9 if self.pace < math.inf else 0.0
        self.pace = known * self.pace + 0.1 * seconds if known else seconds
        self.size = known * self.size + 0.1 * size if known else float(size)

    def released(self) -> None:
        """A prediction has ended that was given up long ago."""
        self.busy -= 1


class Slots:
    """Who serves now. Replaced as a whole by the event loop, so a request sees the old or the new, never between."""

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
        """From now on these serve; what is being answered is answered by the slot that it began with."""
        self.ready = dict(ready)
        self.traffic = {name: percent for name, percent in traffic.items() if percent}
        self.mirror = next(((name, percent) for name, percent in mirror.items() if percent), None)
        self._only = self.ready.get(next(iter(self.traffic))) if len(self.traffic) == 1 else None

    def choose(self) -> Slot | None:
        """The slot for a request that names none, each by its share of the traffic; None when it is not there."""
        if self._only is not None:
            return self._only
        place = 100 * ((next(self._turns) * _STEP) % 1.0)
        for name, percent in self.traffic.items():
            place -= percent
            if place < 0:
                return self.ready.get(name)
        return None

    def main(self) -> Slot | None:
        """The slot with most of the traffic; without any traffic, some slot."""
        named = sorted(self.ready, key=lambda name: -self.traffic.get(name, 0))
        return self.ready[named[0]] if named else None

    def copies_to(self, answered: Slot) -> Slot | None:
        """The slot that is to be asked the same beside `answered`, if this request is one of the mirrored share."""
        if self.mirror is None or self.mirror[0] == answered.name:
            return None
        name, percent = self.mirror
        return self.ready.get(name) if 100 * ((next(self._copies) * _STEP) % 1.0) < percent else None
