"""Score a model, loaded from its files, on rows with known targets. It reads no logged metric and decides nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebooks_lib.errors import ModelError, UsageError, as_model_error, reason
from notebooks_lib.metrics.builtin import score_all
from notebooks_lib.metrics.metric import Answers, Metric, Task, Truth
from notebooks_lib.models import input_schema, logged_models, serving_skew
from notebooks_lib.old_names import forwarding

if TYPE_CHECKING:
    import numpy as np

    from notebooks_lib.datasets import Dataset, Part

    Array = np.ndarray[Any, Any]

SINGLE = 20
"""Rows that are also predicted one by one."""
CLOSE = 1e-4
"""Largest relative difference of two predictions for one row that rounding explains, in single precision too."""
ROUNDED = 1e-6
"""How far a probability may be outside 0 to 1."""


@dataclass(frozen=True)
class Scores:
    """The score, predictions and row losses of a model on some rows."""

    value: float
    """By the metric that decides; NaN where the metric is undefined for these rows."""
    metrics: Mapping[str, float]
    """By every metric of the same task."""
    rows: int
    rows_sha256: str
    """Digest of features and target: models with the same digest were scored on the same rows."""
    predictions_sha256: str
    losses: tuple[float, ...] = field(default=(), repr=False)
    """One loss for each row, lower is better; empty when the metric has none."""
    answers: Answers | None = field(default=None, repr=False)
    """In the order of the rows, so that two models can be paired."""


def score_model(source: str, part: Part, metric: Metric, truth: Truth) -> Scores:
    """Score the model at `source` on the rows of `part`, whose true values are `truth`.

    Raises ModelError when it cannot be loaded, raises an error, or returns missing values or too few or many values.
    """
    return _scores(part, metric, truth, _answers(source, part, metric, truth))


def score_baseline(train: Part, part: Part, metric: Metric, truth: Truth) -> Scores:
    """Score a trivial baseline, fitted on `train`, on the rows of `part`, whose true values are `truth`.

    It predicts the mean of the training targets, or their most frequent class, with the classes' shares as
    probabilities.
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor

    targets = _values(train, metric.task)
    features = part.frame.index.to_numpy()[:, None]
    if metric.task == "regression":
        model = DummyRegressor(strategy="mean").fit(targets[:, None], targets)
        return _scores(part, metric, truth, Answers(model.predict(features)))
    model = DummyClassifier(strategy="prior").fit(targets[:, None], targets)
    chances = _aligned(model.predict_proba(features), model.classes_, truth)
    return _scores(part, metric, truth, Answers(model.predict(features), chances))


def baseline_name(metric: Metric) -> str:
    """Return a description of the baseline, for display: what of it the metric judges."""
    if metric.task == "regression":
        return "the mean of the training rows"
    answer = "class shares" if metric.needs_probabilities else "most frequent class"
    return f"the {answer} of the training rows"


def truth_of(dataset: Dataset, part: Part, metric: Metric) -> Truth:
    """Return the true values of a part. Raises UsageError when the dataset's target does not fit the metric."""
    values = _values(part, metric.task)
    if metric.task == "regression":
        return Truth(values)
    import numpy as np

    parts = (dataset.train, dataset.validation, part)
    targets = np.concatenate([_values(rows, metric.task) for rows in parts])
    return Truth(values, _ordered(np.unique(targets), metric.positive))


def _ordered(classes: Array, positive: str) -> Array:
    """Return the classes with the positive one last; sorted by name when `positive` is empty."""
    import numpy as np

    if not positive:
        return classes
    names = [str(name) for name in classes.tolist()]
    if len(names) != 2:
        raise UsageError(f"positive={positive}: of {len(names)} classes none is the positive one; leave it out")
    if positive not in names:
        raise UsageError(f"positive={positive}: the target has the classes {' and '.join(names)}")
    return np.asarray(classes[::-1] if names[0] == positive else classes)


def unsteadiness(source: str, part: Part, metric: Metric) -> str:
    """Return why the same row may get different predictions; empty when predictions are steady.

    A row must get the same prediction alone and among others, in any order, and when predicted twice. A model that
    standardises by the rows of the request, or draws random numbers, would give callers other predictions than those
    that were scored. The probabilities of a classifier are checked in the same way. Raises ModelError when the model
    raises an error.
    """
    model = logged_models.load(source)
    why = _unsteady(lambda rows: _predicted(model, rows, metric.task, part.name), part.X)
    if why or metric.task == "regression":
        return why
    try:
        chances = _probability_function(logged_models.native(source), model)
        chances(part.X.iloc[:1])
    except Exception:  # noqa: BLE001 - it has none; a metric that needs them says so
        return ""
    with as_model_error(f"it gives no probabilities of some {part.name} rows"):
        return _unsteady(chances, part.X)


def _unsteady(ask: Callable[[Any], Array], rows: Any) -> str:
    import numpy as np

    together, repeated = ask(rows), ask(rows)
    if not _equal_but_rounding(together, repeated):
        return "it predicts other values for the same rows when asked again; fix its random seed"
    places = np.unique(np.linspace(0, len(rows) - 1, min(SINGLE, len(rows))).astype(int))
    single = [ask(rows.iloc[place : place + 1]) for place in places]
    different = sum(
        not _equal_but_rounding(together[place : place + 1], alone) for place, alone in zip(places, single, strict=True)
    )
    if different:
        return (
            f"it answers {different} of {len(places)} rows differently alone than among others: a step learns from the "
            "rows that it is asked about; let it learn in fit only"
        )
    order = np.random.default_rng(0).permutation(len(rows))
    complete = len(together) == len(rows)  # else its score says what is wrong
    if complete and not _equal_but_rounding(together[order], ask(rows.iloc[order])):
        return "it answers rows differently in another order: a step uses neighbouring rows; let it use each row alone"
    return ""


def _probability_function(native: Any, model: Any) -> Callable[[Any], Array]:
    """Return a function that predicts probabilities with the model's own library."""
    import numpy as np

    columns = model.metadata.get_input_schema()
    named = columns.input_names() if columns is not None and columns.has_input_names() else None

    def ask(rows: Any) -> Array:
        served = _served(model, rows)
        return np.asarray(native.predict_proba(served[named] if named else served), dtype=float)

    return ask


def _equal_but_rounding(first: Array, second: Array) -> bool:
    """Return True if two arrays are equal but for the rounding of sums in another order."""
    import numpy as np

    if first.shape != second.shape:
        return False
    if first.dtype.kind == "f":
        return bool(np.allclose(first, second, rtol=CLOSE, atol=CLOSE * float(np.abs(first).max(initial=0.0))))
    return bool((first == second).all())


def _values(part: Part, task: Task) -> Array:
    import numpy as np

    if part.y is None:
        raise UsageError("the dataset has no target, so no model can be scored on it; add it with --target")
    if task == "regression":
        try:
            return np.asarray(part.y, dtype=float)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"target {part.target!r} is no number; decide by a metric of classification such as accuracy"
            ) from error
    return np.asarray(part.y.tolist())


def _answers(source: str, part: Part, metric: Metric, truth: Truth) -> Answers:
    import numpy as np

    model = logged_models.load(source)
    values = _predicted(model, part.X, metric.task, part.name)
    if values.shape != (len(part),):
        raise ModelError(f"it answers {len(part)} {part.name} rows with a result of shape {values.shape}")
    missing = int(np.sum(values != values))
    if missing:
        raise ModelError(f"it answers {missing} of {len(part)} {part.name} rows with a missing value")
    if metric.task == "regression" and not np.isfinite(values).all():
        raise ModelError(f"it answers some of the {len(part)} {part.name} rows with an infinite value")
    if metric.task == "regression":
        return Answers(values)
    _check_classes(values, truth)
    return Answers(values, _probabilities(source, model, part, metric, truth))


def _predicted(model: Any, rows: Any, task: Task, name: str) -> Array:
    """Return the model's predictions for some rows, as one column."""
    import numpy as np

    try:
        answers = model.predict(_served(model, rows))
        kind = float if task == "regression" else None
        values = np.asarray(answers.to_numpy() if hasattr(answers, "to_numpy") else answers, dtype=kind)
    except Exception as error:  # a model is foreign code
        raise ModelError(f"it does not predict the {name} rows: {_error_text(error)}") from error
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _served(model: Any, rows: Any) -> Any:
    """Return the rows as a served model gets them."""
    return serving_skew.as_served(rows, input_schema.columns_of(model.metadata.get_input_schema()))


def _probabilities(source: str, model: Any, part: Part, metric: Metric, truth: Truth) -> Array | None:
    """Return probabilities (rows x classes) from the model's own library; None when it has none and none are needed."""
    import numpy as np

    try:
        native = logged_models.native(source)
        chances = _aligned(_probability_function(native, model)(part.X), native.classes_, truth)
        if not np.isfinite(chances).all() or len(chances) != len(part):
            raise ValueError("some are missing")
        if chances.min(initial=0.0) < -ROUNDED or chances.max(initial=0.0) > 1 + ROUNDED:
            raise ValueError(f"they go from {chances.min():.4g} to {chances.max():.4g}, not from 0 to 1")
        return np.clip(chances, 0.0, 1.0)
    except ModelError:
        raise
    except Exception as error:
        if metric.needs_probabilities:
            raise ModelError(f"{metric.name} needs probabilities, and it gives none: {_error_text(error)}") from error
        return None


def _aligned(probabilities: Array, classes: Any, truth: Truth) -> Array:
    """Order the columns as in `truth.classes`; a class that the model has never seen gets probability 0."""
    import numpy as np

    assert truth.classes is not None
    _check_classes(classes, truth)
    place = {name: index for index, name in enumerate(np.asarray(classes).tolist())}
    empty = np.zeros(len(probabilities))
    return np.column_stack(
        [probabilities[:, place[name]] if name in place else empty for name in truth.classes.tolist()]
    )


def _check_classes(classes: Any, truth: Truth) -> None:
    """Raise ModelError when no class of the model occurs in the data: 0 and 1, say, where the data have no and yes."""
    import numpy as np

    own = np.unique(np.asarray(classes)).tolist()
    targets = [] if truth.classes is None else truth.classes.tolist()
    if targets and own and not {*own} & {*targets}:
        model, data = (", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "") for names in (own, targets))
        raise ModelError(
            f"the model knows the classes {model}, and the data have {data}; fit it on the target as the data have it"
        )


def _scores(part: Part, metric: Metric, truth: Truth, answers: Answers) -> Scores:
    try:
        every = score_all(metric.task, truth, answers)
        value = float(metric.score(truth, answers)) if metric.own else every[metric.name]
        losses = tuple(metric.losses(truth, answers).tolist()) if metric.losses else ()
    except Exception as error:  # labels of another type than the target, for one
        raise ModelError(f"its answers cannot be scored: {_error_text(error)}") from error
    return Scores(value, every, len(part), _rows_digest(part), _digest(answers), losses, answers)


def _rows_digest(part: Part) -> str:
    import pandas as pd

    return hashlib.sha256(pd.util.hash_pandas_object(part.frame, index=False).to_numpy().tobytes()).hexdigest()


def _digest(answers: Answers) -> str:
    parts = [answers.values.tolist(), None if answers.probabilities is None else answers.probabilities.tolist()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {reason(error)}" if str(error).strip() else type(error).__name__


__getattr__ = forwarding(__name__)
