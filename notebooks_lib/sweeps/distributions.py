"""The distributions of swept parameters: how they are written, and which value each share of probability gives. Pure.

    choice(a, b, ...)               one of the values; also choice(["a,b", "c"]) and choice(1..5)
    int(low, high)                  a whole number from low to high, both included
    randint(upper)                  a whole number from 0 to upper - 1
    uniform(low, high)              x, each equally likely
    quniform(low, high, q)          round(x / q) * q of such an x
    loguniform(low, high)           exp(x), x uniform from log(low) to log(high)
    qloguniform(low, high, q)       round(exp(x) / q) * q of such an x
    normal(mu, sigma)               x, normal with mean mu and standard deviation sigma
    qnormal(mu, sigma, q)           round(x / q) * q of such an x
    lognormal(mu, sigma)            exp(x) of such an x
    qlognormal(mu, sigma, q)        round(exp(x) / q) * q of such an x

The bounds of loguniform are bounds of the value itself; Azure ML's loguniform takes their logarithms. `round` is
Python's (halves go to the even number), as in Azure ML and hyperopt. A form with q may exceed low and high by q/2.

A normal has no bounds of its own. If the notebook's schema has bounds, the normal is truncated to them, as if values
were drawn again until one is allowed. So no value piles up at a bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from notebooks_lib import errors
from notebooks_lib.notebooks import expressions
from notebooks_lib.notebooks.parameter_types import ParameterType, short_repr
from notebooks_lib.sweeps import parameter_grid
from notebooks_lib.sweeps.parameter_grid import InvalidSearchSpace

LARGEST = 2**53
"""Beyond it, floats cannot hold every whole number, and samplers calculate with floats."""
_TAIL = 1e-12  # probability that is cut off on each side of a normal: seven standard deviations


@dataclass(frozen=True)
class Choice:
    """One of a few values of any type."""

    values: tuple[object, ...]

    def at(self, place: int) -> object:
        """Return the value at the index `place`."""
        return self.values[place]

    def __str__(self) -> str:
        return f"choice({', '.join(map(expressions.write_literal, self.values))})"


@dataclass(frozen=True)
class Int:
    """A whole number; both bounds are included."""

    low: int
    high: int

    def at(self, place: int) -> object:
        """Return the whole number at the coordinate `place`, which is the number itself."""
        return place

    def __str__(self) -> str:
        return f"int({self.low}, {self.high})"


@dataclass(frozen=True)
class Uniform:
    """Uniform, or with `log` uniform in the logarithm; `q` rounds to a multiple."""

    low: float
    high: float
    q: float | None = None
    log: bool = False

    def at(self, share: float) -> object:
        """Return the quantile for `share`, from 0 to 1."""
        if self.log:
            first, last = math.log(self.low), math.log(self.high)
            value = math.exp(first + (last - first) * share)
        else:
            value = self.low + (self.high - self.low) * share
        value = min(max(value, self.low), self.high)
        return value if self.q is None else exact_multiple(round(value / self.q), self.q)

    def __str__(self) -> str:
        return _written(self, "uniform", self.low, self.high)


@dataclass(frozen=True)
class Normal:
    """Normal, or with `log` lognormal, truncated to the schema's range; `q` rounds to a multiple."""

    mu: float
    sigma: float
    q: float | None = None
    log: bool = False
    low: float = -math.inf
    high: float = math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The probabilities of values below `low` and below `high` before the normal is truncated."""
        from statistics import NormalDist

        normal = NormalDist(self.mu, self.sigma)
        low, high = self.low, self.high
        if self.log:
            low, high = (math.log(bound) if bound > 0 else -math.inf for bound in (low, high))
        return normal.cdf(low), normal.cdf(high)

    @property
    def multiples(self) -> tuple[float, float]:
        """The smallest and largest k for which k * q lies inside the range; infinite without a bound."""
        q = Fraction(repr(self.q))
        low = -math.inf if math.isinf(self.low) else math.ceil(Fraction(repr(self.low)) / q)
        high = math.inf if math.isinf(self.high) else math.floor(Fraction(repr(self.high)) / q)
        return low, high

    def at(self, share: float) -> object:
        """Return the quantile for `share`, from 0 to 1."""
        from statistics import NormalDist

        first, last = self.inside
        share = first + (last - first) * _inner(share)
        value = NormalDist(self.mu, self.sigma).inv_cdf(_inner(share))
        value = min(max(math.exp(value) if self.log else value, self.low), self.high)
        if self.q is None:
            return value
        low, high = self.multiples
        return exact_multiple(int(min(max(round(value / self.q), low), high)), self.q)

    def __str__(self) -> str:
        return _written(self, "normal", self.mu, self.sigma)


Distribution = Choice | Int | Uniform | Normal


def _inner(share: float) -> float:
    """Keep a share away from 0 and 1, where a normal is infinite and a truncated one may hit an excluded bound."""
    return min(max(share, _TAIL), 1 - _TAIL)


def exact_multiple(k: int, q: float) -> float | int:
    """Return k * q without rounding noise (3 * 0.1 is 0.3); an int if q is whole."""
    return k * int(q) if q.is_integer() else float(k * Decimal(repr(q)))


def short_number(number: float) -> str:
    """Format a number, without `.0` if it is whole."""
    return str(int(number)) if number.is_integer() and abs(number) < LARGEST else repr(number)


def _written(which: Uniform | Normal, name: str, *numbers: float) -> str:
    arguments = [*numbers, which.q] if which.q is not None else numbers
    form = f"{'q' if which.q is not None else ''}{'log' if which.log else ''}{name}"
    return f"{form}({', '.join(map(short_number, arguments))})"


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


def parse_distribution(written: object, kind: ParameterType) -> Distribution:
    """Return the distribution that a text, or a mapping with one key in a file, describes. Raise InvalidSearchSpace.

    `kind` reads the values of a choice. `search_space.fit_to_type` checks the other distributions against it.
    """
    name, arguments = _call(written)
    if name not in FORMS:
        raise InvalidSearchSpace(errors.unknown("distribution", name, FORMS))
    if name == "choice":
        values = parameter_grid.read_values(arguments, kind)
        if len(values) > MOST_CHOICES:
            raise InvalidSearchSpace(
                f"found {len(values):,} choices, allowed at most {MOST_CHOICES:,}; for numbers use int(...)"
            )
        return Choice(values)
    items = parameter_grid.split_at_commas(arguments) if isinstance(arguments, str) else arguments
    if len(items) != FORMS[name].count(",") + 1:
        raise InvalidSearchSpace(
            f"found {name} with {len([item for item in items if item != ''])} value(s), allowed {FORMS[name]}"
        )
    if name in ("int", "randint"):
        return _parse_int(name, [_whole_number(item) for item in items])
    first, second, *rest = (_number(item) for item in items)
    q = rest[0] if rest else None
    if q is not None and q <= 0:
        raise InvalidSearchSpace(f"found the step {short_number(q)}, allowed one above 0: {FORMS[name]}")
    if name.endswith("uniform"):
        return _checked_uniform(Uniform(first, second, q, "log" in name), FORMS[name])
    if second <= 0:
        raise InvalidSearchSpace(
            f"found the standard deviation {short_number(second)}, allowed one above 0: {FORMS[name]}"
        )
    if math.isinf(abs(first) + 10 * second):
        raise InvalidSearchSpace(
            f"found {short_number(first)} and {short_number(second)}, which give values too large for a float"
        )
    return Normal(first, second, q, "log" in name)


def _call(written: object) -> tuple[str, str | Sequence[object]]:
    """Return the name and the arguments."""
    if isinstance(written, Mapping) and len(written) == 1:
        ((name, arguments),) = written.items()
        listed = arguments if isinstance(arguments, str | list | tuple) else [arguments]
        return str.__str__(name) if isinstance(name, str) else str(name), listed
    match = _CALL.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is not None:
        return match[1], match[2]
    remedy = ""
    if isinstance(written, str) and ("," in written or ".." in written) and "(" not in written:
        remedy = f"; for listed values write choice({written.strip()})"
    elif isinstance(written, list | tuple):
        remedy = "; for listed values write {choice: [...]}"
    raise InvalidSearchSpace(
        f"found {short_repr(written)}, allowed a distribution such as uniform(0, 1); one of {', '.join(FORMS)}{remedy}"
    )


def _parse_int(name: str, arguments: Sequence[int]) -> Int:
    low, high = arguments if name == "int" else (0, arguments[0] - 1)
    if high < low:
        bounds = f"{low} and {high}" if name == "int" else high + 1
        allowed = "low not above high" if name == "int" else "an upper bound of 1 or more"
        raise InvalidSearchSpace(f"found {bounds}, allowed {allowed}: {FORMS[name]}")
    if max(abs(low), abs(high)) > LARGEST:
        raise InvalidSearchSpace(f"found a bound beyond 2**53, allowed whole numbers from {-LARGEST} to {LARGEST}")
    return Int(low, high)


def _checked_uniform(distribution: Uniform, form: str) -> Uniform:
    low, high = short_number(distribution.low), short_number(distribution.high)
    if distribution.log and distribution.low <= 0:
        raise InvalidSearchSpace(
            f"found the lower bound {low}, allowed one above 0: {form} takes the bounds of the value itself, "
            "not of its logarithm"
        )
    if distribution.low >= distribution.high:
        raise InvalidSearchSpace(f"found {low} and {high}, allowed low below high: {form}")
    if math.isinf(distribution.high - distribution.low):
        raise InvalidSearchSpace(f"found {low} and {high}, which are too far apart")
    return distribution


def _number(item: object) -> float:
    try:
        number = math.nan if isinstance(item, bool) else float(item)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidSearchSpace(f"found {short_repr(item)}, allowed a finite number")
    return number


def _whole_number(item: object) -> int:
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    number = _number(item)  # 1e3 is a whole number too
    if not number.is_integer():
        raise InvalidSearchSpace(f"found {short_repr(item)}, allowed a whole number")
    return int(number)
