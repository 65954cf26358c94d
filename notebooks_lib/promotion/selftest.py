"""Test the gate: put pairs of models with a known true gain before it, and count its answers.

A gate that promotes whatever looks better, ignores that both models saw the same rows, or tests at another level than
stated fails here. Rows and predictions are real: scikit-learn's bundled tables, predicted out of fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from notebooks_lib.metrics.builtin import METRICS
from notebooks_lib.metrics.jackknife import leaver
from notebooks_lib.metrics.metric import Answers, Metric, Truth
from notebooks_lib.promotion.decision import Answer, Evidence, Policy, Side, Uses, decide
from notebooks_lib.promotion.paired_gain import pair
from notebooks_lib.statistics.paired import Paired
from notebooks_lib.statistics.simulation import Population, planted

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
    """One requirement of the gate."""

    name: str
    ok: bool
    found: str
    wanted: str


@dataclass(frozen=True)
class PredictedTable:
    """The targets of a table, and out-of-fold predictions of several models."""

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
    """Answer as promotion does: pair the models, then check every rule."""
    paired = pair(metric, truth, challenger, champion)
    return decide(planted_evidence(metric, truth, challenger, champion, paired, uses=policy.uses), policy).answer


def planted_evidence(
    metric: Metric, truth: Truth, challenger: Answers, champion: Answers, paired: Paired, *, uses: int
) -> Evidence:
    """Return evidence in which the models differ in nothing but their predictions."""
    data, rows = "planted@1#0", len(truth.values)
    signature = {"inputs": [{"name": "x", "type": "double"}], "outputs": [{"type": "double"}]}

    def side(label: str, answers: Answers) -> Side:
        return Side(
            label,
            run_id=label,
            score=leaver(metric, truth, answers).whole,
            rows=rows,
            rows_sha256="these",
            predictions_sha256=label,
            dataset=data,
            signature=signature,
            loose=(),
            seen_rows=0,
        )

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
    """Return all checks of a gate; it passes when all are ok."""
    return [*_equal(gate), *_clear(gate), *_exact(gate), *_correlated(gate), *_too_few_rows(gate), *_rare_calls(gate)]


def _equal(gate: Gate) -> Iterator[SelftestCheck]:
    """Equal pairs, true gain zero: promoted no more often than the level allows."""
    once = Policy(uses=1)
    answers: list[Answer] = []
    for case in CASES:
        random = np.random.default_rng([SEED, *map(ord, "".join(case[:4]))])
        answers += [_answer_of_gate(gate, case, random, once) for _ in range(EQUAL // len(CASES))]
    count = answers.count("promote")
    yield SelftestCheck(f"{EQUAL} equal pairs at level 0.05", count <= LIMIT, f"{count} promoted", f"at most {LIMIT}")


def _clear(gate: Gate) -> Iterator[SelftestCheck]:
    """Clearly worse challengers are never promoted, clearly better ones always."""
    policy = Policy()
    answers: dict[bool, list[Answer]] = {True: [], False: []}
    random = np.random.default_rng(SEED)
    for name, metric in (("diabetes", METRICS["rmse"]), ("cancer", METRICS["auc"])):
        table = tables()[name]
        strong, weak = table.models["line" if name == "diabetes" else "logistic"], _poor_answers(table)
        for _ in range(CLEAR // 2):
            places = random.integers(0, len(table.truth.values), size=300)
            truth, one, other = table.truth.at(places), strong.at(places), weak.at(places)
            answers[True].append(gate(metric, truth, one, other, policy))
            answers[False].append(gate(metric, truth, other, one, policy))
    better, worse = answers[True].count("promote"), answers[False].count("promote")
    kept = answers[False].count("keep")
    yield SelftestCheck(f"{CLEAR} clearly better", better == CLEAR, f"{better} promoted", f"all {CLEAR}")
    yield SelftestCheck(f"{CLEAR} clearly worse", worse == 0, f"{worse} promoted", "none")
    yield SelftestCheck(f"{CLEAR} clearly worse", kept == CLEAR, f"{kept} kept", f"all {CLEAR}")


def _exact(gate: Gate) -> Iterator[SelftestCheck]:
    """For a mean without skew the interval is the paired t test: the answer turns exactly at its critical value."""
    spread = stats.norm.ppf((np.arange(60) + 0.5) / 60)
    for uses, level, side in ((1, 0.05, 1), (10, 0.005, 1), (10, 0.05, -1)):
        turns: tuple[Answer, Answer] = ("undecided", "promote") if side > 0 else ("undecided", "keep")
        for step, wanted in zip((1 - 1e-6, 1 + 1e-6), turns, strict=True):
            critical = side * float(stats.t.ppf(1 - level, 59)) * step
            gain = spread - spread.mean() + critical * spread.std(ddof=1) / np.sqrt(60)
            # absolute errors of 5 and of 5 + gain
            truth, new, old = Truth(np.zeros(60)), Answers(np.full(60, 5.0)), Answers(5.0 + gain)
            test = stats.ttest_rel(old.values, new.values, alternative="greater" if side > 0 else "less")
            assert (test.pvalue < level) == (step > 1)
            answer = gate(METRICS["mae"], truth, new, old, Policy(uses=uses))
            name = f"paired t test, p {'<' if step > 1 else '>'} {level:g} of being {'better' if side > 0 else 'worse'}"
            yield SelftestCheck(name, answer == wanted, answer, wanted)


def _correlated(gate: Gate) -> Iterator[SelftestCheck]:
    """Models with errors correlated 0.999: a small steady gain shows only when they are paired."""
    random = np.random.default_rng(SEED)
    old = np.abs(random.normal(size=200)) + 1
    noise = random.normal(size=200)
    noise -= np.polyval(np.polyfit(old, noise, 1), old)  # of mean zero, uncorrelated with old
    new = old - 0.02 + noise / noise.std() * old.std() * np.sqrt(1 / 0.999**2 - 1)
    assert abs(np.corrcoef(new, old)[0, 1] - 0.999) < 1e-9
    truth = Truth(np.zeros(200))
    for name, pairs, wanted in (("better", (new, old), "promote"), ("worse", (old, new), "keep")):
        answer = gate(METRICS["mae"], truth, Answers(pairs[0]), Answers(pairs[1]), Policy())
        yield SelftestCheck(f"correlated 0.999 and a little {name}", answer == wanted, answer, wanted)


def _too_few_rows(gate: Gate) -> Iterator[SelftestCheck]:
    """Too few rows, or all rows alike: undecided, however good the challenger looks."""
    few = np.random.default_rng(SEED).random(29)
    for name, new, old in (("29 rows", few, 9 + 2 * few), ("rows all alike", np.ones(100), np.full(100, 9.0))):
        answer = gate(METRICS["mae"], Truth(np.zeros(len(new))), Answers(new), Answers(old), Policy())
        yield SelftestCheck(f"much better on {name}", answer == "undecided", answer, "undecided")


def _rare_calls(gate: Gate) -> Iterator[SelftestCheck]:
    """Equal precision, about two positive calls in a thousand rows against twenty: two calls are no evidence."""
    random = np.random.default_rng(SEED)
    classes = np.array([0, 1])
    answers: list[Answer] = []
    for _ in range(RARE):
        flagged = random.choice(3, 1000, p=[0.0015, 0.02, 0.9785])
        truth = np.where(flagged < 2, random.random(1000) < 0.6, random.random(1000) < 0.04).astype(int)
        champion, challenger = (Answers((flagged == number).astype(int)) for number in (0, 1))
        answers.append(gate(METRICS["precision"], Truth(truth, classes), challenger, champion, Policy()))
    count, most = answers.count("promote"), int(stats.binom.ppf(1 - 1e-6, RARE, Policy().level(None)))
    yield SelftestCheck(f"{RARE} equal pairs with few calls", count <= most, f"{count} promoted", f"at most {most}")


def _answer_of_gate(
    gate: Gate, case: tuple[str, str, str, str, int], random: np.random.Generator, policy: Policy
) -> Answer:
    name, metric, new, old, rows = case
    table = tables()[name]
    at = population(name, metric, new, old).draw(rows, random)
    return gate(METRICS[metric], table.truth.at(at), table.models[new].at(at), table.models[old].at(at), policy)


@cache
def population(name: str, metric: str, challenger: str, champion: str, gain: float = 0.0) -> Population:
    """Return rows of a bundled table, weighted so that the gain of one model over the other is exactly `gain`."""
    table, judged = tables()[name], METRICS[metric]
    new, old = (leaver(judged, table.truth, table.models[each]) for each in (challenger, champion))
    sign = -1.0 if judged.direction == "min" else 1.0
    return planted(new, old, len(table.truth.values), sign=sign, gain=gain)


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
    regressors = {
        "line": Ridge(0.1),
        "boosting": GradientBoostingRegressor(n_estimators=40, max_depth=2, random_state=0),
        "neighbours": KNeighborsRegressor(15),
        "tree": DecisionTreeRegressor(max_depth=3, min_samples_leaf=10, random_state=0),
    }
    folds: Any = KFold(5, shuffle=True, random_state=0)
    answers = {name: Answers(cross_val_predict(model, x, y, cv=folds)) for name, model in regressors.items()}
    predicted = {"diabetes": PredictedTable(Truth(y), answers)}

    x, y = load_breast_cancer(return_X_y=True)
    x = x[:, :10]  # with all thirty columns hardly a model errs
    classifiers = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "bayes": GaussianNB(),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(9)),
        "tree": DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=0),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    classes = np.array([0, 1])

    def judged(model: Any) -> Answers:
        chances = cross_val_predict(model, x, y, cv=folds, method="predict_proba")
        return Answers(classes[chances.argmax(axis=1)], chances)

    predicted["cancer"] = PredictedTable(
        Truth(y, classes), {name: judged(model) for name, model in classifiers.items()}
    )
    return predicted


def _poor_answers(table: PredictedTable) -> Answers:
    """Return predictions of a model that has learnt almost nothing: the first model's, for other rows."""
    first = next(iter(table.models.values()))
    return first.at(np.random.default_rng(0).permutation(len(table.truth.values)))
