"""The samplers and pruners of a search: their names, and how Optuna makes them. Optuna is imported late.

Azure ML's sweep job has its own (`--service`): `azure.sweep_job` says what is sent for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from notebooks_lib import errors

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def _tpe(seed: int | None, jobs: int, trials: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    # Running trials count as bad ones. Otherwise several parallel trials would get the same values.
    return TPESampler(seed=seed, constant_liar=jobs > 1)


def _random(seed: int | None, jobs: int, trials: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


SAMPLERS: Mapping[str, Callable[[int | None, int, int], BaseSampler]] = {"tpe": _tpe, "random": _random}
"""The function of each sampler takes a seed, the number of parallel trials and the number of trials to come. Options
and sweep files allow these names."""
DEFAULT_SAMPLER = "tpe"
PRUNERS = ("median", "percentile:25", "hyperband")
SERVICE_SAMPLERS = ("random", "sobol", "bayesian")
"""How Azure ML draws from a space; a grid it runs as a whole."""
SERVICE_DEFAULT_SAMPLER = "random"
ALL_SAMPLERS = tuple(dict.fromkeys((*SAMPLERS, *SERVICE_SAMPLERS)))
SERVICE_PRUNERS = ("median", "truncation:20", "bandit:0.1")


def make_sampler(name: str, seed: int | None, jobs: int, trials: int) -> BaseSampler:
    """Return the sampler of that name for `trials` more trials, `jobs` of them in parallel."""
    return SAMPLERS[name](seed, jobs, trials)


def make_pruner(text: str | None) -> BasePruner:
    """Return the pruner that `text` names; for None, a pruner that never prunes."""
    from optuna import pruners

    name, percentage = parse_pruner(text) if text is not None else ("", 0.0)
    if name == "hyperband":
        return pruners.HyperbandPruner()
    return pruners.PercentilePruner(percentage) if name else pruners.NopPruner()


def parse_pruner(text: str) -> tuple[str, float]:
    """Return the pruner's name and the percentage of trials that it keeps. Raise UsageError for any other text."""
    name, colon, number = text.strip().lower().partition(":")
    try:
        percentage = float(number) if colon else {"median": 50.0, "hyperband": 0.0}[name]
    except (KeyError, ValueError):
        percentage = math.nan
    if (name == "percentile" and 0 < percentage < 100) or (name in ("median", "hyperband") and not colon):
        return name, percentage
    raise _unknown_pruner(text, name, PRUNERS, "the number is the percentage of trials to keep, between 0 and 100")


def parse_service_pruner(text: str) -> tuple[str, float]:
    """Return the name of Azure ML's policy, and its number or 0. Raise UsageError for any other text."""
    name, colon, number = text.strip().lower().partition(":")
    try:
        amount = float(number) if colon else 0.0
    except ValueError:
        amount = math.nan
    if name == "median" and not colon:
        return name, amount
    if name == "truncation" and amount.is_integer() and 1 <= amount <= 99:
        return name, amount
    if name == "bandit" and 0 < amount < math.inf:
        return name, amount
    meaning = (
        "the number is the percentage of trials to end, 1 to 99, or the share of the best value by which a trial may"
        " be worse"
    )
    raise _unknown_pruner(text, name, SERVICE_PRUNERS, meaning)


def _unknown_pruner(text: str, name: str, allowed: Sequence[str], meaning: str) -> errors.UsageError:
    match = errors.nearest(name, [pruner.partition(":")[0] for pruner in allowed])
    nearest = f", did you mean {match!r}?" if match and match != name else ""
    return errors.UsageError(f"found the pruner {text!r}{nearest} (allowed: {', '.join(allowed)}; {meaning})")
