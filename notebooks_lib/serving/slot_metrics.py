"""Counts requests and their times by slot, so that two moments can be told apart. It keeps no clock and no files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

BOUNDS: tuple[float, ...] = tuple(10 ** (step / 20 - 4) for step in range(121))
"""Seconds, from 0.1 ms to 100 s in steps of 12 %: as far as a percentile can be wrong."""


@dataclass(frozen=True)
class Counts:
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

    def __sub__(self, mark: Counts) -> Counts:
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
        return Counts(**less, times=times, peaks=peaks, since=self.since)

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the percentiles and the largest difference."""
        return {**asdict(self), "largest_difference": self.largest_difference, "p50": self.p50, "p95": self.p95}


def read(content: Mapping[str, Any]) -> Counts:
    """Counts from what `as_json` made; a server that an older nbops started counts less."""
    known = {each.name: content[each.name] for each in fields(Counts) if each.name in content}
    peaks = tuple((int(number), float(apart)) for number, apart in content.get("peaks", ()))
    return Counts(**{**known, "times": tuple(content["times"]), "peaks": peaks})


@dataclass
class Tally:
    """Counts as they grow in the server; touched by its event loop only."""

    since: str = ""
    codes: dict[int, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
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
            self.times[bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds

    def differed(self, apart: float) -> None:
        """Numbers in the last mirrored request lay so far apart. Rounded, so that the peaks stay few."""
        rounded = float(f"{apart:.3g}")
        while self.peaks and self.peaks[-1][1] <= rounded:
            self.peaks.pop()
        self.peaks.append((self.mirrored, rounded))

    def counts(self) -> Counts:
        """What it has come to."""
        return Counts(
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
            return BOUNDS[min(place, len(BOUNDS) - 1)]
    return None
