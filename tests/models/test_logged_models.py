"""A model logged in the one portable form is found, loads and predicts the same, on SQLite and on Azure ML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from notebooks_lib import errors
from notebooks_lib.models import logged_models, model_files
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store, connect

pytestmark = pytest.mark.tracking

LOCK = Path(__file__).parents[2] / "requirements.lock"


class Clip(BaseEstimator, TransformerMixin):
    """A transformer that no library knows."""

    def fit(self, X: Any, y: Any = None) -> Clip:
        return self

    def transform(self, X: Any) -> Any:
        return X.clip(0, 5)


class Mean:
    """A model of no library at all."""

    def fit(self, X: Any, y: Any) -> Mean:
        self.mean = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.mean)


def table(rows: int = 60) -> tuple[pd.DataFrame, pd.Series]:
    numbers = np.random.default_rng(0)
    X = pd.DataFrame({"age": numbers.integers(20, 80, rows), "bmi": numbers.normal(25, 4, rows)})
    X["site"] = np.where(X["age"] % 2, "north", "south")
    return X, X["age"] * 0.5 + X["bmi"] + (X["site"] == "north")


def new_run(store: Store) -> str:
    return str(store.client.create_run(store.experiment_id(store.settings.experiment)).info.run_id)


def by_site(model: Any) -> Any:
    columns = ColumnTransformer(
        [("site", OneHotEncoder(handle_unknown="ignore"), ["site"]), ("rest", StandardScaler(), ["age", "bmi"])]
    )
    return make_pipeline(columns, model)


def ridge(store: Store, run_id: str, name: str = "model", alpha: float = 1.0) -> logged_models.ModelInfo:
    X, y = table()
    return logged_models.log_model(store, run_id, by_site(Ridge(alpha)).fit(X, y), example=X, name=name)


@pytest.fixture
def store(project: Settings) -> Store:
    return connect(project)


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (Ridge(), "skops"),
        (RandomForestRegressor(5, random_state=0), "skops"),
        (HistGradientBoostingRegressor(max_iter=5), "skops"),
        (HistGradientBoostingClassifier(max_iter=5), "skops"),
        (by_site(LogisticRegression()), "skops"),
        (make_pipeline(Clip(), Ridge()), "cloudpickle"),
        (make_pipeline(FunctionTransformer(lambda X: X * 2), Ridge()), "cloudpickle"),
        (Mean(), "cloudpickle"),
    ],
    ids=["ridge", "forest", "boosting", "boosting-classes", "columns", "own-class", "lambda", "own-model"],
)
def test_what_is_loaded_predicts_as_what_was_logged(store: Store, model: Any, form: str) -> None:
    X, y = table()
    target = (y > y.median()).astype(int) if "Classif" in repr(model) or "Logistic" in repr(model) else y
    X = X if "site" in repr(model) else X.drop(columns="site")
    model.fit(X, target)
    run_id = new_run(store)

    logged = logged_models.log_model(store, run_id, model, example=X)

    assert logged.format == form
    assert store.client.get_run(run_id).data.tags[Tag.MODEL_FORMAT] == form
    found = logged_models.model_of_run(store, run_id)
    assert found.source == logged.source
    np.testing.assert_allclose(logged_models.load(found.source).predict(X), model.predict(X))
    native = logged_models.native(found.source)
    np.testing.assert_allclose(native.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(native.predict_proba(X), model.predict_proba(X))


def test_a_model_is_kept_with_signature_example_and_files(any_store: Store, tmp_path: Path) -> None:
    run_id = new_run(any_store)
    info = ridge(any_store, run_id)

    inputs = logged_models.signature(info.source)["inputs"]
    assert [(each["name"], each["type"]) for each in inputs] == [("age", "long"), ("bmi", "double"), ("site", "string")]
    assert [each["type"] for each in logged_models.signature(info.source)["outputs"]] == ["double"]
    pd.testing.assert_frame_equal(logged_models.example(info.source), table()[0].head())
    folder = model_files.download(info.source, tmp_path / "here")
    assert {"MLmodel", "model.skops", "requirements.txt", "input_example.json"} <= {f.name for f in folder.iterdir()}
    assert info.size_bytes == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert (info.logged_model_id is not None) == any_store.has_logged_models


def test_a_second_model_of_one_name_overwrites_nothing(either_store: Store) -> None:
    run_id = new_run(either_store)
    first, second = ridge(either_store, run_id), ridge(either_store, run_id, alpha=100.0)

    X = table()[0]
    assert logged_models.model_of_run(either_store, run_id).source == second.source
    assert logged_models.model_of_run(either_store, run_id, "model").source == second.source
    assert not np.allclose(logged_models.load(first.source).predict(X), logged_models.load(second.source).predict(X))


def test_the_model_that_is_named_is_found(either_store: Store) -> None:
    run_id = new_run(either_store)
    best, last = ridge(either_store, run_id, "best"), ridge(either_store, run_id, "last")

    assert logged_models.model_of_run(either_store, run_id).source == last.source
    assert logged_models.model_of_run(either_store, run_id, "best").source == best.source
    with pytest.raises(errors.ModelError, match=r"no model 'worst'; it has: .*best.*last"):
        logged_models.model_of_run(either_store, run_id, "worst")


def test_a_model_that_others_put_among_the_artifacts_is_found(any_store: Store, tmp_path: Path) -> None:
    import mlflow.sklearn

    X, y = table()
    mlflow.sklearn.save_model(
        Ridge().fit(X[["bmi"]], y), tmp_path / "saved", pip_requirements=["scikit-learn"], input_example=None
    )
    run_id = new_run(any_store)
    with pytest.raises(errors.ModelError, match="has no model: log one with"):
        logged_models.model_of_run(any_store, run_id)
    any_store.client.log_artifacts(run_id, str(tmp_path / "saved"), "deep/down")

    found = logged_models.model_of_run(any_store, run_id)

    assert found.name == "deep/down"
    assert len(logged_models.load(found.source).predict(X[["bmi"]])) == len(X)


def test_a_model_logged_by_plain_mlflow_is_found_where_it_really_is(store: Store) -> None:
    """docs/design trap 20: nothing lies under the run's own artifacts then."""
    import mlflow

    X, y = table()
    run_id = new_run(store)
    with mlflow.start_run(run_id=run_id):
        for name in ("one", "two"):
            mlflow.sklearn.log_model(Ridge().fit(X[["bmi"]], y), name=name, pip_requirements=["scikit-learn"])

    with pytest.raises(errors.ModelError, match=r"2 models \(one, two\): name the one"):
        logged_models.model_of_run(store, run_id)
    found = logged_models.model_of_run(store, run_id, "two")
    assert len(logged_models.load(found.source).predict(X[["bmi"]])) == len(X)


def test_the_models_page_of_the_ui_shows_it_ready_and_with_its_run(store: Store) -> None:
    run_id = new_run(store)
    info = ridge(store, run_id)

    experiment = store.client.get_run(run_id).info.experiment_id
    (shown,) = store.client.search_logged_models([experiment])
    assert (shown.model_id, shown.source_run_id, shown.name) == (info.logged_model_id, run_id, "Pipeline")
    assert str(shown.status) == "READY"
    assert [output.model_id for output in store.client.get_run(run_id).outputs.model_outputs] == [shown.model_id]


@pytest.mark.proof
def test_a_class_from_a_projects_own_file_loads_where_that_file_is_not(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "own_features.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "LIMIT = 30\n"
        "class Cap(BaseEstimator, TransformerMixin):\n"
        "    def fit(self, X, y=None):\n        return self\n"
        "    def transform(self, X):\n        return X.clip(upper=LIMIT)\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    import own_features  # type: ignore[import-not-found]

    X, y = table()
    model = make_pipeline(own_features.Cap(), Ridge()).fit(X[["bmi"]], y)
    info = logged_models.log_model(store, new_run(store), model, example=X[["bmi"]])

    code = (
        "from notebooks_lib.models import logged_models; import sys\n"
        f"model = logged_models.load({info.source!r})\n"
        "print(*model.predict(model.input_example)); assert 'own_features' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_allclose([float(n) for n in done.stdout.split()], model.predict(X[["bmi"]].head()))


def test_requirements_are_the_locks_own_lines(store: Store, tmp_path: Path) -> None:
    store.settings.layout.lock.write_bytes(LOCK.read_bytes())
    folder = model_files.download(ridge(store, new_run(store)).source, tmp_path / "here")

    wanted = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in wanted] == [
        "mlflow",
        "numpy",
        "pandas",
        "scikit-learn",
        "scipy",
        "skops",
    ]
    locked = {line.removesuffix("\\").partition(";")[0].strip() for line in LOCK.read_text().splitlines()}
    assert set(wanted) <= locked


def test_nothing_is_said_while_a_model_is_logged_and_loaded(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    X, y = table()
    capfd.readouterr()
    info = logged_models.log_model(
        store, new_run(store), make_pipeline(Clip(), Ridge()).fit(X[["age"]], y), example=X[["age"]]
    )
    logged_models.load(info.source).predict(X[["age"]])
    logged_models.log_model(store, new_run(store), Mean().fit(X, y), example=X)

    assert capfd.readouterr() == ("", "")


def test_missing_values_anywhere_in_the_example_reach_the_signature(store: Store) -> None:
    X, y = table()
    X = X[["bmi"]].copy()
    X.loc[50, "bmi"] = np.nan
    info = logged_models.log_model(
        store, new_run(store), HistGradientBoostingRegressor(max_iter=3).fit(X, y), example=X
    )

    assert logged_models.signature(info.source)["inputs"][0]["required"] is False


def test_a_python_model_of_mlflow_is_logged_as_it_is(store: Store) -> None:
    import mlflow

    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            return model_input["bmi"] * 2

    X = table()[0][["bmi"]]
    info = logged_models.log_model(store, new_run(store), Doubled(), example=X)

    np.testing.assert_allclose(logged_models.load(info.source).predict(X), X["bmi"] * 2)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (object(), {}, "no kind of model that can be logged.*sklearn"),
        (StandardScaler(), {}, "no `predict`: log the whole Pipeline"),
        (Ridge(), {"flavor": "skleran"}, "did you mean 'sklearn'"),
        (Ridge(), {"flavor": "xgboost"}, "needs the package 'xgboost'"),
        (Ridge(), {"name": "a/b"}, "cannot name a model"),
        (Ridge(), {"example": "nonsense"}, "does not predict its example"),
    ],
)
def test_what_cannot_be_logged_is_said_in_one_line(
    store: Store, model: Any, options: dict[str, Any], message: str
) -> None:
    X, y = table()
    if isinstance(model, BaseEstimator):
        model.fit(X[["bmi"]], y)
    run_id = new_run(store)
    with pytest.raises(errors.ModelError, match=message) as raised:
        logged_models.log_model(store, run_id, model, **({"example": X[["bmi"]]} | options))

    assert "\n" not in str(raised.value)
    assert store.client.list_artifacts(run_id) == []


def test_a_place_without_a_model_is_an_error_that_names_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(errors.ModelError, match="nowhere"):
        logged_models.load(tmp_path / "nowhere")
