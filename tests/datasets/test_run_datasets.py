"""A run knows the data that it really used, and the data knows the models that were trained on it."""

from __future__ import annotations

import json
import logging

import pytest

from notebooks_lib import datasets
from notebooks_lib.__main__ import run as nbops
from notebooks_lib.datasets import loader, run_datasets
from notebooks_lib.errors import DatasetError, UnknownNameError
from notebooks_lib.models.dataset_lineage import trained_on
from notebooks_lib.settings import Settings
from notebooks_lib.tags import Env, Tag
from notebooks_lib.tracking import store

pytestmark = pytest.mark.tracking


@pytest.fixture
def connected(project: Settings, monkeypatch: pytest.MonkeyPatch) -> store.Store:
    """A store, and a process that has loaded no dataset yet."""
    monkeypatch.setattr(run_datasets, "_used", {})
    monkeypatch.setattr(run_datasets, "_noted", set())
    return store.connect(project)


def new_run(connected: store.Store) -> str:
    run_id: str = connected.client.create_run(connected.experiment_id("trials")).info.run_id
    return run_id


def tags(connected: store.Store, run_id: str) -> dict[str, str]:
    return dict(connected.client.get_run(run_id).data.tags)


def test_the_active_run_is_told_what_was_loaded(connected: store.Store) -> None:
    import mlflow

    connected.experiment_id("trials")
    mlflow.set_experiment("trials")
    with mlflow.start_run() as active:
        iris = datasets.load("iris@1", connected.settings)
    assert tags(connected, active.info.run_id)[f"{Tag.DATASET_PREFIX}iris"] == run_datasets.tag_value(iris)


def test_the_owners_run_is_told_what_was_loaded(connected: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = new_run(connected)
    monkeypatch.setenv(Env.OWNER_RUN, owned)
    iris = datasets.load("iris", connected.settings)
    datasets.load("iris@1", connected.settings)
    assert tags(connected, owned)["nbops.dataset.iris"] == f"iris@1#{iris.fingerprint}"
    assert datasets.used() == (run_datasets.tag_value(iris),)


def test_looking_at_a_dataset_is_not_using_it(connected: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = new_run(connected)
    monkeypatch.setenv(Env.OWNER_RUN, owned)
    assert nbops(["data", "show", "iris"]) == 0
    loader.open_holdout("iris", connected.settings, reader="test")
    assert "nbops.dataset.iris" not in tags(connected, owned)
    assert datasets.used() == ()


def test_a_store_that_is_away_does_not_keep_the_data_from_the_user(
    connected: store.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(Env.OWNER_RUN, "no-such-run")
    with caplog.at_level(logging.WARNING):
        assert len(datasets.load("iris", connected.settings).train) == 73
    assert "does not record that iris@1 was loaded" in caplog.text


def test_a_tag_reads_back_as_name_version_and_fingerprint(connected: store.Store) -> None:
    iris = datasets.load("iris", connected.settings)
    assert run_datasets.parse_tag(run_datasets.tag_value(iris)) == ("iris", 1, iris.fingerprint)
    for wrong in ("", "iris", "iris@1", "iris@1#abc", "iris@x#" + "0" * 64):
        with pytest.raises(DatasetError, match="names no dataset"):
            run_datasets.parse_tag(wrong)


def test_the_dataset_stands_among_the_runs_inputs(connected: store.Store) -> None:
    run_id, iris = new_run(connected), datasets.load("iris", connected.settings)
    run_datasets.log_input(connected, run_id, iris)
    (found,) = connected.client.get_run(run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("iris", iris.fingerprint[:32])


def test_models_of_a_dataset_are_found_through_the_runs_that_used_it(
    connected: store.Store, capsys: pytest.CaptureFixture[str]
) -> None:
    iris = datasets.load("iris", connected.settings)
    registered, logged, without, other = (new_run(connected) for _ in range(4))
    for run_id in (registered, logged, without):
        connected.client.set_tag(run_id, f"{Tag.DATASET_PREFIX}iris", run_datasets.tag_value(iris))
    connected.client.set_tag(other, f"{Tag.DATASET_PREFIX}iris", run_datasets.tag_value(iris).replace("@1", "@2"))
    connected.client.log_metric(registered, "accuracy", 0.9375)
    connected.client.set_tag(logged, Tag.MODEL, "model")
    connected.client.create_registered_model("flowers")
    connected.client.create_model_version("flowers", "file:///model", registered, tags={Tag.READY: "loaded"})

    found = {each.run_id: each for each in trained_on("iris@1", connected.settings)}
    assert set(found) == {registered, logged, without}
    assert (found[registered].model, found[registered].version) == ("flowers", "1")
    assert dict(found[registered].metrics) == {"accuracy": 0.9375}
    assert [found[run_id].has_model for run_id in (registered, logged, without)] == [True, True, False]

    assert nbops(["data", "models", "iris@1"]) == 0
    shown = capsys.readouterr().out
    for fact in ("flowers", registered, "trials", "accuracy 0.9375", "(not registered)", logged, "1 more run(s)"):
        assert fact in shown
    assert without not in shown
    assert nbops(["data", "models", "iris@1", "--json"]) == 0
    assert {each["run_id"] for each in json.loads(capsys.readouterr().out)} == set(found)


def test_a_dataset_that_nobody_used_has_no_models(connected: store.Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert nbops(["data", "models", "wine"]) == 0
    assert capsys.readouterr().out == "No model was trained on wine.\n"
    with pytest.raises(UnknownNameError):
        trained_on("wein", connected.settings)
