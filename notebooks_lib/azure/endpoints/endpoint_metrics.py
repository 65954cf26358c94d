"""What Azure Monitor counts of an online endpoint: requests by status and their times, by slot and minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from notebooks_lib.azure.client.rest_client import RestClient
from notebooks_lib.azure.client.workspace import Workspace
from notebooks_lib.azure.endpoints.online_endpoint import endpoint_path

API_VERSION = "2023-10-01"
LATE = 180.0
"""Seconds after which a request is surely among the figures."""
SHARES = (0.5, 0.9, 0.95, 0.99)
"""The percentiles of a minute's times that Azure Monitor knows."""
_GATEWAY_PASSES_ON = 424
"""Azure's status for an answer of the model's own server that is not 200."""


@dataclass(frozen=True)
class MinuteFigures:
    """What a slot answered within one minute."""

    answered: int = 0
    """With predictions."""
    refused: int = 0
    """With a status of 4xx."""
    failed: int = 0
    """With a status of 5xx, or not at all."""

    @property
    def requests(self) -> int:
        """All of them."""
        return self.answered + self.refused + self.failed

    def plus(self, status: int, count: int) -> MinuteFigures:
        """Return the figures with `count` more answers of one status."""
        kind = "answered" if status < 400 else "refused" if status < 500 else "failed"
        return MinuteFigures(**{**vars(self), kind: getattr(self, kind) + count})


def requests_by_minute(
    client: RestClient, workspace: Workspace, endpoint: str, begin: float, end: float
) -> dict[str, dict[int, MinuteFigures]]:
    """Return slot -> minute -> its requests, mirrored ones among them. Minutes are counted from 1970.

    `begin` and `end` are seconds since 1970. Minutes of which Azure Monitor knows nothing (yet) are left out.
    """
    query = {
        "metricnames": "RequestsPerMinute",
        "aggregation": "Average",  # of one minute: the number of its requests
        "$filter": "deployment eq '*' and statusCode eq '*' and modelStatusCode eq '*'",
    }
    figures: dict[str, dict[int, MinuteFigures]] = {}
    for series in _series(client, endpoint_path(workspace, endpoint), endpoint, query, begin, end):
        labels = _labels(series)
        for minute, count in _points(series).items():
            minutes = figures.setdefault(labels.get("deployment", ""), {})
            minutes[minute] = minutes.get(minute, MinuteFigures()).plus(_status(labels), round(count))
    return figures


def times_by_minute(
    client: RestClient, workspace: Workspace, endpoint: str, slot: str, begin: float, end: float
) -> dict[int, dict[float, float]]:
    """Return minute -> percentile, one of SHARES -> seconds that a request to a slot took."""
    path = f"{endpoint_path(workspace, endpoint)}/deployments/{quote(slot, safe='')}"
    names = {f"RequestLatency_P{share * 100:.0f}": share for share in SHARES}
    query = {"metricnames": ",".join(names), "aggregation": "Average"}
    times: dict[int, dict[float, float]] = {}
    for series in _series(client, path, f"slot {slot} of endpoint {endpoint}", query, begin, end):
        for minute, milliseconds in _points(series).items():
            times.setdefault(minute, {})[names[series["metric"]]] = milliseconds / 1000
    return times


def _series(
    client: RestClient, path: str, what: str, query: Mapping[str, str], begin: float, end: float
) -> list[dict[str, Any]]:
    span = "/".join(datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for each in (begin, end))
    answer = client.request(
        "GET",
        f"{path}/providers/Microsoft.Insights/metrics",
        API_VERSION,
        what=f"the figures of {what}",
        query={**query, "timespan": span, "interval": "PT1M"},
    )
    return [
        {**series, "metric": metric["name"]["value"]}
        for metric in answer.get("value") or ()
        for series in metric.get("timeseries") or ()
    ]


def _labels(series: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]["value"].lower(): str(each["value"]) for each in series.get("metadatavalues") or ()}


def _points(series: Mapping[str, Any]) -> dict[int, float]:
    """Return minute -> value; Azure names each minute of the span, those without a value among them."""
    points = {}
    for point in series.get("data") or ():
        if point.get("average") is not None:
            moment = datetime.fromisoformat(str(point["timeStamp"]).replace("Z", "+00:00"))
            points[int(moment.timestamp() // 60)] = float(point["average"])
    return points


def _status(labels: Mapping[str, str]) -> int:
    """Return the status of the model's own server where there is one: the gateway replaces it by 424."""
    gateway, model = (_number(labels.get(name, "")) for name in ("statuscode", "modelstatuscode"))
    if gateway == _GATEWAY_PASSES_ON:
        return model or 500
    return gateway or model or 500


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
