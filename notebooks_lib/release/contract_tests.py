"""Test a slot of an endpoint with requests like those of its callers, before it gets their traffic. It changes nothing.

Each request is marked as a probe: it is not collected as data of the callers.

The contract: golden predictions are reproduced, what the champion's callers send is accepted, malformed requests are
refused with 400, and a small load is answered in time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import EndpointError, InputError, PromotionError
from notebooks_lib.serving import endpoint, endpoint_client, server_launch
from notebooks_lib.serving.endpoint_state import EndpointFolder
from notebooks_lib.serving.inference import difference, same_form

if TYPE_CHECKING:
    from notebooks_lib.release.golden import Golden
    from notebooks_lib.settings import Settings

LOAD = 60
"""Requests of the small load, sent over CONNECTIONS at once."""
CONNECTIONS = 4
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
class ContractCheck:
    """One check of the contract."""

    id: str
    text: str
    """What was found."""
    ok: bool = True


def contract(
    settings: Settings,
    name: str,
    slot: str,
    golden: Golden,
    *,
    champion: tuple[str, Golden] | None = None,
    ratio: float = 2.0,
) -> list[ContractCheck]:
    """Check a slot against the contract; `champion` is the slot and the golden predictions of the version in service.

    All checks are made, whatever the first ones say.
    """
    checks = [_golden(settings, name, slot, golden)]
    if champion is not None:
        checks.append(_interface(settings, name, slot, golden, champion[1]))
    checks.append(_malformed(settings, name, slot))
    checks.append(_latency(settings, name, slot, golden, champion, ratio))
    return checks


def refused(checks: Sequence[ContractCheck]) -> str:
    """Return what is wrong, in one line; empty when nothing is."""
    return "; ".join(f"{check.id}: {check.text}" for check in checks if not check.ok)


def predictions(settings: Settings, name: str, golden: Golden, *, slot: str | None = None) -> int:
    """Return how many known rows an endpoint answers as its version did when it was registered.

    Raises PromotionError when it refuses a row, fails, or answers otherwise than within promotion.tolerance.
    """
    for request, known in golden.pairs:
        try:
            answer = endpoint.invoke(settings, name, request, slot=slot, probe=True)
        except (InputError, EndpointError) as error:
            raise PromotionError(f"endpoint {name!r} does not answer known rows: {error}") from error
        apart = difference(known, answer.get("predictions") if isinstance(answer, Mapping) else None)
        if apart > settings.promotion.tolerance:
            raise PromotionError(
                f"endpoint {name!r} answers known rows otherwise than the model did when it was registered: they "
                f"differ by {apart:.3g}, promotion.tolerance is {settings.promotion.tolerance:g}"
            )
    return golden.rows


def asker(settings: Settings, name: str) -> Callable[[object, str | None], Any]:
    """Return a function that sends requests like `endpoint.invoke`, without reading the endpoint's status each time."""
    folder = EndpointFolder(settings, name)
    current = folder.read()
    if current is None:
        raise EndpointError(f"endpoint {name!r} is gone")
    address = server_launch.listens_at(current)
    key = "" if address.loopback else folder.secret()
    return lambda payload, slot: endpoint_client.invoke(address, payload, key=key, slot=slot, probe=True)


def too_slow(new: float | None, old: float | None, ratio: float) -> str:
    """Return why a p95 of `new` seconds is too long beside one of `old`; empty when it is not, or one is unknown."""
    if new is None or old is None or new <= max(old * ratio, old + SLACK):
        return ""
    return f"its p95 is {1000 * new:.0f} ms, the champion's {1000 * old:.0f} ms: more than {ratio:g} times as long"


def _golden(settings: Settings, name: str, slot: str, golden: Golden) -> ContractCheck:
    try:
        rows = predictions(settings, name, golden, slot=slot)
    except PromotionError as error:
        return ContractCheck("predictions", str(error), ok=False)
    return ContractCheck("predictions", f"{rows} known rows are answered as when the version was registered")


def _interface(settings: Settings, name: str, slot: str, golden: Golden, champion: Golden) -> ContractCheck:
    """Check that the champion's callers can send what they sent and read what they read."""
    for request, known in champion.pairs:
        try:
            answer = endpoint.invoke(settings, name, request, slot=slot, probe=True)["predictions"]
        except (InputError, EndpointError) as error:
            return ContractCheck("signature", f"it does not take what the champion's callers send: {error}", ok=False)
        if not same_form(known, answer):
            return ContractCheck("signature", "it answers the champion's callers in another form", ok=False)
    return ContractCheck("signature", "it takes what the champion's callers send")


def _malformed(settings: Settings, name: str, slot: str) -> ContractCheck:
    for body in MALFORMED:
        try:
            endpoint.invoke(settings, name, body, slot=slot, probe=True)
        except InputError as error:
            if "(400)" not in str(error):
                return ContractCheck("malformed", f"{json.dumps(body)} is refused, but not with 400: {error}", ok=False)
        except EndpointError as error:
            return ContractCheck("malformed", f"{json.dumps(body)} is not refused with 400: {error}", ok=False)
        else:
            return ContractCheck("malformed", f"{json.dumps(body)} is answered, not refused", ok=False)
    return ContractCheck("malformed", f"{len(MALFORMED)} malformed requests are refused with 400")


def _latency(
    settings: Settings, name: str, slot: str, golden: Golden, champion: tuple[str, Golden] | None, ratio: float
) -> ContractCheck:
    try:
        new = _p95(settings, name, slot, golden)
        old = _p95(settings, name, *champion) if champion else None
        if champion and too_slow(new, old, ratio):  # something else may have kept this machine busy: once more
            new, old = _p95(settings, name, slot, golden), _p95(settings, name, *champion)
    except (InputError, EndpointError, OSError) as error:
        return ContractCheck("latency", f"it does not stand {CONNECTIONS} requests at once: {error}", ok=False)
    slow = too_slow(new, old, ratio)
    beside = f", the champion's {1000 * old:.0f} ms" if old is not None else ""
    return ContractCheck("latency", slow or f"its p95 is {1000 * new:.0f} ms under a small load{beside}", ok=not slow)


def _p95(settings: Settings, name: str, slot: str, golden: Golden) -> float:
    request, ask = golden.pairs[0][0], asker(settings, name)

    def once(_: int) -> float:
        began = time.perf_counter()
        ask(request, slot)
        return time.perf_counter() - began

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        times = sorted(pool.map(once, range(LOAD)))
    return times[int(0.95 * LOAD) - 1]
