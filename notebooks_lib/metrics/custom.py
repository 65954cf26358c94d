"""A user's function as a metric that can decide: named by its module, or handed over. It knows none of the table's."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable

from notebooks_lib.errors import UsageError, reason
from notebooks_lib.metrics.metric import Answers, Direction, Metric, Task, Truth


def own(
    function: Callable[..., float], direction: Direction, *, task: Task = "regression", name: str | None = None
) -> Metric:
    """A metric from a function of true values and answers; it is given `probabilities` when it has such a parameter.

    Runs log it under `name`, which is the function's unless another is given.
    """
    chances = "probabilities" in inspect.signature(function).parameters

    def score(truth: Truth, answers: Answers) -> float:
        given = {"probabilities": answers.probabilities} if chances else {}
        return float(function(truth.values, answers.values, **given))

    named = name or function.__name__
    return Metric(named, direction, task, score, needs_probabilities=chances, own=True, code=_code(function))


def _code(function: Callable[..., float]) -> str:
    """Digest of the whole module, for a function uses others, and constants."""
    for source in (inspect.getmodule(function), function):
        try:
            return hashlib.sha256(inspect.getsource(source).encode()).hexdigest()  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue  # made without a file, as in a notebook's cell; at last its name must do
    return ""


def imported(text: str) -> Metric:
    """The metric that "module:function:min" names. Raises UsageError when there is no such function."""
    module, function, said, *rest = text.split(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module is anybody's code
        raise UsageError(f"metric {text!r}: it cannot be imported: {reason(error)}") from error
    if not callable(found):
        raise UsageError(f"metric {text!r}: {function} is no function")
    task: Task = "classification" if rest else "regression"
    return own(found, "min" if said == "min" else "max", task=task, name=function)
