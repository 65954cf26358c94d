"""A version is announced once it loads and predicts; one run is one version: on SQLite and on Azure ML."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from notebooks_lib import errors
from notebooks_lib.models import champions, logged_models, registry
from notebooks_lib.tracking.store import Store
from tests.models.registered_models import ROWS, name, registered, trained

__all__ = ["name"]

pytestmark = pytest.mark.tracking


def test_a_registered_run_is_a_version_that_loads_by_its_name(any_store: Store, name: str) -> None:
    run_id = trained(any_store, 7.0)

    version = registry.register(any_store, name, run_id, tags={"why": "test"})

    assert (version.model, version.version, version.run_id) == (name, "1", run_id)
    assert version.tags["why"] == "test"
    assert list(logged_models.load(version.uri).predict(ROWS)) == [7.0, 7.0]
    assert registry.versions(any_store, name) == [version]
    assert registry.get(any_store, name, 1) == version
    assert name in registry.models(any_store)


def test_the_same_run_is_always_the_same_version(either_store: Store, name: str) -> None:
    run_id = trained(either_store)
    first = registry.register(either_store, name, run_id)
    other = registry.register(either_store, name, trained(either_store))

    assert registry.register(either_store, name, run_id) == first
    assert [version.version for version in registry.versions(either_store, name)] == [other.version, first.version]


def test_registered_twice_at_once_it_is_one_version(either_store: Store, name: str) -> None:
    run_id = trained(either_store)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: registry.register(either_store, name, run_id), range(3)))

    assert len({version.version for version in found}) == 1
    assert len(either_store.client.search_model_versions(f"name='{name}'")) == 1


def test_a_registration_that_died_is_invisible_until_the_next_call_finishes_it(either_store: Store, name: str) -> None:
    run_id = trained(either_store)
    either_store.client.create_registered_model(name)
    source = logged_models.model_of_run(either_store, run_id).source
    died = either_store.client.create_model_version(name, source, run_id)

    assert registry.versions(either_store, name) == []
    with pytest.raises(errors.UnknownNameError, match="nbops has not tried it: promote its run"):
        registry.get(either_store, name, died.version)
    assert registry.register(either_store, name, run_id).version == str(died.version)
    assert len(registry.versions(either_store, name)) == 1


def test_a_version_that_does_not_predict_is_never_seen(
    either_store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = trained(either_store)
    monkeypatch.setenv("TEST_BROKEN_MODEL", "1")
    with pytest.raises(
        errors.ModelError, match=r"does not predict its example: ValueError: the weights do not fit and more$"
    ):
        registry.register(either_store, name, run_id)
    assert either_store.client.search_model_versions(f"name='{name}'") == []

    monkeypatch.delenv("TEST_BROKEN_MODEL")
    assert registry.register(either_store, name, run_id).run_id == run_id


def test_an_optional_boolean_may_be_missing_in_no_row_of_the_example(either_store: Store, name: str) -> None:
    rows = pd.DataFrame({"news": [True, False] * 4 + [np.nan] * 2, "x": range(10)})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["news"]), remainder="passthrough"), LogisticRegression()
    ).fit(rows, ["no", "yes"] * 5)
    run_id = either_store.client.create_run(either_store.experiment_id(either_store.settings.experiment)).info.run_id
    logged_models.log_model(either_store, run_id, model, example=rows)

    version = registry.register(either_store, name, run_id)

    assert logged_models.load(version.uri).input_example["news"].dtype == bool


def test_a_run_without_a_model_registers_nothing(either_store: Store, name: str) -> None:
    run_id = either_store.client.create_run(either_store.experiment_id(either_store.settings.experiment)).info.run_id
    with pytest.raises(errors.ModelError, match="has no model"):
        registry.register(either_store, name, run_id)

    assert name not in registry.models(either_store)


def test_an_unknown_name_is_told_the_known_ones(either_store: Store, name: str) -> None:
    registered(either_store, name, 1)
    with pytest.raises(errors.UnknownNameError, match=rf"version of {name} '7' \(known: 1\)"):
        registry.get(either_store, name, 7)
    with pytest.raises(errors.UnknownNameError, match=f"did you mean '{name}'"):
        registry.get(either_store, name + "x", 1)
    assert registry.versions(either_store, "nobody") == []
    assert champions.champion(either_store, "nobody") is None
