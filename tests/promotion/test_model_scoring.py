"""A model is scored as its callers meet it: row by row, twice alike, with chances that are chances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from notebooks_lib.errors import ModelError, UsageError
from notebooks_lib.metrics import builtin
from notebooks_lib.metrics.leave_one_out_methods import leaver_of
from notebooks_lib.metrics.metric import Answers, Truth
from notebooks_lib.promotion import model_scoring


@dataclass
class Rows:
    """A part of a dataset, as far as scoring knows it."""

    X: pd.DataFrame
    y: pd.Series
    name: str = "validation"
    target: str = "y"

    @property
    def frame(self) -> pd.DataFrame:
        return self.X.assign(y=self.y)

    def __len__(self) -> int:
        return len(self.X)


ROWS = Rows(pd.DataFrame({"x": np.linspace(-1, 2, 60)}), pd.Series(np.linspace(-2, 4, 60)))


class Native:
    """A classifier as its library knows it."""

    def __init__(self, chances: np.ndarray) -> None:
        self.classes_, self.chances = np.array(["no", "yes"]), chances

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        return self.chances


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch):
    """Put a function of rows in the place of a model's files."""

    def put(predict: Any, native: Any = None) -> None:
        metadata = type("M", (), {"get_input_schema": lambda self: None})()
        loaded = type("L", (), {"predict": staticmethod(predict), "metadata": metadata})()
        monkeypatch.setattr(model_scoring.logged_models, "load", lambda source: loaded)
        monkeypatch.setattr(model_scoring.logged_models, "native", lambda source: native)

    return put


def drawn(rows: pd.DataFrame) -> np.ndarray:
    return rows["x"].to_numpy() + np.random.default_rng().normal(size=len(rows))


UNSTEADY = {
    "standardised by the rows asked about": lambda rows: ((rows - rows.mean()) / rows.std().fillna(1))["x"].to_numpy(),
    "ranked among them": lambda rows: rows["x"].rank(pct=True).to_numpy(),
    "filled with their mean": lambda rows: rows["x"].where(rows["x"] > 0).fillna(rows["x"].mean()).to_numpy(),
    "the difference from the row before": lambda rows: rows["x"].diff().fillna(0).to_numpy(),
    "cut into their quarters": lambda rows: pd.qcut(rows["x"], 4, labels=False, duplicates="drop").fillna(0).to_numpy(),
    "drawn at random": drawn,
}


@pytest.mark.parametrize("name", UNSTEADY)
def test_an_answer_that_depends_on_other_rows_or_on_chance_is_refused(model, name: str):
    model(UNSTEADY[name])
    predicted = model_scoring.unsteadiness("m", ROWS, builtin.find("rmse"))
    assert ("asked again" if name == "drawn at random" else "alone than among others") in predicted


def test_a_step_that_looks_at_the_row_before_is_seen_where_few_rows_need_it(model):
    gaps = Rows(ROWS.X.assign(x=ROWS.X["x"].mask(ROWS.X.index == 7)), ROWS.y)
    model(lambda rows: rows["x"].ffill().fillna(0).to_numpy())
    assert "in another order" in model_scoring.unsteadiness("m", gaps, builtin.find("rmse"))


class Ranked:
    """Classes by the row alone, and chances by the rows beside it."""

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        chance = (rows["x"].to_numpy() + 1) / (rows["x"].max() + 1.5)
        return np.column_stack([1 - chance, chance])


def test_chances_that_depend_on_other_rows_are_refused(model):
    model(lambda rows: np.where(rows["x"] > 0, "yes", "no"), Ranked())
    assert "alone than among others" in model_scoring.unsteadiness("m", ROWS, builtin.find("log_loss"))


@pytest.mark.parametrize(
    "predict",
    [
        lambda rows: 2 * rows["x"].to_numpy(),
        lambda rows: (2 * rows["x"]).to_frame(),
        lambda rows: rows["x"].to_numpy(dtype="float32") * np.float32(1 + 1e-7 * len(rows)),  # rounding of a batch
        lambda rows: np.zeros(len(rows)),
    ],
)
def test_a_steady_model_passes(model, predict):
    model(predict)
    assert model_scoring.unsteadiness("m", ROWS, builtin.find("rmse")) == ""


def test_names_of_classes_are_compared_whole(model):
    model(lambda rows: np.where(rows["x"] > 0, "yes", "no"))
    assert model_scoring.unsteadiness("m", ROWS, builtin.find("accuracy")) == ""
    model(lambda rows: np.where(rows["x"] > rows["x"].mean(), "yes", "no"))
    assert "alone than among others" in model_scoring.unsteadiness("m", ROWS, builtin.find("accuracy"))


LABELS = Rows(ROWS.X, pd.Series(np.where(ROWS.X["x"] > 0, "yes", "no")))
TRUTH = Truth(LABELS.y.to_numpy(dtype=str), np.array(["no", "yes"]))


@pytest.mark.parametrize(
    ("chances", "says"),
    [
        ([1.5, -0.5], "from -0.5 to 1.5, not from 0 to 1"),
        ([-8.0, 9.0], "not from 0 to 1"),
        ([2.0, 3.0], "not from 0 to 1"),
        ([np.nan, 1.0], "some are missing"),
        ([np.inf, 0.0], "some are missing"),
    ],
)
def test_values_that_are_no_probabilities_are_refused_where_they_decide(model, chances, says):
    model(lambda rows: np.full(len(rows), "yes"), Native(np.tile(chances, (60, 1))))
    with pytest.raises(ModelError, match=says):
        model_scoring.score_model("m", LABELS, builtin.find("log_loss"), TRUTH)
    assert model_scoring.score_model("m", LABELS, builtin.find("accuracy"), TRUTH).answers.probabilities is None


def test_rounding_beside_0_and_1_is_no_fault(model):
    model(lambda rows: np.full(len(rows), "yes"), Native(np.tile([-1e-9, 1 + 1e-9], (60, 1))))
    score = model_scoring.score_model("m", LABELS, builtin.find("brier"), TRUTH).answers.probabilities
    assert (score.min(), score.max()) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "auc", "accuracy", "log_loss", "brier"])
def test_the_positive_class_can_be_named(name: str):
    from sklearn import metrics as reference

    random = np.random.default_rng(0)
    values, predicted = (np.where(random.random(80) < share, "churn", "stay") for share in (0.3, 0.4))
    chances = random.random((80, 1))
    chances = np.hstack([chances, 1 - chances])
    dataset = type(
        "D", (), {part: Rows(pd.DataFrame({"x": range(80)}), pd.Series(values)) for part in ("train", "validation")}
    )
    metric = builtin.find(name, positive="churn")
    truth = model_scoring.truth_of(dataset, dataset.validation, metric)
    assert truth.classes.tolist() == ["stay", "churn"]
    score = metric.score(truth, Answers(predicted, chances[:, ::-1]))
    expected = {
        "f1": lambda: reference.f1_score(values, predicted, pos_label="churn"),
        "precision": lambda: reference.precision_score(values, predicted, pos_label="churn"),
        "recall": lambda: reference.recall_score(values, predicted, pos_label="churn"),
        "auc": lambda: reference.roc_auc_score(values == "churn", chances[:, 0]),
        "accuracy": lambda: reference.accuracy_score(values, predicted),
        "log_loss": lambda: reference.log_loss(values, chances, labels=["churn", "stay"]),
        "brier": lambda: reference.brier_score_loss(values == "churn", chances[:, 0]),
    }[name]()
    assert score == pytest.approx(expected)
    if name != "log_loss":  # chances are clipped there
        assert leaver_of(metric, truth, Answers(predicted, chances[:, ::-1])).whole == pytest.approx(expected)


def test_an_unknown_positive_class_is_a_usage_error():
    dataset = type("D", (), dict.fromkeys(("train", "validation"), LABELS))
    with pytest.raises(UsageError, match="positive=maybe: the target has the classes no and yes"):
        model_scoring.truth_of(dataset, LABELS, builtin.find("f1", positive="maybe"))
    with pytest.raises(UsageError, match="rmse is a metric of numbers"):
        builtin.find("rmse", positive="yes")
    many = Rows(ROWS.X, pd.Series(list("abc") * 20))
    with pytest.raises(UsageError, match="of 3 classes none is the positive one"):
        model_scoring.truth_of(
            type("D", (), {"train": many, "validation": many}), many, builtin.find("f1", positive="a")
        )


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ([0, 1], ["no", "yes"]),
        ([False, True], ["no", "yes"]),
        (["0", "1"], [0, 1]),
        (["No", "Yes"], ["no", "yes"]),
        ([1, 2, 3], ["a", "b", "c"]),
        (["<=50K", ">50K"], [0, 1]),
        ([-1, 1], ["bad", "good"]),
        ([0.0, 1.0], ["0.0", "1.0"]),
        (["yes "], ["no", "yes"]),
        ([10], [1, 2]),
    ],
)
def test_labels_of_another_kind_are_named(known: list[object], wanted: list[object]) -> None:
    classes = np.array(wanted)
    with pytest.raises(ModelError, match="the model knows the classes .*, and the data have ") as caught:
        model_scoring._check_classes(np.array(known), Truth(classes[:1], classes))
    assert all(repr(np.array(each)[0].item()) in str(caught.value) for each in (known, wanted))


def test_a_model_that_has_not_seen_every_class_is_none_of_them() -> None:
    classes = np.array(["a", "b", "c"])
    model_scoring._check_classes(np.array(["a", "b"]), Truth(classes[:1], classes))
