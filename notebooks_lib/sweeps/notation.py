"""Owns how a distribution is written: `loguniform(1e-3, 10)`, or `{loguniform: [1e-3, 10]}` in a file. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from notebooks_lib import errors
from notebooks_lib.notebooks.parameter_types import Kind, shown
from notebooks_lib.sweeps import grid_axis
from notebooks_lib.sweeps.distributions import LARGEST, Choice, Distribution, Int, Normal, Uniform, short
from notebooks_lib.sweeps.grid_axis import Refused

FORMS = {
    "choice": "choice(a, b, ...)",
    "int": "int(low, high)",
    "randint": "randint(upper)",
    "uniform": "uniform(low, high)",
    "quniform": "quniform(low, high, q)",
    "loguniform": "loguniform(low, high)",
    "qloguniform": "qloguniform(low, high, q)",
    "normal": "normal(mu, sigma)",
    "qnormal": "qnormal(mu, sigma, q)",
    "lognormal": "lognormal(mu, sigma)",
    "qlognormal": "qlognormal(mu, sigma, q)",
}
MOST_CHOICES = 1000
_CALL = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)


def parse(given: object, kind: Kind) -> Distribution:
    """The distribution that a text or a one-key mapping (of a file) stands for. Raises Refused.

    `kind` reads the values of a choice; whether those of the others fit it is for `fitting` to say.
    """
    name, arguments = _call(given)
    if name not in FORMS:
        raise Refused(errors.unknown("distribution", name, FORMS))
    if name == "choice":
        values = grid_axis.read(arguments, kind)
        if len(values) > MOST_CHOICES:
            raise Refused(f"found {len(values):,} choices, allowed at most {MOST_CHOICES:,}; for numbers use int(...)")
        return Choice(values)
    items = grid_axis.split(arguments) if isinstance(arguments, str) else arguments
    if len(items) != FORMS[name].count(",") + 1:
        raise Refused(f"found {name} with {len([one for one in items if one != ''])} value(s), allowed {FORMS[name]}")
    if name in ("int", "randint"):
        whole = [_whole(item) for item in items]
        return _int(name, whole)
    first, second, *rest = (_number(item) for item in items)
    q = rest[0] if rest else None
    if q is not None and q <= 0:
        raise Refused(f"found the step {short(q)}, allowed one above 0: {FORMS[name]}")
    if name.endswith("uniform"):
        return _uniform(Uniform(first, second, q, "log" in name), FORMS[name])
    if second <= 0:
        raise Refused(f"found the standard deviation {short(second)}, allowed one above 0: {FORMS[name]}")
    if math.isinf(abs(first) + 10 * second):
        raise Refused(f"found {short(first)} and {short(second)}, which give values too large for a float")
    return Normal(first, second, q, "log" in name)


def _call(given: object) -> tuple[str, str | Sequence[object]]:
    """The name and what stands in the brackets."""
    if isinstance(given, Mapping) and len(given) == 1:
        ((name, arguments),) = given.items()
        listed = arguments if isinstance(arguments, str | list | tuple) else [arguments]
        return str.__str__(name) if isinstance(name, str) else str(name), listed
    match = _CALL.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is not None:
        return match[1], match[2]
    wayout = ""
    if isinstance(given, str) and ("," in given or ".." in given) and "(" not in given:
        wayout = f"; for listed values write choice({given.strip()})"
    elif isinstance(given, list | tuple):
        wayout = "; for listed values write {choice: [...]}"
    raise Refused(
        f"found {shown(given)}, allowed a distribution such as uniform(0, 1); one of {', '.join(FORMS)}{wayout}"
    )


def _int(name: str, given: Sequence[int]) -> Int:
    low, high = given if name == "int" else (0, given[0] - 1)
    if high < low:
        found = f"{low} and {high}" if name == "int" else high + 1
        allowed = "low not above high" if name == "int" else "an upper bound of 1 or more"
        raise Refused(f"found {found}, allowed {allowed}: {FORMS[name]}")
    if max(abs(low), abs(high)) > LARGEST:
        raise Refused(f"found a bound beyond 2**53, allowed whole numbers from {-LARGEST} to {LARGEST}")
    return Int(low, high)


def _uniform(wanted: Uniform, form: str) -> Uniform:
    low, high = short(wanted.low), short(wanted.high)
    if wanted.log and wanted.low <= 0:
        raise Refused(
            f"found the lower bound {low}, allowed one above 0: {form} takes the bounds of the value itself, "
            "not of its logarithm"
        )
    if wanted.low >= wanted.high:
        raise Refused(f"found {low} and {high}, allowed low below high: {form}")
    if math.isinf(wanted.high - wanted.low):
        raise Refused(f"found {low} and {high}, which are too far apart")
    return wanted


def _number(item: object) -> float:
    try:
        number = math.nan if isinstance(item, bool) else float(item)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"found {shown(item)}, allowed a finite number")
    return number


def _whole(item: object) -> int:
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    number = _number(item)  # 1e3 is a whole number too
    if not number.is_integer():
        raise Refused(f"found {shown(item)}, allowed a whole number")
    return int(number)
