"""Write an endpoint's counts in Prometheus' text format. It counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from notebooks_lib.serving.request_counts import TIME_BOUNDS, RequestCounter
from notebooks_lib.serving.slots import Slots

KIND = "text/plain; version=0.0.4; charset=utf-8"
_EVERY = 5
"""Every fifth bound of the percentiles is shown: four a decade, from 0.1 ms to 100 s."""


def metrics_page(name: str, slots: Slots, elsewhere: RequestCounter, gauges: Mapping[str, float]) -> bytes:
    """Return the text of /metrics for endpoint `name`. `elsewhere` counts requests that no slot answered."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(name, slots, elsewhere, gauges))
    return bytes(generate_latest(registry))


class _Families:
    """A collector for prometheus_client."""

    def __init__(self, name: str, slots: Slots, elsewhere: RequestCounter, gauges: Mapping[str, float]) -> None:
        self._name = name
        self._slots = slots
        self._elsewhere = elsewhere
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        """Yield all metric families, each with a sample for each slot."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "nbops_requests",
            "Answered requests; slot is empty where none was asked",
            labels=("endpoint", "slot", "code"),
        )
        seconds = HistogramMetricFamily(
            "nbops_prediction_seconds",
            "Seconds from the headers to the answer, of predictions",
            labels=("endpoint", "slot"),
        )
        mirrored = CounterMetricFamily(
            "nbops_mirrored_requests",
            "Requests that a slot was asked beside another",
            labels=("endpoint", "slot", "result"),
        )
        rows = CounterMetricFamily(
            "nbops_mirrored_rows",
            "Rows of these, compared with the answer that was sent",
            labels=("endpoint", "slot", "result"),
        )
        serving = GaugeMetricFamily(
            "nbops_slot_traffic_percent",
            "Share of the requests that name no slot",
            labels=("endpoint", "slot", "version"),
        )
        for slot, tally in [("", self._elsewhere), *((name, slot.tally) for name, slot in self._slots.ready.items())]:
            for code, count in sorted(tally.codes.items()):
                requests.add_metric((self._name, slot, str(code)), count)
            if slot:
                seconds.add_metric((self._name, slot), _buckets(tally), tally.seconds)
                for result, count in _mirrored(tally).items():
                    mirrored.add_metric((self._name, slot, result), count)
                rows.add_metric((self._name, slot, "different"), tally.rows_different)
                rows.add_metric((self._name, slot, "same"), tally.rows_compared - tally.rows_different)
        for slot, held in self._slots.ready.items():
            labels = (self._name, slot, str(held.info.get("version", "")))
            serving.add_metric(labels, self._slots.traffic.get(slot, 0))
        yield from (requests, seconds, mirrored, rows, serving)
        for name, value in self._gauges.items():
            kind = CounterMetricFamily if name.startswith("collect") else GaugeMetricFamily
            gauge = kind(f"nbops_{name}", name.replace("_", " "), labels=("endpoint",))
            gauge.add_metric((self._name,), value)
            yield gauge


def _mirrored(tally: RequestCounter) -> dict[str, int]:
    return {
        "answered": tally.mirrored - tally.mirror_failed,
        "failed": tally.mirror_failed,
        "dropped": tally.mirror_dropped,
    }


def _buckets(tally: RequestCounter) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    cumulative = 0
    for place, count in enumerate(tally.times):
        cumulative += count
        if place == len(TIME_BOUNDS):
            buckets.append(("+Inf", cumulative))
        elif place % _EVERY == 0:
            buckets.append((f"{TIME_BOUNDS[place]:.6g}", cumulative))
    return buckets
