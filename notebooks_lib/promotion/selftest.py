"""Test the gate: put pairs of models with a known true gain before it, and count its answers.

A gate that promotes whatever looks better, ignores that both models saw the same rows, or tests at another level than
stated fails here. Rows and predictions are real: scikit-learn's bundled tables, predicted out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.metrics.metric import Answers, Metric, Truth
from notebooks_lib.promotion.decision import Answer, decide
from notebooks_lib.promotion.evidence import Evidence, Side, Uses
from notebooks_lib.promotion.paired_gain import paired_gain
from notebooks_lib.promotion.policy import Policy
from notebooks_lib.statistics.paired_jackknife import PairedGain
from notebooks_lib.statistics.simulated_population import Population, planted_population

Array = np.ndarray[Any, Any]
Gate = Callable[[Metric, Truth, Answers, Answers, Policy], Answer]
"""A gate: from the predictions of challenger and champion for the same rows to an answer."""

EQUAL = 400
CLEAR = 40
RARE = 60
LIMIT = int(stats.binom.ppf(1 - 1e-6, EQUAL, 0.05))
"""Promotions among `EQUAL` equal pairs that a gate at level 0.05 exceeds once in a million self-tests."""
SEED = 20240229


@dataclass(frozen=True)
class SelftestCheck:
    """One requirement of the promotion gate, and whether it is met."""

    name: str
    ok: bool
    found: str
    wanted: str


@dataclass(frozen=True)
class PredictedTable:
    """The true values of a table, and out-of-fold predictions of several models."""

    truth: Truth
    models: Mapping[str, Answers]


CASES = (
    ("diabetes", "rmse", "boosting", "neighbours", 150),
    ("diabetes", "mae", "boosting", "neighbours", 90),
    ("diabetes", "r2", "tree", "neighbours", 150),
    ("diabetes", "rmse", "line", "boosting", 300),
    ("cancer", "accuracy", "bayes", "tree", 300),
    ("cancer", "f1", "bayes", "tree", 400),
    ("cancer", "auc", "bayes", "neighbours", 400),
    ("cancer", "brier", "neighbours", "logistic", 300),
)
"""Table, metric, challenger, champion, rows of a holdout."""


def real_gate(metric: Metric, truth: Truth, challenger: Answers, champion: Answers, policy: Policy) -> Answer:
    """Decide as a promotion does: compute the paired gain, then apply every rule."""
    paired = paired_gain(metric, truth, challenger, champion)
    return decide(planted_evidence(metric, truth, challenger, champion, paired, uses=policy.uses), policy).answer


def planted_evidence(
    metric: Metric, truth: Truth, challenger: Answers, champion: Answers, paired: PairedGain, *, uses: int
) -> Evidence:
    """Return evidence on two models that differ only in their predictions. Everything else in it is made up.

    `uses` is the budget of the made-up holdout.
    """
    data = "planted@1#0"
    equal = Side(
        "",
        rows=len(truth.values),
        rows_sha256="these",
        dataset=data,
        signature={"inputs": [{"name": "x", "type": "double"}], "outputs": [{"type": "double"}]},
        loose=(),
        seen_rows=0,
    )

    def side(name: str, answers: Answers) -> Side:
        score = leaver_of(metric, truth, answers).whole
        return replace(equal, label=name, run_id=name, predictions_sha256=name, score=score)

    return Evidence(
        model="planted",
        metric=metric.name,
        direction=metric.direction,
        dataset=data,
        challenger=side("challenger", challenger),
        champion=side("champion", champion),
        paired=paired,
        uses=Uses(uses, 1),
        data_faults=(),
    )


def run_selftest(gate: Gate = real_gate) -> list[SelftestCheck]:
    """Return the result of each check of a gate. The gate passes when all are ok."""
    return [*_equal(gate), *_clear(gate), *_exact(gate), *_correlated(gate), *_too_few_rows(gate), *_rare_calls(gate)]


def _equal(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that equal pairs, of true gain zero, are promoted no more often than the level allows."""
    answers: list[Answer] = []
    for name, metric, new, old, rows in CASES:
        random = np.random.default_rng([SEED, *map(ord, name + metric + new + old)])
        table, equal = tables()[name], population(name, metric, new, old)
        for _ in range(EQUAL // len(CASES)):
            truth, new_answers, old_answers = _at(
                equal.draw(rows, random), table.truth, table.models[new], table.models[old]
            )
            answers.append(gate(METRICS[metric], truth, new_answers, old_answers, Policy(uses=1)))
    yield _at_most(f"{EQUAL} equal pairs at level 0.05", answers, LIMIT)


def _clear(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that clearly worse challengers are never promoted, and clearly better ones always."""
    better: list[Answer] = []
    worse: list[Answer] = []
    random = np.random.default_rng(SEED)
    for name, model, metric in (("diabetes", "line", METRICS["rmse"]), ("cancer", "logistic", METRICS["auc"])):
        table = tables()[name]
        for _ in range(CLEAR // 2):
            places = random.integers(0, len(table.truth.values), size=300)
            truth, strong, weak = _at(places, table.truth, table.models[model], _poor_answers(table))
            better.append(gate(metric, truth, strong, weak, Policy()))
            worse.append(gate(metric, truth, weak, strong, Policy()))
    promoted, wrong, keeps = better.count("promote"), worse.count("promote"), worse.count("keep")
    yield SelftestCheck(f"{CLEAR} clearly better", promoted == CLEAR, f"{promoted} promoted", f"all {CLEAR}")
    yield SelftestCheck(f"{CLEAR} clearly worse", wrong == 0, f"{wrong} promoted", "none")
    yield SelftestCheck(f"{CLEAR} clearly worse", keeps == CLEAR, f"{keeps} kept", f"all {CLEAR}")


def _exact(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that the answer for a mean without skew turns at the critical value of the paired t test."""
    spread = stats.norm.ppf((np.arange(60) + 0.5) / 60)
    for uses, level, side, surely in ((1, 0.05, 1, "promote"), (10, 0.005, 1, "promote"), (10, 0.05, -1, "keep")):
        for step, expected in ((1 - 1e-6, "undecided"), (1 + 1e-6, surely)):
            critical = side * float(stats.t.ppf(1 - level, 59)) * step
            gain = spread - spread.mean() + critical * spread.std(ddof=1) / np.sqrt(60)
            new, old = np.full(60, 5.0), 5.0 + gain
            test = stats.ttest_rel(old, new, alternative="greater" if side > 0 else "less")
            assert (test.pvalue < level) == (step > 1)
            name = f"paired t test, p {'<' if step > 1 else '>'} {level:g} of being {'better' if side > 0 else 'worse'}"
            yield _errors(gate, name, new, old, expected, Policy(uses=uses))


def _correlated(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that a small steady gain shows between errors correlated 0.999: it does only when they are paired."""
    random = np.random.default_rng(SEED)
    old = np.abs(random.normal(size=200)) + 1
    noise = random.normal(size=200)
    noise -= np.polyval(np.polyfit(old, noise, 1), old)  # of mean zero, uncorrelated with old
    new = old - 0.02 + noise / noise.std() * old.std() * np.sqrt(1 / 0.999**2 - 1)
    assert abs(np.corrcoef(new, old)[0, 1] - 0.999) < 1e-9
    yield _errors(gate, "correlated 0.999 and a little better", new, old, "promote")
    yield _errors(gate, "correlated 0.999 and a little worse", old, new, "keep")


def _too_few_rows(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that too few rows, or rows all alike, decide nothing, however good the challenger looks."""
    few = np.random.default_rng(SEED).random(29)
    yield _errors(gate, "much better on 29 rows", few, 9 + 2 * few, "undecided")
    yield _errors(gate, "much better on rows all alike", np.ones(100), np.full(100, 9.0), "undecided")


def _rare_calls(gate: Gate) -> Iterator[SelftestCheck]:
    """Check that two positive calls in a thousand rows are no evidence against twenty of equal precision."""
    random = np.random.default_rng(SEED)
    answers: list[Answer] = []
    for _ in range(RARE):
        flagged = random.choice(3, 1000, p=[0.0015, 0.02, 0.9785])
        truth = np.where(flagged < 2, random.random(1000) < 0.6, random.random(1000) < 0.04).astype(int)
        champion, challenger = (Answers((flagged == number).astype(int)) for number in (0, 1))
        answers.append(gate(METRICS["precision"], Truth(truth, np.array([0, 1])), challenger, champion, Policy()))
    most = int(stats.binom.ppf(1 - 1e-6, RARE, Policy().level(None)))
    yield _at_most(f"{RARE} equal pairs with few calls", answers, most)


def _errors(
    gate: Gate, name: str, new: Array, old: Array, expected: str, policy: Policy | None = None
) -> SelftestCheck:
    """Check the answer for two models with these absolute errors."""
    answer = gate(METRICS["mae"], Truth(np.zeros(len(new))), Answers(new), Answers(old), policy or Policy())
    return SelftestCheck(name, answer == expected, answer, expected)


def _at_most(name: str, answers: Sequence[Answer], most: int) -> SelftestCheck:
    promoted = answers.count("promote")
    return SelftestCheck(name, promoted <= most, f"{promoted} promoted", f"at most {most}")


def _at(places: Array, truth: Truth, new: Answers, old: Answers) -> tuple[Truth, Answers, Answers]:
    return truth.at(places), new.at(places), old.at(places)


@cache
def population(name: str, metric: str, challenger: str, champion: str, gain: float = 0.0) -> Population:
    """Return the rows of the bundled table `name`, weighted so that the true gain of `challenger` is exactly `gain`."""
    table, judged = tables()[name], METRICS[metric]
    new, old = (leaver_of(judged, table.truth, table.models[model]) for model in (challenger, champion))
    sign = -1.0 if judged.direction == "min" else 1.0
    return planted_population(new, old, len(table.truth.values), sign=sign, gain=gain)


@cache
def tables() -> dict[str, PredictedTable]:
    """Return scikit-learn's tables of diabetes and breast cancer, with out-of-fold predictions of a few models."""
    from sklearn.datasets import load_breast_cancer, load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    x, y = load_diabetes(return_X_y=True)
    parts: Any = KFold(5, shuffle=True, random_state=0)
    regressors = {
        "line": Ridge(0.1),
        "boosting": GradientBoostingRegressor(n_estimators=40, max_depth=2, random_state=0),
        "neighbours": KNeighborsRegressor(15),
        "tree": DecisionTreeRegressor(max_depth=3, min_samples_leaf=10, random_state=0),
    }
    answers = {name: Answers(cross_val_predict(model, x, y, cv=parts)) for name, model in regressors.items()}
    diabetes = PredictedTable(Truth(y), answers)

    x, y = load_breast_cancer(return_X_y=True)
    x = x[:, :10]  # with all thirty columns hardly a model errs
    parts, classes = StratifiedKFold(5, shuffle=True, random_state=0), np.array([0, 1])
    classifiers = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "bayes": GaussianNB(),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(9)),
        "tree": DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=0),
    }
    answers = {}
    for name, model in classifiers.items():
        chances = cross_val_predict(model, x, y, cv=parts, method="predict_proba")
        answers[name] = Answers(classes[chances.argmax(axis=1)], chances)
    return {"diabetes": diabetes, "cancer": PredictedTable(Truth(y, classes), answers)}


def _poor_answers(table: PredictedTable) -> Answers:
    """Return predictions of a model that has learnt almost nothing: the first model's, for other rows."""
    first = next(iter(table.models.values()))
    return first.at(np.random.default_rng(0).permutation(len(table.truth.values)))
