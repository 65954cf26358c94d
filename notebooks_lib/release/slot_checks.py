"""Test a slot of an endpoint with requests like those of its callers, before it gets their traffic. It changes nothing.

Each request is marked as a probe: it is not collected as data of the callers.

The contract: golden predictions are reproduced, what the champion's callers send is accepted, malformed requests are
refused with 400, and a small load is answered in time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import EndpointError, InputError, PromotionError
from notebooks_lib.serving.prediction_diff import largest_difference, same_form

if TYPE_CHECKING:
    from notebooks_lib.release.golden import Golden
    from notebooks_lib.serving.endpoint import Endpoint

SLACK = 0.02
"""Seconds that a p95 may always grow by: less is noise."""

MALFORMED: tuple[Any, ...] = (
    {},
    [],
    {"dataframe_split": 1},
    {"no_such_format": [[1]]},
    {"dataframe_records": [{"no such column": 1}]},
)


@dataclass(frozen=True)
class Probing:
    """Settings for the test requests that a release sends to a slot."""

    load: int = 60
    """Requests of the small load in the contract tests."""
    connections: int = 4
    """How many of them are sent at once."""
    quiet: float = 2.0
    """Seconds without a caller's request for the new version, after which a canary sends requests of its own."""
    most: int = 10
    """Most requests of its own to each version between two looks at the counts."""
    look_every: float = 0.2
    """Seconds between two looks at the counts."""


@dataclass(frozen=True)
class SlotCheck:
    """The result of one test of a slot."""

    id: str
    text: str
    """What was found."""
    ok: bool = True


def check_slot(
    endpoint: Endpoint,
    slot: str,
    golden: Golden,
    *,
    tolerance: float,
    champion: tuple[str, Golden] | None = None,
    ratio: float = 2.0,
    probing: Probing,
) -> list[SlotCheck]:
    """Test a slot before it gets traffic, and return the results. A failed test does not stop the others.

    `golden` are the predictions that it must reproduce within `tolerance`. `champion` is the slot and the golden
    predictions of the version in service: the new slot must accept the same requests, and its p95 may be at most
    `ratio` times as long.
    """
    checks = [_golden(endpoint, slot, golden, tolerance)]
    if champion is not None:
        checks.append(_interface(endpoint, slot, champion[1]))
    checks.append(_malformed(endpoint, slot))
    checks.append(_latency(endpoint, slot, golden, champion, ratio, probing))
    return checks


def format_failed_checks(checks: Sequence[SlotCheck]) -> str:
    """Return the failed checks in one line; empty when all passed."""
    return "; ".join(f"{check.id}: {check.text}" for check in checks if not check.ok)


def verify_golden(endpoint: Endpoint, golden: Golden, tolerance: float, *, slot: str | None = None) -> int:
    """Send the golden rows to an endpoint, and return the number of golden predictions that it reproduces.

    Raises PromotionError when the endpoint rejects a row, fails, or gives a prediction whose relative difference
    exceeds `tolerance`.
    """
    for request, expected in golden.pairs:
        try:
            answer = endpoint.invoke(request, slot=slot, probe=True)
        except (InputError, EndpointError) as error:
            raise PromotionError(f"endpoint {endpoint.name!r} does not answer known rows: {error}") from error
        apart = largest_difference(expected, answer.get("predictions") if isinstance(answer, Mapping) else None)
        if apart > tolerance:
            raise PromotionError(
                f"endpoint {endpoint.name!r} answers known rows otherwise than the model did when it was registered: "
                f"they differ by {apart:.3g}, promotion.tolerance is {tolerance:g}"
            )
    return golden.rows


def too_slow(new: float | None, old: float | None, ratio: float) -> str:
    """Return why a p95 of `new` seconds is too long beside `old` seconds; empty if it is not, or if one is unknown."""
    if new is None or old is None or new <= max(old * ratio, old + SLACK):
        return ""
    return f"its p95 is {1000 * new:.0f} ms, the champion's {1000 * old:.0f} ms: more than {ratio:g} times as long"


def _golden(endpoint: Endpoint, slot: str, golden: Golden, tolerance: float) -> SlotCheck:
    try:
        rows = verify_golden(endpoint, golden, tolerance, slot=slot)
    except PromotionError as error:
        return SlotCheck("predictions", str(error), ok=False)
    return SlotCheck("predictions", f"{rows} known rows are answered as when the version was registered")


def _interface(endpoint: Endpoint, slot: str, champion: Golden) -> SlotCheck:
    """Check that the champion's callers can send what they sent and read what they read."""
    for request, expected in champion.pairs:
        try:
            answer = endpoint.invoke(request, slot=slot, probe=True)["predictions"]
        except (InputError, EndpointError) as error:
            return SlotCheck("signature", f"it does not take what the champion's callers send: {error}", ok=False)
        if not same_form(expected, answer):
            return SlotCheck("signature", "it answers the champion's callers in another form", ok=False)
    return SlotCheck("signature", "it takes what the champion's callers send")


def _malformed(endpoint: Endpoint, slot: str) -> SlotCheck:
    for body in MALFORMED:
        try:
            answer = endpoint.session().ask(body, slot=slot)
            answer.result()
        except InputError as error:
            if answer.status != 400:
                return SlotCheck("malformed", f"{json.dumps(body)} is refused, but not with 400: {error}", ok=False)
        except EndpointError as error:
            return SlotCheck("malformed", f"{json.dumps(body)} is not refused with 400: {error}", ok=False)
        else:
            return SlotCheck("malformed", f"{json.dumps(body)} is answered, not refused", ok=False)
    return SlotCheck("malformed", f"{len(MALFORMED)} malformed requests are refused with 400")


def _latency(
    endpoint: Endpoint,
    slot: str,
    golden: Golden,
    champion: tuple[str, Golden] | None,
    ratio: float,
    probing: Probing,
) -> SlotCheck:
    def p95(slot: str, golden: Golden) -> float:
        return _p95(endpoint, slot, golden, probing)

    try:
        new = p95(slot, golden)
        old = p95(*champion) if champion else None
        if champion and too_slow(new, old, ratio):  # again: the machine may have been busy with something else
            new, old = p95(slot, golden), p95(*champion)
    except (InputError, EndpointError, OSError) as error:
        return SlotCheck("latency", f"it fails under {probing.connections} concurrent requests: {error}", ok=False)
    slow = too_slow(new, old, ratio)
    beside = f", the champion's {1000 * old:.0f} ms" if old is not None else ""
    return SlotCheck("latency", slow or f"its p95 is {1000 * new:.0f} ms under a small load{beside}", ok=not slow)


def _p95(endpoint: Endpoint, slot: str, golden: Golden, probing: Probing) -> float:
    """Return the p95 in seconds of a small load, as its callers wait for the answers."""
    request, session = golden.pairs[0][0], endpoint.session()

    def once(_: int) -> float:
        began = time.perf_counter()
        session.ask(request, slot=slot).result()
        return time.perf_counter() - began

    with ThreadPoolExecutor(probing.connections) as pool:
        times = sorted(pool.map(once, range(probing.load)))
    return times[int(0.95 * probing.load) - 1]
