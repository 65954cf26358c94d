"""What a slot has counted: the value that an endpoint answers with, and the counter in a server. Speaks no HTTP."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

TIME_BOUNDS: tuple[float, ...] = tuple(10 ** (step / 20 - 4) for step in range(121))
"""Seconds, from 0.1 ms to 100 s in steps of 12 %: the largest error of a percentile."""


@dataclass(frozen=True)
class RequestCounts:
    """Counts of a slot's requests since its model was deployed, or since an earlier count."""

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
    unconfirmed: int = 0
    """Of these, how many the endpoint's own figures do not hold yet; 0 where each request is counted at once."""
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
        """Return the median time of a prediction in seconds; None if there was none."""
        return percentile(self.times, 0.5)

    @property
    def p95(self) -> float | None:
        """Return the 95th percentile of the time of a prediction, in seconds; None if there was none."""
        return percentile(self.times, 0.95)

    @property
    def largest_difference(self) -> float:
        """Return the largest relative difference between the two answers to a mirrored request, to three digits."""
        return self.peaks[0][1] if self.peaks else 0.0

    def __sub__(self, mark: RequestCounts) -> RequestCounts:
        """Return what came after `mark`; all counts, if the slot was deployed again or the server restarted since."""
        if mark.since != self.since:
            return self
        before = mark.times or (0,) * len(self.times)
        less: dict[str, Any] = {
            attribute.name: getattr(self, attribute.name) - getattr(mark, attribute.name)
            for attribute in fields(self)
            if attribute.type == "int"
        }
        times = tuple(now - then for now, then in zip(self.times, before, strict=True))
        peaks = tuple(peak for peak in self.peaks if peak[0] > mark.mirrored)
        return RequestCounts(**less, times=times, peaks=peaks, since=self.since)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain values, with the percentiles and the largest difference."""
        return {**asdict(self), "largest_difference": self.largest_difference, "p50": self.p50, "p95": self.p95}


def read_counts(content: Mapping[str, Any]) -> RequestCounts:
    """Restore the counts from what `as_json` returned. A server of an older nbops may leave some out."""
    values = {
        attribute.name: content[attribute.name] for attribute in fields(RequestCounts) if attribute.name in content
    }
    peaks = tuple((int(number), float(apart)) for number, apart in content.get("peaks", ()))
    return RequestCounts(**{**values, "times": tuple(content["times"]), "peaks": peaks})


@dataclass
class RequestCounter:
    """Counts a slot's requests inside the server. Only the event loop changes it."""

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
        """Count an answered request; `probe` says that it was a test request of nbops."""
        self.probes += probe
        self.codes[status] = self.codes.get(status, 0) + 1
        if status == 200:
            self.times[bisect_left(TIME_BOUNDS, seconds)] += 1
            self.seconds += seconds

    def differed(self, apart: float) -> None:
        """Record how much the two answers to a mirrored request differ. It is rounded, so that few values are kept."""
        rounded = float(f"{apart:.3g}")
        while self.peaks and self.peaks[-1][1] <= rounded:
            self.peaks.pop()
        self.peaks.append((self.mirrored, rounded))

    def counts(self) -> RequestCounts:
        """Return the counts so far."""
        return RequestCounts(
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
    """Return the bound of TIME_BOUNDS within which a `share` of the requests was answered; None without requests.

    `times` holds the number of requests for each bound. For requests slower than all bounds, the last bound is
    returned.
    """
    total, cumulative = sum(times), 0
    for place, count in enumerate(times):
        cumulative += count
        if count and cumulative >= share * total:
            return TIME_BOUNDS[min(place, len(TIME_BOUNDS) - 1)]
    return None
