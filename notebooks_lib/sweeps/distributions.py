"""Owns the distributions that a parameter may be drawn from: which value lies where in each of them. Pure.

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

The bounds of loguniform are those of the value itself: Azure ML's own loguniform takes their logarithms. `round` is
Python's (halves to the even one), as in Azure ML and hyperopt: a q-form may reach q/2 beyond low and high.

A normal has no bounds of its own. Where the notebook's schema has some, the normal is truncated to them: what is drawn
is what drawing again until a value is allowed would give, so no value piles up on a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from notebooks_lib.notebooks import expressions

LARGEST = 2**53
"""Beyond it not every whole number is a float, and samplers calculate with floats."""
_TAIL = 1e-12  # of a normal's probability on each side: seven standard deviations


@dataclass(frozen=True)
class Choice:
    """One of a few values, of any kind."""

    values: tuple[object, ...]

    def at(self, place: int) -> object:
        """The value at a place, from 0."""
        return self.values[place]

    def __str__(self) -> str:
        return f"choice({', '.join(map(expressions.source, self.values))})"


@dataclass(frozen=True)
class Int:
    """A whole number, both ends included."""

    low: int
    high: int

    def at(self, place: int) -> object:
        """The number itself."""
        return place

    def __str__(self) -> str:
        return f"int({self.low}, {self.high})"


@dataclass(frozen=True)
class Uniform:
    """Even over the value, or (`log`) over its logarithm; `q` rounds to a multiple."""

    low: float
    high: float
    q: float | None = None
    log: bool = False

    def at(self, share: float) -> object:
        """The value below which `share` (0 to 1) of the probability lies."""
        if self.log:
            first, last = math.log(self.low), math.log(self.high)
            value = math.exp(first + (last - first) * share)
        else:
            value = self.low + (self.high - self.low) * share
        value = min(max(value, self.low), self.high)
        return value if self.q is None else multiple(round(value / self.q), self.q)

    def __str__(self) -> str:
        return _written(self, "uniform", self.low, self.high)


@dataclass(frozen=True)
class Normal:
    """Normal, or (`log`) its exponential, truncated to what the schema allows; `q` rounds to a multiple."""

    mu: float
    sigma: float
    q: float | None = None
    log: bool = False
    low: float = -math.inf
    high: float = math.inf

    @property
    def inside(self) -> tuple[float, float]:
        """The shares of the untruncated probability that lie below `low` and below `high`."""
        from statistics import NormalDist

        normal = NormalDist(self.mu, self.sigma)
        low, high = self.low, self.high
        if self.log:
            low, high = (math.log(bound) if bound > 0 else -math.inf for bound in (low, high))
        return normal.cdf(low), normal.cdf(high)

    @property
    def multiples(self) -> tuple[float, float]:
        """The first and last k for which k * q lies inside; infinite where nothing bounds them."""
        q = Fraction(repr(self.q))
        low = -math.inf if math.isinf(self.low) else math.ceil(Fraction(repr(self.low)) / q)
        high = math.inf if math.isinf(self.high) else math.floor(Fraction(repr(self.high)) / q)
        return low, high

    def at(self, share: float) -> object:
        """The value below which `share` (0 to 1) of the probability lies."""
        from statistics import NormalDist

        first, last = self.inside
        share = first + (last - first) * _inner(share)
        value = NormalDist(self.mu, self.sigma).inv_cdf(_inner(share))
        value = min(max(math.exp(value) if self.log else value, self.low), self.high)
        if self.q is None:
            return value
        low, high = self.multiples
        return multiple(int(min(max(round(value / self.q), low), high)), self.q)

    def __str__(self) -> str:
        return _written(self, "normal", self.mu, self.sigma)


Distribution = Choice | Int | Uniform | Normal


def _inner(share: float) -> float:
    """Not quite 0 or 1: there a normal is infinite, and a truncated one lies on a bound that may be excluded."""
    return min(max(share, _TAIL), 1 - _TAIL)


def multiple(k: int, q: float) -> float | int:
    """k * q without the noise of floats (3 * 0.1 is 0.3); an int if q is whole."""
    return k * int(q) if q.is_integer() else float(k * Decimal(repr(q)))


def short(number: float) -> str:
    """A number without a fraction that says nothing."""
    return str(int(number)) if number.is_integer() and abs(number) < LARGEST else repr(number)


def _written(which: Uniform | Normal, name: str, *numbers: float) -> str:
    given = [*numbers, which.q] if which.q is not None else numbers
    return f"{'q' if which.q is not None else ''}{'log' if which.log else ''}{name}({', '.join(map(short, given))})"
