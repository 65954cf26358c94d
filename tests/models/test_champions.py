"""One champion holds in each stage, whatever write a crash cuts off: on SQLite and on Azure ML."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from notebooks_lib import errors
from notebooks_lib.models import champions, registry
from notebooks_lib.tags import Tag
from notebooks_lib.tracking.store import Store
from tests.models.registered_models import name, registered

__all__ = ["name"]

pytestmark = pytest.mark.tracking
AZURE_IN_PROOF = pytest.mark.parametrize(
    "either_store", ["sqlite", pytest.param("azureml", marks=pytest.mark.proof)], indirect=True
)
"""For promises that take seconds there; the others run on both in the daily tests."""


def held(store: Store, name: str, stage: str = "prod") -> tuple[str | None, str | None]:
    """Champion and previous."""
    found = champions.champion(store, name, stage), champions.previous(store, name, stage)
    return tuple(version.version if version else None for version in found)  # type: ignore[return-value]


def marked(store: Store, name: str) -> dict[str, str]:
    """The marks as other tools see them: aliases, or tags where there are none."""
    known = registry.versions(store, name)
    prefix = Tag.MARK_PREFIX
    tags = {
        key[len(prefix) :]: v.version
        for v in known
        for key, value in v.tags.items()
        if key.startswith(prefix) and value
    }
    aliases = {key: str(value) for key, value in store.client.get_registered_model(name).aliases.items()}
    assert not (tags and aliases)
    return tags | aliases


def test_the_mark_moves_and_comes_back_step_by_step(any_store: Store, name: str) -> None:
    one, two, three = registered(any_store, name, 3)
    assert held(any_store, name) == (None, None)

    assert champions.mark_champion(any_store, one, reason="first") is None
    assert held(any_store, name) == (one.version, None)
    champions.mark_champion(any_store, two, reason="better")
    before = champions.mark_champion(any_store, three, reason="best")

    assert before is not None
    assert before.version == two.version
    assert held(any_store, name) == (three.version, two.version)
    assert marked(any_store, name) == {"champion": three.version, "previous": two.version}
    assert registry.get(any_store, name, three.version).tags[Tag.REASON] == "best"

    champions.mark_champion(any_store, two, reason="it failed", back=True)
    champions.withdraw(any_store, three)
    assert held(any_store, name) == (two.version, one.version)
    champions.mark_champion(any_store, one, reason="it failed too", back=True)
    champions.withdraw(any_store, two)
    assert held(any_store, name) == (one.version, None)
    assert marked(any_store, name) == {"champion": one.version}
    assert [each.withdrawn for each in registry.versions(any_store, name)] == [("prod",), ("prod",), ()]

    champions.mark_champion(any_store, three, reason="after all", back=True)  # as asked for by its number
    assert registry.get(any_store, name, three.version).withdrawn == ()
    assert held(any_store, name) == (three.version, one.version)  # past the one that is withdrawn


@AZURE_IN_PROOF
def test_each_stage_has_marks_of_its_own(either_store: Store, name: str) -> None:
    one, two = registered(either_store, name, 2)
    for stage in ("dev", "prod"):
        champions.mark_champion(either_store, one, reason="first", stage=stage)
    champions.mark_champion(either_store, two, reason="better", stage="dev")

    assert held(either_store, name, "dev") == (two.version, one.version)
    assert held(either_store, name, "prod") == (one.version, None)
    assert held(either_store, name, "test") == (None, None)
    assert marked(either_store, name) == {
        "champion": one.version,
        "champion-dev": two.version,
        "previous-dev": one.version,
    }


@AZURE_IN_PROOF
def test_what_was_taken_back_from_two_stages_is_withdrawn_from_both(either_store: Store, name: str) -> None:
    one, two, three = registered(either_store, name, 3)
    for stage in ("test", "prod"):
        champions.mark_champion(either_store, one, reason="first", stage=stage)
        champions.mark_champion(either_store, two, reason="better", stage=stage)
    registry.set_tags(either_store, two, {Tag.WAITING: "{}"})
    for stage in ("prod", "test"):
        champions.mark_champion(either_store, one, reason="it failed", stage=stage, back=True)
        champions.withdraw(either_store, two, stage=stage)
    taken = registry.get(either_store, name, two.version)
    assert taken.withdrawn == ("test", "prod")
    assert not taken.tags[Tag.WAITING]

    champions.mark_champion(either_store, two, reason="by another way", stage="prod")
    assert registry.get(either_store, name, two.version).withdrawn == ("test", "prod")
    champions.mark_champion(either_store, two, reason="as asked for", stage="test", back=True)
    assert registry.get(either_store, name, two.version).withdrawn == ("prod",)

    assert [champions.was_champion(either_store, each, "test") for each in (one, two, three)] == [True, True, False]
    assert not champions.was_champion(either_store, one, "dev")


def test_to_mark_the_champion_again_changes_nothing(either_store: Store, name: str) -> None:
    one, two = registered(either_store, name, 2)
    champions.mark_champion(either_store, one, reason="first")
    champions.mark_champion(either_store, two, reason="better")
    before = registry.versions(either_store, name)

    champions.mark_champion(either_store, two, reason="again")

    assert held(either_store, name) == (two.version, one.version)
    assert registry.versions(either_store, name) == before


WRITES = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")


@AZURE_IN_PROOF
@pytest.mark.parametrize("move", ["forward", pytest.param("back", marks=pytest.mark.proof)])
def test_whatever_write_a_crash_cuts_off_every_reader_sees_the_old_state_or_the_new(
    either_store: Store, name: str, move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = registered(either_store, name, 3)
    for version in (one, two, three)[: 2 if move == "forward" else 3]:
        champions.mark_champion(either_store, version, reason="made ready")
    old, new = (two, one), (three, two)
    if move == "back":
        old, new = (three, two), (two, one)
    seen = []
    for writes in range(20):
        left = [writes]

        def dying(*arguments: Any, left: list[int] = left, real: Any) -> None:
            if not left[0]:
                raise ConnectionError("gone")
            left[0] -= 1
            real(*arguments)

        try:
            with monkeypatch.context() as patch:
                for call in WRITES:
                    real = getattr(either_store.client, call)
                    patch.setattr(either_store.client, call, functools.partial(dying, real=real))
                champions.mark_champion(either_store, new[0], reason="moved", back=move == "back")
        except errors.ModelError:
            seen.append(held(either_store, name))
        else:
            break

    states = [tuple(version.version for version in state) for state in (old, new)]
    assert {*seen} <= {*states}
    assert seen == sorted(seen, key=states.index), "never back"
    assert held(either_store, name) == states[1]
    assert marked(either_store, name) == {"champion": states[1][0], "previous": states[1][1]}


@pytest.mark.proof
def test_of_two_that_bear_the_tag_the_later_holds_though_a_clock_is_slow(
    either_store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = registered(either_store, name, 2)
    champions.mark_champion(either_store, two, reason="first")
    monkeypatch.setattr(champions.time, "time", lambda: 1.0)
    tags = registry.get(either_store, name, two.version).tags
    champions.mark_champion(either_store, one, reason="from a machine whose clock is slow")
    registry.set_tags(
        either_store, two, {k: v for k, v in tags.items() if k.startswith(Tag.MARK_PREFIX)}
    )  # died before

    assert held(either_store, name) == (one.version, two.version)


def test_marks_are_aliases_where_there_are_any_and_tags_where_there_are_none(either_store: Store, name: str) -> None:
    (one,) = registered(either_store, name, 1)
    champions.mark_champion(either_store, one, reason="first")

    tags = registry.get(either_store, name, one.version).tags
    if either_store.local:
        assert str(either_store.client.get_model_version_by_alias(name, "champion").version) == one.version
        assert f"{Tag.MARK_PREFIX}champion" not in tags
    else:
        from mlflow.exceptions import MlflowException

        with pytest.raises(MlflowException, match="404"):
            either_store.client.set_registered_model_alias(name, "champion", one.version)
        assert int(tags[f"{Tag.MARK_PREFIX}champion"]) > 0
