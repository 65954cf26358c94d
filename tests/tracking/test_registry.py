"""A version is announced once it works; one champion holds, whatever died half-way: on SQLite and on Azure ML."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from notebooks_lib import errors
from notebooks_lib.records import Tag
from notebooks_lib.tracking import models, registry
from notebooks_lib.tracking.store import Store

pytestmark = pytest.mark.tracking

ROWS = pd.DataFrame({"bmi": [20.0, 30.0]})


class Constant:
    """Predicts one number, unless the environment says that it is broken."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, X: pd.DataFrame) -> list[float]:
        if "TEST_BROKEN_MODEL" in os.environ:
            raise ValueError("the weights do not fit\nand more")
        return [self.value] * len(X)


@pytest.fixture
def name() -> str:
    """Every test shares the Azure ML workspace."""
    return f"model-{uuid.uuid4().hex[:8]}"


def trained(store: Store, value: float = 1.0) -> str:
    run_id = str(store.client.create_run(store.experiment_id(store.settings.experiment)).info.run_id)
    models.log_model(store, run_id, Constant(value), example=ROWS)
    return run_id


def registered(store: Store, name: str, count: int) -> list[registry.Version]:
    run_id = trained(store)
    source = models.model_of_run(store, run_id).source
    store.client.create_registered_model(name)
    for _ in range(count):  # several of one run, for speed; only the marks matter here
        made = store.client.create_model_version(name, source, run_id)
        store.client.set_model_version_tag(name, made.version, Tag.READY, "predicted")
    return registry.versions(store, name)[::-1]


def roles(store: Store, name: str) -> list[str]:
    return [version.role for version in reversed(registry.versions(store, name))]


def test_a_registered_run_is_a_version_that_loads_by_its_name(any_store: Store, name: str) -> None:
    run_id = trained(any_store, 7.0)

    version = registry.register(any_store, name, run_id, tags={"why": "test"})

    assert (version.model, version.version, version.run_id) == (name, "1", run_id)
    assert version.tags["why"] == "test"
    assert list(models.load(version.uri).predict(ROWS)) == [7.0, 7.0]
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
    source = models.model_of_run(either_store, run_id).source
    died = either_store.client.create_model_version(name, source, run_id)

    assert registry.versions(either_store, name) == []
    with pytest.raises(errors.UnknownNameError):
        registry.get(either_store, name, died.version)
    assert registry.register(either_store, name, run_id).version == str(died.version)
    assert len(registry.versions(either_store, name)) == 1


def test_a_version_that_does_not_predict_is_never_seen(
    either_store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = trained(either_store)
    monkeypatch.setenv("TEST_BROKEN_MODEL", "1")
    with pytest.raises(errors.ModelError, match=r"does not predict its example: ValueError: the weights do not fit$"):
        registry.register(either_store, name, run_id)
    assert either_store.client.search_model_versions(f"name='{name}'") == []

    monkeypatch.delenv("TEST_BROKEN_MODEL")
    assert registry.register(either_store, name, run_id).run_id == run_id


def test_a_run_without_a_model_registers_nothing(either_store: Store, name: str) -> None:
    run_id = either_store.client.create_run(either_store.experiment_id(either_store.settings.experiment)).info.run_id
    with pytest.raises(errors.ModelError, match="has no model"):
        registry.register(either_store, name, run_id)

    assert name not in registry.models(either_store)


def test_the_mark_moves_and_comes_back(any_store: Store, name: str) -> None:
    one, two, three = registered(any_store, name, 3)
    assert registry.champion(any_store, name) is None

    assert registry.mark_champion(any_store, one, reason="first") is None
    assert registry.mark_champion(any_store, two, reason="better") is not None
    previous = registry.mark_champion(any_store, three, reason="best")

    assert previous is not None
    assert previous.version == two.version
    assert roles(any_store, name) == ["former", "previous", "champion"]
    holder = registry.champion(any_store, name)
    assert holder is not None
    assert (holder.version, holder.tags[Tag.REASON]) == (three.version, "best")

    back = registry.unmark(any_store, three, reason="it failed")
    assert back is not None
    assert back.version == two.version
    assert roles(any_store, name) == ["previous", "champion", "withdrawn"]
    before = registry.previous(any_store, name)
    assert before is not None
    assert before.version == one.version


def test_to_mark_the_champion_again_changes_nothing(either_store: Store, name: str) -> None:
    one, two = registered(either_store, name, 2)
    registry.mark_champion(either_store, one, reason="first")
    registry.mark_champion(either_store, two, reason="better")
    before = registry.versions(either_store, name)

    again = registry.mark_champion(either_store, two, reason="again")

    assert again is not None
    assert again.version == one.version
    assert registry.versions(either_store, name) == before


def test_the_first_champion_unmarked_leaves_none(either_store: Store, name: str) -> None:
    (one,) = registered(either_store, name, 1)
    registry.mark_champion(either_store, one, reason="first")

    assert registry.unmark(either_store, one, reason="undone") is None
    assert registry.champion(either_store, name) is None
    assert roles(either_store, name) == ["withdrawn"]


@pytest.mark.parametrize("move", ["mark", "unmark"])
def test_whatever_write_a_crash_cuts_off_one_champion_holds(
    either_store: Store, name: str, move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = registered(either_store, name, 2)
    registry.mark_champion(either_store, one, reason="first")
    if move == "unmark":
        registry.mark_champion(either_store, two, reason="second")
    real, seen = either_store.client.set_model_version_tag, []

    def step() -> None:
        if move == "mark":
            registry.mark_champion(either_store, two, reason="second")
        else:
            registry.unmark(either_store, two, reason="undone")

    for writes in range(20):
        left = [writes]

        def dying(*arguments: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise ConnectionError("gone")
            left[0] -= 1
            real(*arguments)

        try:
            with monkeypatch.context() as patch:
                patch.setattr(either_store.client, "set_model_version_tag", dying)
                step()
        except errors.ModelError:
            holder = registry.champion(either_store, name)
            assert holder is not None, "never none"
            seen.append(holder.version)
        else:
            break

    old, new = (one, two) if move == "mark" else (two, one)
    assert seen == sorted(seen, key=[old.version, new.version].index), "never back"
    holder = registry.champion(either_store, name)
    assert holder is not None
    assert holder.version == new.version
    assert roles(either_store, name).count("champion") == 1


def test_of_two_champions_the_one_marked_later_holds_though_a_clock_is_slow(
    either_store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = registered(either_store, name, 2)
    registry.mark_champion(either_store, two, reason="first")
    monkeypatch.setattr(registry.time, "time", lambda: 1.0)
    registry.mark_champion(either_store, one, reason="from a machine whose clock is slow")
    either_store.client.set_model_version_tag(name, two.version, Tag.ROLE, "champion")  # as if it died before

    holder = registry.champion(either_store, name)
    assert holder is not None
    assert holder.version == one.version


def test_an_alias_is_set_where_there_are_any_and_not_needed_where_there_are_none(
    either_store: Store, name: str
) -> None:
    (one,) = registered(either_store, name, 1)
    registry.mark_champion(either_store, one, reason="first")

    if either_store.local:
        assert str(either_store.client.get_model_version_by_alias(name, "champion").version) == one.version
    else:
        from mlflow.exceptions import MlflowException

        with pytest.raises(MlflowException, match="404"):
            either_store.client.set_registered_model_alias(name, "champion", one.version)
        holder = registry.champion(either_store, name)
        assert holder is not None
        assert holder.version == one.version


def test_an_unknown_name_is_told_the_known_ones(either_store: Store, name: str) -> None:
    registered(either_store, name, 1)
    with pytest.raises(errors.UnknownNameError, match=rf"version of {name} '7' \(known: 1\)"):
        registry.get(either_store, name, 7)
    with pytest.raises(errors.UnknownNameError, match=f"did you mean '{name}'"):
        registry.get(either_store, name + "x", 1)
    assert registry.versions(either_store, "nobody") == []
    assert registry.champion(either_store, "nobody") is None
